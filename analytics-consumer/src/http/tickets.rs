//! `POST /api/v1/live/tickets`: one connection of the live socket, within half a minute.
//!
//! A browser cannot send a header with a WebSocket, and a token in a URL ends up in logs and histories. So the page asks
//! for a ticket with what it has, cookie or token, and the ticket opens one socket, once.

use axum::extract::State;
use axum::http::HeaderMap;
use jiff::SignedDuration;
use platform::auth::Principal;
use platform::http::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::credentials::{Token, check_origin, session};
use super::{App, scope};
use crate::error::Error;
use crate::store;

/// How long a ticket waits to be used, seconds.
const TICKET_SECONDS: i64 = 30;

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ticket {
    /// Open `GET /api/v1/live?ticket=…` with it.
    ticket: String,
    /// How long it waits to be used, seconds.
    expires_in: i64,
}

/// A ticket for the live socket, for a Bearer token or a signed-in page.
#[utoipa::path(post, path = "/api/v1/live/tickets", responses((status = 200, body = Ticket)))]
pub(crate) async fn issue(
    State(app): State<App>,
    principal: Option<Principal>,
    headers: HeaderMap,
) -> Result<Json<Ticket>, Error> {
    let scope = if let Some(principal) = principal {
        scope(&principal)
    } else {
        check_origin(&headers, &app.dashboard)?;
        session(&app, &headers)
            .await?
            .ok_or(platform::auth::AuthError::Missing)?
    };
    let ticket = Token::generate()?;
    let now = app.clock.now();
    let expires_at = now + SignedDuration::from_secs(TICKET_SECONDS);
    store::tokens::issue_ticket(&app.pool, &ticket.hash, scope, now, expires_at).await?;
    Ok(Json(Ticket {
        ticket: ticket.text,
        expires_in: TICKET_SECONDS,
    }))
}
