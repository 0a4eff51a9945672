//! `POST /dashboard/session`: a person hands in a token once, in a form's body, and gets a cookie for an hour.

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, header::SET_COOKIE};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::SignedDuration;
use serde::Deserialize;

use super::credentials::{SESSION, Token, check_origin, hash, session_token};
use super::{App, dashboard, scope};
use crate::error::Error;
use crate::store;

/// How long a session lasts, seconds.
const SESSION_SECONDS: i64 = 3_600;

/// The form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    token: String,
}

/// Signs in. A refused token shows the form again, and says so.
pub(crate) async fn open(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, Error> {
    check_origin(&headers, &app.dashboard)?;
    let principal = match app.tokens.verify(form.token.trim()).await {
        Ok(principal) => principal,
        Err(error) => return dashboard::sign_in_again(&error.to_string()),
    };
    let token = Token::generate()?;
    let now = app.clock.now();
    let expires_at = now + SignedDuration::from_secs(SESSION_SECONDS);
    store::tokens::open_session(&app.pool, &token.hash, scope(&principal), now, expires_at).await?;
    let cookie = cookie(&app, &token.text, SESSION_SECONDS);
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/dashboard")).into_response())
}

/// Signs out.
pub(crate) async fn close(State(app): State<App>, headers: HeaderMap) -> Result<Response, Error> {
    check_origin(&headers, &app.dashboard)?;
    if let Some(token) = session_token(&headers) {
        store::tokens::close_session(&app.pool, &hash(token)).await?;
    }
    Ok(([(SET_COOKIE, cookie(&app, "", 0))], Redirect::to("/dashboard")).into_response())
}

fn cookie(app: &App, value: &str, max_age_seconds: i64) -> String {
    let secure = if app.dashboard.secure_cookie {
        "; Secure"
    } else {
        ""
    };
    format!("{SESSION}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}")
}
