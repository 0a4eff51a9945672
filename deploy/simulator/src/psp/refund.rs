//! Refunds: never more than was charged, and honest about those that fail later.

mod create;
mod read;

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Psp;
use super::desk::Desk;
use super::form::Metadata;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) payment_intent: String,
    pub(super) charge: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) reason: Option<String>,
    pub(super) metadata: Metadata,
    pub(super) created: i64,
    pub(super) state: RefundState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum RefundState {
    Pending {
        settles_at_ms: i64,
    },
    /// With `fails_at_ms` the customer's bank will send it back.
    Succeeded {
        fails_at_ms: Option<i64>,
    },
    Failed {
        reason: String,
    },
}

pub(super) fn routes() -> Router<Psp> {
    Router::new()
        .route("/v1/refunds", get(read::list).post(create::create))
        .route("/v1/refunds/{id}", get(read::get))
}

impl RefundState {
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Refund {
    pub(super) fn render(&self) -> Value {
        let mut rendered = json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": null,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "destination_details": { "type": "card", "card": { "type": "refund" } },
            "metadata": self.metadata,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "receipt_number": null,
            "status": self.state.status(),
        });
        if let (RefundState::Failed { reason }, Some(object)) = (&self.state, rendered.as_object_mut()) {
            object.insert("failure_reason".to_owned(), json!(reason));
        }
        rendered
    }
}

/// A pending refund arrives, or one that had arrived is sent back.
pub(super) fn come_due(desk: &mut Desk<'_>, id: &str) {
    let Some(mut refund) = desk.books.refunds.get(id).cloned() else {
        return;
    };
    match refund.state {
        RefundState::Pending { .. } => {
            refund.state = RefundState::Succeeded { fails_at_ms: None };
            desk.save_refund(refund.clone());
            desk.refund_event("refund.updated", &refund);
        }
        RefundState::Succeeded { fails_at_ms: Some(_) } => {
            refund.state = RefundState::Failed {
                reason: "expired_or_canceled_card".to_owned(),
            };
            desk.save_refund(refund.clone());
            if let Some(mut intent) = desk.books.intents.get(&refund.payment_intent).cloned() {
                intent.amount_refunded = intent.amount_refunded.saturating_sub(refund.amount);
                desk.save_intent(intent);
            }
            desk.refund_event("refund.failed", &refund);
        }
        RefundState::Succeeded { fails_at_ms: None } | RefundState::Failed { .. } => {}
    }
}
