//! `GET /v1/payment_intents`, `…/{id}`, `…/search`

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};

use crate::clock;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::{Psp, expand, list, search};

pub(super) async fn get(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.look(call, move |desk, params| perform(desk, &id, params))
        .await
}

fn perform(desk: &Desk<'_>, id: &str, params: &Params) -> Result<Value, StripeError> {
    params.only(&["client_secret", "expand"])?;
    let expand = expand::read(params, &["latest_charge"])?;
    match desk.books.intents.get(id) {
        Some(intent) => Ok(expand::intent(intent, desk.settings, &expand)),
        None => Err(StripeError::not_found("payment_intent", id, "intent")),
    }
}

pub(super) async fn list(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.look(call, |desk, params| {
        params.only(&["limit", "starting_after", "expand"])?;
        let page = list::Page::read(params)?;
        let expand = expand::read(params, &["data.latest_charge"])?;
        let newest_first = desk.books.intents.iter().rev();
        let (intents, has_more) = page.cut(newest_first, |intent| &intent.id);
        let rendered: Vec<Value> = intents
            .into_iter()
            .map(|intent| expand::intent(intent, desk.settings, &expand))
            .collect();
        Ok(list::render("/v1/payment_intents", &rendered, has_more))
    })
    .await
}

pub(super) async fn search(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.look(call, |desk, params| {
        params.only(&["query", "limit", "page", "expand"])?;
        let query = search::Query::parse(params.required("query")?)?;
        let page = list::Page::read_for_search(params)?;
        let expand = expand::read(params, &["data.latest_charge"])?;
        let indexed_until = clock::unix_seconds() - desk.search_lag_seconds();
        let hits = desk
            .books
            .intents
            .iter()
            .rev()
            .filter(|intent| intent.created <= indexed_until && query.matches(intent));
        let (intents, has_more) = page.cut(hits, |intent| &intent.id);
        let next_page = intents
            .last()
            .filter(|_| has_more)
            .map(|intent| intent.id.clone());
        let rendered: Vec<Value> = intents
            .into_iter()
            .map(|intent| expand::intent(intent, desk.settings, &expand))
            .collect();
        Ok(json!({
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": has_more,
            "next_page": next_page,
            "data": rendered,
        }))
    })
    .await
}
