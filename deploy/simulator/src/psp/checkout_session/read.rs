//! `GET /v1/checkout/sessions`, `GET /v1/checkout/sessions/{id}`

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::Value;

use super::{CheckoutSession, render};
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::{Psp, expand, list};

pub(super) async fn get(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.look(call, move |desk, params| perform(desk, &id, params))
        .await
}

fn perform(desk: &Desk<'_>, id: &str, params: &Params) -> Result<Value, StripeError> {
    params.only(&["expand"])?;
    let expand = expand::read(params, &["payment_intent"])?;
    let Some(session) = desk.books.sessions.get(id) else {
        return Err(StripeError::not_found("checkout.session", id, "session"));
    };
    let mut rendered = render(session, desk.settings);
    let intent = session
        .payment_intent
        .as_deref()
        .and_then(|id| desk.books.intents.get(id));
    if let (false, Some(intent), Some(object)) = (expand.is_empty(), intent, rendered.as_object_mut()) {
        object.insert("payment_intent".to_owned(), intent.render(desk.settings));
    }
    Ok(rendered)
}

pub(super) async fn list(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.look(call, |desk, params| {
        params.only(&["payment_intent", "status", "limit", "starting_after", "expand"])?;
        let page = list::Page::read(params)?;
        let intent = params.text("payment_intent")?;
        let status = params.text("status")?;
        let matches = |session: &&CheckoutSession| {
            intent.is_none_or(|intent| session.payment_intent.as_deref() == Some(intent))
                && status.is_none_or(|status| session.state.status() == status)
        };
        let (sessions, has_more) = page.cut(desk.books.sessions.iter().rev().filter(matches), |session| {
            &session.id
        });
        let rendered: Vec<Value> = sessions
            .into_iter()
            .map(|session| render(session, desk.settings))
            .collect();
        Ok(list::render("/v1/checkout/sessions", &rendered, has_more))
    })
    .await
}
