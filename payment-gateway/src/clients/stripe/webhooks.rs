//! Stripe's webhooks: a hint that something happened. What did happen is read from the object, and only where the object
//! cannot change any more; else it is asked for again.

use serde::Deserialize;
use serde_json::Value;

use super::objects::{CheckoutSession, PaymentIntent, Refund, Unintelligible};
use crate::domain::psp::{PspPayment, PspRefund};

/// An event, with the object as it was when the event was made.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Its number.
    pub id: String,
    /// What it tells of.
    #[serde(rename = "type")]
    pub event_type: String,
    data: EventData,
}

#[derive(Debug, Deserialize)]
struct EventData {
    object: Value,
}

/// What an event is about.
#[derive(Debug)]
pub enum Subject {
    /// A PaymentIntent.
    Intent {
        /// Its id.
        id: String,
        /// As it was.
        payment: PspPayment,
    },
    /// A Checkout Session.
    Session {
        /// Its id.
        id: String,
        /// As it was.
        payment: PspPayment,
    },
    /// A refund.
    Refund {
        /// Its id.
        id: String,
        /// As it was.
        refund: PspRefund,
    },
    /// Something we did not subscribe to.
    Other,
}

/// An event that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not of Stripe's shape.
    #[error("the event is not of stripe's shape")]
    Shape(#[source] serde_json::Error),
    /// It says something we have no words for.
    #[error(transparent)]
    Unintelligible(#[from] Unintelligible),
}

impl Event {
    /// Reads an event from a body whose signature was verified.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(body).map_err(EventError::Shape)
    }

    /// What it is about.
    pub fn subject(&self) -> Result<Subject, EventError> {
        let kind = self
            .data
            .object
            .get("object")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind {
            "payment_intent" => {
                let intent = PaymentIntent::deserialize(&self.data.object).map_err(EventError::Shape)?;
                Ok(Subject::Intent {
                    id: intent.id.clone(),
                    payment: intent.try_into()?,
                })
            }
            "checkout.session" => {
                let session = CheckoutSession::deserialize(&self.data.object).map_err(EventError::Shape)?;
                Ok(Subject::Session {
                    id: session.id.clone(),
                    payment: session.try_into()?,
                })
            }
            "refund" => {
                let refund = Refund::deserialize(&self.data.object).map_err(EventError::Shape)?;
                Ok(Subject::Refund {
                    id: refund.id.clone(),
                    refund: refund.try_into()?,
                })
            }
            _ => Ok(Subject::Other),
        }
    }
}
