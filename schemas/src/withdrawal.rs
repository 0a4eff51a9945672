//! Events of `settlements.withdrawal.v1`: a payout to a merchant's bank, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Topic, WITHDRAWALS};
use crate::event::DomainEvent;
use crate::ids::{EventId, MerchantId, SettlementNo, WithdrawalNo};
use crate::money::Currency;
use crate::words::{event_types, symbols};

event_types!(
    /// What happened to a withdrawal.
    WithdrawalEventType {
        /// It exists; nothing was sent to the bank yet.
        Created = "withdrawal.created",
        /// The bank was asked.
        Processing = "withdrawal.processing",
        /// The bank paid.
        Completed = "withdrawal.completed",
        /// The bank refused.
        Failed = "withdrawal.failed",
        /// The bank paid, and the money came back.
        Returned = "withdrawal.returned",
        /// An operator discarded the event of this sequence; nothing is to be applied.
        Withheld = "withdrawal.withheld",
    }
);

symbols!(
    /// A withdrawal's status.
    WithdrawalStatus {
        /// Not yet sent to the bank.
        Pending = "pending",
        /// Sent to the bank; the outcome is not known.
        Processing = "processing",
        /// Paid.
        Completed = "completed",
        /// Refused.
        Failed = "failed",
        /// Paid and come back.
        Returned = "returned",
    }
);

symbols!(
    /// Why a payout failed or came back, in words of ours.
    WithdrawalFailureCode {
        /// The account does not exist or is closed.
        AccountClosed = "account_closed",
        /// The account details are wrong.
        AccountInvalid = "account_invalid",
        /// The bank refused for another reason.
        BankRejected = "bank_rejected",
        /// The receiving bank sent the money back.
        ReturnedByBank = "returned_by_bank",
    }
);

/// One change of state of a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalEvent {
    /// Unique per event.
    pub event_id: EventId,
    /// What happened.
    pub event_type: WithdrawalEventType,
    /// When it happened, microseconds.
    #[serde(with = "crate::micros")]
    pub occurred_at: Timestamp,
    /// The withdrawal: aggregate and record key.
    pub withdrawal_no: WithdrawalNo,
    /// The settlement that it pays out.
    pub settlement_no: SettlementNo,
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// Position among this withdrawal's events: 1, 2, 3, … without a gap.
    pub sequence: i64,
    /// Status before the event; none at `withdrawal.created`.
    pub old_status: Option<WithdrawalStatus>,
    /// Status after the event.
    pub new_status: WithdrawalStatus,
    /// What is paid out, minor units, > 0.
    pub amount: i64,
    /// ISO 4217 code of the amount.
    pub currency: Currency,
    /// Why it failed or came back; at `withdrawal.failed` and `.returned` only.
    #[serde(default)]
    pub failure_code: Option<WithdrawalFailureCode>,
}

impl DomainEvent for WithdrawalEvent {
    fn topic() -> &'static Topic {
        &WITHDRAWALS
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
        self.withdrawal_no.to_string()
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }

    fn withheld(&self) -> Self {
        Self {
            event_type: WithdrawalEventType::Withheld,
            failure_code: None,
            ..self.clone()
        }
    }
}
