//! Whoever may read: a merchant by signature or token, staff by token.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use platform::Problem;
use platform::auth::Principal;

use super::signed;
use crate::error::Refusal;
use crate::http::App;

/// The caller of a request without a body.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if parts.headers.contains_key("x-api-key") {
            let merchant_id = signed::verify(app, parts, &[])
                .await
                .map_err(Refusal::into_problem)?;
            return Ok(Self(Principal::Merchant(merchant_id)));
        }
        let principal = <Principal as FromRequestParts<App>>::from_request_parts(parts, app).await;
        principal.map(Self).map_err(Problem::from)
    }
}
