//! `GET /v1/refunds`, `GET /v1/refunds/{id}`

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::Value;

use super::Refund;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::{Psp, list};

pub(super) async fn get(Shared(psp): Shared<Psp>, Path(id): Path<String>, call: Call) -> Response {
    psp.look(call, move |desk, params| {
        params.only(&["expand"])?;
        match desk.books.refunds.get(&id) {
            Some(refund) => Ok(refund.render()),
            None => Err(StripeError::not_found("refund", &id, "refund")),
        }
    })
    .await
}

pub(super) async fn list(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.look(call, |desk, params| {
        params.only(&["payment_intent", "charge", "limit", "starting_after", "expand"])?;
        let page = list::Page::read(params)?;
        let intent = params.text("payment_intent")?;
        let charge = params.text("charge")?;
        let (refunds, has_more) = if let Some(id) = intent {
            let Some(intent) = desk.books.intents.get(id) else {
                return Err(StripeError::no_such("payment_intent", id, "payment_intent"));
            };
            let of_intent = intent
                .refunds
                .iter()
                .rev()
                .filter_map(|id| desk.books.refunds.get(id));
            page.cut(of_intent.filter(|refund| concerns(refund, charge)), |refund| {
                &refund.id
            })
        } else {
            let newest_first = desk.books.refunds.iter().rev();
            page.cut(newest_first.filter(|refund| concerns(refund, charge)), |refund| {
                &refund.id
            })
        };
        let rendered: Vec<Value> = refunds.into_iter().map(Refund::render).collect();
        Ok(list::render("/v1/refunds", &rendered, has_more))
    })
    .await
}

fn concerns(refund: &Refund, charge: Option<&str>) -> bool {
    charge.is_none_or(|charge| refund.charge == charge)
}
