//! `/control`: how a test or a person makes the outside world misbehave, and reads its books.
//!
//! Everything ordered is counted and used up, or lasts until `reset`. A field that is not known is refused: an order
//! that is silently ignored makes a test that cannot fail.

mod bank;
mod books;
mod guide;
mod hooks;
mod mail;
pub(crate) mod order;
mod psp;
mod reset;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, extract::State};
use serde_json::json;

use crate::bank::Bank;
use crate::hooks::Hooks;
use crate::mail::Mailbox;
use crate::psp::Psp;

/// What can be controlled.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) psp: Psp,
    pub(crate) bank: Bank,
    pub(crate) mailbox: Mailbox,
    pub(crate) hooks: Hooks,
}

macro_rules! part {
    ($part:ty, $field:ident) => {
        impl FromRef<World> for $part {
            fn from_ref(world: &World) -> Self {
                world.$field.clone()
            }
        }
    };
}
part!(Psp, psp);
part!(Bank, bank);
part!(Mailbox, mailbox);
part!(Hooks, hooks);

impl World {
    pub(crate) fn control_routes(&self) -> Router {
        Router::new()
            .route("/", get(guide::show))
            .route("/state", get(state))
            .route("/psp/next", post(psp::next))
            .route("/psp/search", post(psp::search))
            .route("/psp/webhooks", get(psp::webhooks).post(psp::set_webhooks))
            .route("/psp/webhooks/release", post(psp::release))
            .route("/psp/webhook-target", post(psp::set_target))
            .route("/bank/next", post(bank::next))
            .route("/bank/return", post(bank::return_payout))
            .route("/bank/webhooks", get(bank::webhooks).post(bank::set_webhooks))
            .route("/bank/webhooks/release", post(bank::release))
            .route("/bank/webhook-target", post(bank::set_target))
            .route("/mail", get(mail::messages).post(mail::set_mode))
            .route("/hooks", get(hooks::received).post(hooks::set_mode))
            .route("/books/psp", get(books::psp))
            .route("/books/bank", get(books::bank))
            .route("/reset", post(reset::reset))
            .fallback(no_such_route)
            .with_state(self.clone())
    }

    pub(crate) fn book_page(&self) -> Router {
        Router::new()
            .route("/", get(books::page))
            .with_state(self.clone())
    }
}

/// `GET /control/state`: all that is ordered and not used up.
async fn state(State(world): State<World>) -> Response {
    Json(json!({
        "psp": world.psp.behaviours().describe(),
        "psp_webhooks": world.psp.courier().describe(),
        "bank": world.bank.behaviours().describe(),
        "bank_webhooks": world.bank.courier().describe(),
        "mail": world.mailbox.mode(),
        "hooks": world.hooks.describe(),
    }))
    .into_response()
}

fn done() -> Response {
    Json(json!({ "ok": true })).into_response()
}

fn refused(status: StatusCode, why: impl std::fmt::Display) -> Response {
    (status, Json(json!({ "error": why.to_string() }))).into_response()
}

async fn no_such_route(method: Method, uri: Uri) -> Response {
    refused(
        StatusCode::NOT_FOUND,
        format!("no {method} /control{}; GET /control lists all", uri.path()),
    )
}
