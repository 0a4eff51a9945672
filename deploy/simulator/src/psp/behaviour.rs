//! Misbehaviour that was ordered for the PSP's API.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Plan, PlanError};

/// Which requests an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Creating or confirming a PaymentIntent, creating a Checkout Session; a decline also meets the hosted page.
    Payment,
    Refund,
    /// Cancelling a PaymentIntent, expiring a Checkout Session.
    Cancel,
    /// Every `GET`.
    Lookup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// The charge is declined, the refund fails.
    Decline,
    /// The work is done, and answered, `delay_ms` later.
    Delay,
    /// The work is done, and the connection closed without an answer.
    DropAnswer,
    /// The connection is closed and nothing was done.
    DropBeforeCharging,
    /// 500, and nothing was done.
    ServerError,
}

/// An order as it waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Order {
    pub(crate) operation: Operation,
    pub(crate) behaviour: Behaviour,
    pub(crate) delay_ms: u64,
}

/// How a request is to be carried, if an order says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carriage {
    Straight,
    Late(Duration),
    AnswerLost,
    RequestLost,
    ServerError,
}

#[derive(Debug)]
pub(crate) struct Behaviours {
    plan: Plan<Order>,
    /// How long a new PaymentIntent is invisible to search; Stripe promises under a minute.
    pub(crate) search_lag_seconds: i64,
}

impl Behaviours {
    pub(super) fn new() -> Self {
        Self {
            plan: Plan::new(),
            search_lag_seconds: 0,
        }
    }

    pub(crate) fn add(&mut self, order: Order, count: u32) -> Result<(), PlanError> {
        self.plan.add(order, count)
    }

    pub(super) fn take_carriage(&mut self, operation: Operation) -> Carriage {
        let order = self
            .plan
            .take(|order| order.operation == operation && order.behaviour != Behaviour::Decline);
        match order.map(|order| (order.behaviour, order.delay_ms)) {
            None | Some((Behaviour::Decline, _)) => Carriage::Straight,
            Some((Behaviour::Delay, delay_ms)) => Carriage::Late(Duration::from_millis(delay_ms)),
            Some((Behaviour::DropAnswer, _)) => Carriage::AnswerLost,
            Some((Behaviour::DropBeforeCharging, _)) => Carriage::RequestLost,
            Some((Behaviour::ServerError, _)) => Carriage::ServerError,
        }
    }

    pub(super) fn take_decline(&mut self, operation: Operation) -> bool {
        let order = self
            .plan
            .take(|order| order.operation == operation && order.behaviour == Behaviour::Decline);
        order.is_some()
    }

    pub(crate) fn reset(&mut self) {
        self.plan.clear();
        self.search_lag_seconds = 0;
    }

    pub(crate) fn describe(&self) -> Value {
        json!({ "orders": self.plan.describe(), "search_lag_seconds": self.search_lag_seconds })
    }
}
