//! Orders to the PSP.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::order::Order;
use super::{done, refused};
use crate::courier::{Courier, Mode, ReleaseOrder, Target};
use crate::psp::Psp;
use crate::psp::behaviour::{self, Behaviour, Operation};

/// Longer delays than this are no delays but losses.
pub(super) const MAX_DELAY_MS: u64 = 600_000;
/// `reversed` waits so long for further events of an object: longer than a delayed payment takes.
const DEFAULT_WINDOW_MS: u64 = 3_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    operation: Operation,
    behaviour: Behaviour,
    #[serde(default = "once")]
    count: u32,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    lag_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhooks {
    mode: Mode,
    window_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    #[serde(default)]
    order: ReleaseOrder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTarget {
    url: Option<Url>,
    secrets: Option<Vec<String>>,
}

pub(super) fn once() -> u32 {
    1
}

pub(super) async fn next(State(psp): State<Psp>, Order(next): Order<Next>) -> Response {
    if next.behaviour == Behaviour::Decline && matches!(next.operation, Operation::Cancel | Operation::Lookup)
    {
        return refused(
            StatusCode::BAD_REQUEST,
            "only a payment or a refund can be declined",
        );
    }
    if (next.behaviour == Behaviour::Delay) != (1..=MAX_DELAY_MS).contains(&next.delay_ms) {
        return refused(StatusCode::BAD_REQUEST, delay_rule());
    }
    let order = behaviour::Order {
        operation: next.operation,
        behaviour: next.behaviour,
        delay_ms: next.delay_ms,
    };
    match psp.behaviours().add(order, next.count) {
        Ok(()) => done(),
        Err(error) => refused(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) fn delay_rule() -> String {
    format!("a delay needs delay_ms between 1 and {MAX_DELAY_MS}, and nothing else takes delay_ms")
}

pub(super) async fn search(State(psp): State<Psp>, Order(search): Order<Search>) -> Response {
    psp.behaviours().search_lag_seconds = i64::from(search.lag_seconds);
    done()
}

pub(super) async fn webhooks(State(psp): State<Psp>) -> Response {
    Json(psp.courier().describe()).into_response()
}

pub(super) async fn set_webhooks(State(psp): State<Psp>, Order(webhooks): Order<Webhooks>) -> Response {
    apply_mode(psp.courier(), &webhooks)
}

pub(super) fn apply_mode(courier: &Courier, webhooks: &Webhooks) -> Response {
    let window_ms = webhooks.window_ms.unwrap_or(DEFAULT_WINDOW_MS);
    if window_ms > MAX_DELAY_MS || (webhooks.window_ms.is_some() && webhooks.mode != Mode::Reversed) {
        let rule = format!("window_ms belongs to the mode reversed, and is at most {MAX_DELAY_MS}");
        return refused(StatusCode::BAD_REQUEST, rule);
    }
    courier.set_mode(webhooks.mode, Duration::from_millis(window_ms));
    done()
}

pub(super) async fn release(State(psp): State<Psp>, Order(release): Order<Release>) -> Response {
    release_from(psp.courier(), &release)
}

pub(super) fn release_from(courier: &Courier, release: &Release) -> Response {
    Json(json!({ "released": courier.release(release.order) })).into_response()
}

pub(super) async fn set_target(State(psp): State<Psp>, Order(target): Order<NewTarget>) -> Response {
    apply_target(psp.courier(), target)
}

/// Without `secrets` the present ones stay.
pub(super) fn apply_target(courier: &Courier, target: NewTarget) -> Response {
    let secrets = target.secrets.unwrap_or_else(|| courier.secrets());
    courier.set_target(Target {
        url: target.url,
        secrets,
    });
    done()
}
