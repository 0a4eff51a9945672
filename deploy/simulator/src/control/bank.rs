//! Orders to the bank.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::order::Order;
use super::psp::{
    MAX_DELAY_MS, NewTarget, Release, Webhooks, apply_mode, apply_target, delay_rule, once, release_from,
};
use super::{done, refused};
use crate::bank::behaviour::{self, Behaviour};
use crate::bank::{Bank, ReturnError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    behaviour: Behaviour,
    #[serde(default = "once")]
    count: u32,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Return {
    withdrawal_no: String,
}

pub(super) async fn next(State(bank): State<Bank>, Order(next): Order<Next>) -> Response {
    if (next.behaviour == Behaviour::Delay) != (1..=MAX_DELAY_MS).contains(&next.delay_ms) {
        return refused(StatusCode::BAD_REQUEST, delay_rule());
    }
    let order = behaviour::Order {
        behaviour: next.behaviour,
        delay_ms: next.delay_ms,
    };
    match bank.behaviours().add(order, next.count) {
        Ok(()) => done(),
        Err(error) => refused(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) async fn return_payout(State(bank): State<Bank>, Order(order): Order<Return>) -> Response {
    match bank.return_payout(&order.withdrawal_no) {
        Ok(payout) => Json(payout).into_response(),
        Err(error @ ReturnError::Unknown(_)) => refused(StatusCode::NOT_FOUND, error),
        Err(error @ ReturnError::NotCompleted { .. }) => refused(StatusCode::CONFLICT, error),
    }
}

pub(super) async fn webhooks(State(bank): State<Bank>) -> Response {
    Json(bank.courier().describe()).into_response()
}

pub(super) async fn set_webhooks(State(bank): State<Bank>, Order(webhooks): Order<Webhooks>) -> Response {
    apply_mode(bank.courier(), &webhooks)
}

pub(super) async fn release(State(bank): State<Bank>, Order(release): Order<Release>) -> Response {
    release_from(bank.courier(), &release)
}

pub(super) async fn set_target(State(bank): State<Bank>, Order(target): Order<NewTarget>) -> Response {
    apply_target(bank.courier(), target)
}
