//! `POST /dashboard/session`: a person hands in a token once, in a form's body, and gets a cookie for an hour, or for as long as the
//! token would have lasted if that is less.

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, header::SET_COOKIE};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::SignedDuration;
use serde::Deserialize;

use super::credentials::{SESSION as COOKIE, Token, check_origin, hash, session_token};
use super::{App, dashboard, scope};
use crate::error::Error;
use crate::store;

/// How long a session lasts at most.
const SESSION: SignedDuration = SignedDuration::from_hours(1);

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
    let (principal, token_ends_at) = match app.tokens.verify_until(form.token.trim()).await {
        Ok(verified) => verified,
        Err(error) => return dashboard::sign_in_again(&error.to_string()),
    };
    let token = Token::generate()?;
    let now = app.clock.now();
    let expires_at = (now + SESSION).min(token_ends_at);
    store::tokens::open_session(&app.pool, &token.hash, scope(&principal), now, expires_at).await?;
    let cookie = cookie(&app, &token.text, expires_at.duration_since(now).as_secs().max(0));
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
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}")
}
