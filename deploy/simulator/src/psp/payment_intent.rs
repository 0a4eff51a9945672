//! A PaymentIntent: one payment, its attempts, and at most one charge that succeeded.

mod cancel;
mod confirm;
mod create;
mod read;
mod render;

pub(super) use self::confirm::attempt;
use axum::Router;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::error::StripeError;
use super::form::Metadata;
use super::method::{Decline, PaymentMethod, RefundVerdict, Verdict};
use super::{Psp, ids};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) amount: i64,
    /// Lower case, as Stripe writes it.
    pub(super) currency: String,
    pub(super) metadata: Metadata,
    pub(super) description: Option<String>,
    pub(super) receipt_email: Option<String>,
    pub(super) return_url: Option<String>,
    pub(super) payment_method: Option<String>,
    pub(super) created: i64,
    /// The Checkout Session that made it.
    pub(super) session: Option<String>,
    pub(super) state: State,
    pub(super) refunds: Vec<String>,
    pub(super) amount_refunded: i64,
    /// Every charge that was tried, declined ones too.
    pub(super) charges: Vec<Charge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum State {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing { settles_at_ms: i64 },
    Succeeded,
    Canceled { at: i64, reason: Option<String> },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) created: i64,
    pub(super) outcome: ChargeOutcome,
    pub(super) refunds: RefundVerdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum ChargeOutcome {
    Pending,
    Succeeded,
    Failed {
        code: String,
        decline_code: Option<String>,
        message: String,
    },
}

/// What an attempt to charge led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Succeeded,
    Declined(Decline),
    RequiresAction,
    Processing,
}

pub(super) fn routes() -> Router<Psp> {
    Router::new()
        .route("/v1/payment_intents", get(read::list).post(create::create))
        .route("/v1/payment_intents/search", get(read::search))
        .route("/v1/payment_intents/{id}", get(read::get))
        .route("/v1/payment_intents/{id}/confirm", post(confirm::confirm))
        .route("/v1/payment_intents/{id}/cancel", post(cancel::cancel))
}

impl State {
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing { .. } => "processing",
            Self::Succeeded => "succeeded",
            Self::Canceled { .. } => "canceled",
        }
    }
}

impl PaymentIntent {
    /// Tries to charge `method`; `settles_at_ms` is when a delayed method will have paid.
    pub(super) fn attempt(
        &mut self,
        method: &PaymentMethod,
        decline: Option<Decline>,
        now: i64,
        settles_at_ms: i64,
    ) -> Result<Attempt, StripeError> {
        match self.state {
            State::RequiresPaymentMethod | State::RequiresConfirmation => {}
            State::RequiresAction | State::Processing { .. } | State::Succeeded | State::Canceled { .. } => {
                return Err(self.unexpected_state("confirm"));
            }
        }
        self.payment_method = Some(method.id.to_owned());
        let verdict = decline.map_or(method.verdict, Verdict::Declines);
        Ok(match verdict {
            Verdict::Succeeds => {
                self.add_charge(method, ChargeOutcome::Succeeded, now);
                self.state = State::Succeeded;
                Attempt::Succeeded
            }
            Verdict::Declines(decline) => {
                self.add_charge(method, decline.into(), now);
                self.state = State::RequiresPaymentMethod;
                Attempt::Declined(decline)
            }
            Verdict::RequiresAction => {
                self.state = State::RequiresAction;
                Attempt::RequiresAction
            }
            Verdict::SucceedsLater => {
                self.add_charge(method, ChargeOutcome::Pending, now);
                self.state = State::Processing { settles_at_ms };
                Attempt::Processing
            }
        })
    }

    /// The cardholder confirmed on the bank's page, or did not (`decline`).
    pub(super) fn act(
        &mut self,
        method: &PaymentMethod,
        decline: Option<Decline>,
        now: i64,
    ) -> Result<Attempt, StripeError> {
        if self.state != State::RequiresAction {
            return Err(self.unexpected_state("authenticate"));
        }
        if let Some(decline) = decline {
            self.add_charge(method, decline.into(), now);
            self.state = State::RequiresPaymentMethod;
            return Ok(Attempt::Declined(decline));
        }
        self.add_charge(method, ChargeOutcome::Succeeded, now);
        self.state = State::Succeeded;
        Ok(Attempt::Succeeded)
    }

    /// A delayed payment has arrived. `false`: there is none under way.
    pub(super) fn settle(&mut self) -> bool {
        let (State::Processing { .. }, Some(charge)) = (&self.state, self.charges.last_mut()) else {
            return false;
        };
        charge.outcome = ChargeOutcome::Succeeded;
        self.state = State::Succeeded;
        true
    }

    /// Cancels what did not begin to be paid.
    pub(super) fn cancel(&mut self, reason: Option<String>, now: i64) -> Result<(), StripeError> {
        match self.state {
            State::RequiresPaymentMethod | State::RequiresConfirmation | State::RequiresAction => {
                self.state = State::Canceled { at: now, reason };
                Ok(())
            }
            State::Processing { .. } | State::Succeeded | State::Canceled { .. } => {
                Err(self.unexpected_state("cancel"))
            }
        }
    }

    pub(super) fn succeeded_charge(&self) -> Option<&Charge> {
        self.charges
            .iter()
            .find(|charge| charge.outcome == ChargeOutcome::Succeeded)
    }

    /// Events that concern the same customer's payment keep their order.
    pub(super) fn event_key(&self) -> &str {
        self.session.as_deref().unwrap_or(&self.id)
    }

    fn add_charge(&mut self, method: &PaymentMethod, outcome: ChargeOutcome, now: i64) {
        self.charges.push(Charge {
            id: ids::next("ch"),
            amount: self.amount,
            created: now,
            outcome,
            refunds: method.refunds,
        });
    }

    pub(super) fn unexpected_state(&self, verb: &str) -> StripeError {
        let status = self.state.status();
        StripeError::invalid(format!(
            "You cannot {verb} this PaymentIntent because it has a status of {status}."
        ))
        .code("payment_intent_unexpected_state")
    }
}

impl From<Decline> for ChargeOutcome {
    fn from(decline: Decline) -> Self {
        Self::Failed {
            code: decline.code.to_owned(),
            decline_code: decline.decline_code.map(str::to_owned),
            message: decline.message.to_owned(),
        }
    }
}
