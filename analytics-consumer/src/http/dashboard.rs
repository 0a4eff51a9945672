//! `GET /dashboard`: the numbers of whoever is signed in, complete without JavaScript, live with it.

use askama::Template;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::App;
use super::credentials::session;
use super::live::Snapshot;
use crate::domain::scope::Scope;
use crate::error::Error;

/// Scripts, styles and connections of this origin only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    whose: String,
    snapshot_json: String,
    total: crate::domain::stats::Tally,
    success_rate: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    refusal: Option<&'a str>,
}

/// The dashboard, or the form to sign in.
pub(crate) async fn page(State(app): State<App>, headers: HeaderMap) -> Result<Response, Error> {
    let Some(scope) = session(&app, &headers).await? else {
        return html(StatusCode::OK, &SignIn { refusal: None });
    };
    let snapshot = Snapshot::of(&app, scope).await?;
    let total = snapshot.stats.stats.total.clone();
    html(
        StatusCode::OK,
        &Dashboard {
            whose: match scope {
                Scope::All => "all merchants".to_owned(),
                Scope::Merchant(merchant) => merchant.to_string(),
            },
            snapshot_json: serde_json::to_string(&snapshot).unwrap_or_default(),
            success_rate: percent(total.success_rate),
            total,
        },
    )
}

/// The form again, with the reason.
pub(crate) fn sign_in_again(refusal: &str) -> Result<Response, Error> {
    html(
        StatusCode::UNAUTHORIZED,
        &SignIn {
            refusal: Some(refusal),
        },
    )
}

/// The page's script.
pub(crate) async fn script() -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("../../templates/dashboard.js"),
    )
}

/// The page's style.
pub(crate) async fn style() -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../templates/dashboard.css"),
    )
}

fn html(status: StatusCode, page: &impl Template) -> Result<Response, Error> {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: under that, a form is posted with `Origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((status, headers, Html(page.render()?)).into_response())
}

#[expect(clippy::float_arithmetic, reason = "a percentage for people, and no money")]
fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}
