//! One payout.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::behaviour::Fate;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payout {
    pub(super) id: String,
    pub(super) amount: i64,
    /// Upper case.
    pub(super) currency: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) beneficiary: Value,
    pub(super) created: i64,
    pub(super) status: PayoutStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum PayoutStatus {
    Processing { fate: Fate, decided_at_ms: i64 },
    Completed { returns_at_ms: Option<i64> },
    Failed,
    Returned,
}

impl PayoutStatus {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Processing { .. } => "processing",
            Self::Completed { .. } => "completed",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

impl Payout {
    pub(super) fn withdrawal_no(&self) -> Option<&str> {
        self.metadata.get("withdrawal_no").and_then(Value::as_str)
    }

    pub(super) fn next_change_ms(&self) -> Option<i64> {
        match self.status {
            PayoutStatus::Processing { decided_at_ms, .. } => Some(decided_at_ms),
            PayoutStatus::Completed { returns_at_ms } => returns_at_ms,
            PayoutStatus::Failed | PayoutStatus::Returned => None,
        }
    }

    pub(super) fn render(&self) -> Value {
        let failure_code = match self.status {
            PayoutStatus::Failed => Some("account_closed"),
            PayoutStatus::Returned => Some("returned_by_beneficiary_bank"),
            PayoutStatus::Processing { .. } | PayoutStatus::Completed { .. } => None,
        };
        json!({
            "id": self.id,
            "object": "payout",
            "amount": self.amount,
            "currency": self.currency,
            "status": self.status.word(),
            "failure_code": failure_code,
            "metadata": self.metadata,
            "beneficiary": self.beneficiary,
            "created": self.created,
        })
    }
}
