//! Misbehaviour that was ordered for the bank.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Plan, PlanError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// The payout ends `failed`.
    Fail,
    /// The payout is completed, and returned a little later.
    Return,
    /// The payout is made, and answered, `delay_ms` later.
    Delay,
    /// The payout is made, and the connection closed without an answer.
    DropAnswer,
    /// The connection is closed and nothing was done.
    DropBeforePaying,
    /// 500, and nothing was done.
    ServerError,
}

/// How a payout will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    Complete,
    Fail,
    Return,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Order {
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
}

impl Behaviours {
    pub(super) fn new() -> Self {
        Self { plan: Plan::new() }
    }

    pub(crate) fn add(&mut self, order: Order, count: u32) -> Result<(), PlanError> {
        self.plan.add(order, count)
    }

    pub(super) fn take_fate(&mut self) -> Fate {
        let order = self
            .plan
            .take(|order| matches!(order.behaviour, Behaviour::Fail | Behaviour::Return));
        match order.map(|order| order.behaviour) {
            Some(Behaviour::Fail) => Fate::Fail,
            Some(Behaviour::Return) => Fate::Return,
            _ => Fate::Complete,
        }
    }

    pub(super) fn take_carriage(&mut self) -> Carriage {
        let order = self
            .plan
            .take(|order| !matches!(order.behaviour, Behaviour::Fail | Behaviour::Return));
        match order.map(|order| (order.behaviour, order.delay_ms)) {
            None | Some((Behaviour::Fail | Behaviour::Return, _)) => Carriage::Straight,
            Some((Behaviour::Delay, delay_ms)) => Carriage::Late(Duration::from_millis(delay_ms)),
            Some((Behaviour::DropAnswer, _)) => Carriage::AnswerLost,
            Some((Behaviour::DropBeforePaying, _)) => Carriage::RequestLost,
            Some((Behaviour::ServerError, _)) => Carriage::ServerError,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.plan.clear();
    }

    pub(crate) fn describe(&self) -> Value {
        json!({ "orders": self.plan.describe() })
    }
}
