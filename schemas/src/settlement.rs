//! Events of `settlements.settlement.v1`: what a merchant is owed for a period, and how far it got.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::{SETTLEMENTS, Topic};
use crate::event::DomainEvent;
use crate::ids::{EventId, MerchantId, SettlementNo, WithdrawalNo};
use crate::money::Currency;
use crate::words::{event_types, symbols};

event_types!(
    /// What happened to a settlement.
    SettlementEventType {
        /// It was drawn up, and waits for approval.
        Created = "settlement.created",
        /// A second person approved it.
        Approved = "settlement.approved",
        /// A second person rejected it; its entries are free again.
        Rejected = "settlement.rejected",
        /// Its withdrawal was created.
        Processing = "settlement.processing",
        /// The money arrived.
        Completed = "settlement.completed",
        /// The payout failed or came back; the amount is payable again.
        Failed = "settlement.failed",
        /// An operator discarded the event of this sequence; nothing is to be applied.
        Withheld = "settlement.withheld",
    }
);

symbols!(
    /// A settlement's status.
    SettlementStatus {
        /// Waits for a second person.
        PendingApproval = "pending_approval",
        /// Approved, not executed.
        Approved = "approved",
        /// Its withdrawal is under way.
        Processing = "processing",
        /// Paid out.
        Completed = "completed",
        /// Not paid out.
        Failed = "failed",
        /// Refused by the approver.
        Rejected = "rejected",
    }
);

/// One change of state of a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementEvent {
    /// Unique per event.
    pub event_id: EventId,
    /// What happened.
    pub event_type: SettlementEventType,
    /// When it happened, microseconds.
    #[serde(with = "crate::micros")]
    pub occurred_at: Timestamp,
    /// The settlement: aggregate and record key.
    pub settlement_no: SettlementNo,
    /// Who is settled.
    pub merchant_id: MerchantId,
    /// Position among this settlement's events: 1, 2, 3, … without a gap.
    pub sequence: i64,
    /// Status before the event; none at `settlement.created`.
    pub old_status: Option<SettlementStatus>,
    /// Status after the event.
    pub new_status: SettlementStatus,
    /// Charges, minor units.
    pub gross_amount: i64,
    /// Refunds held less refunds whose hold was released, minor units; negative when refunds that an earlier settlement
    /// took have failed since.
    pub refund_amount: i64,
    /// Fees, minor units, ≥ 0.
    pub fee_amount: i64,
    /// Earlier payouts that failed or came back, and are paid out again with this settlement, minor units, ≥ 0.
    #[serde(default)]
    pub returned_amount: i64,
    /// What is paid out, minor units, > 0: gross − refunds − fees + returned.
    pub net_amount: i64,
    /// ISO 4217 code of every amount in this event.
    pub currency: Currency,
    /// First instant of the period, microseconds.
    #[serde(with = "crate::micros")]
    pub period_start: Timestamp,
    /// First instant behind the period, microseconds.
    #[serde(with = "crate::micros")]
    pub period_end: Timestamp,
    /// How many ledger entries it settles.
    pub entry_count: i64,
    /// The payout, from `settlement.processing` on.
    #[serde(default)]
    pub withdrawal_no: Option<WithdrawalNo>,
}

impl DomainEvent for SettlementEvent {
    fn topic() -> &'static Topic {
        &SETTLEMENTS
    }

    fn event_id(&self) -> EventId {
        self.event_id
    }

    fn event_type(&self) -> &'static str {
        self.event_type.as_str()
    }

    fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    fn aggregate_key(&self) -> String {
        self.settlement_no.to_string()
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }

    fn withheld(&self) -> Self {
        Self {
            event_type: SettlementEventType::Withheld,
            ..self.clone()
        }
    }
}
