//! What every event has, whichever topic it belongs to.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalogue::Topic;
use crate::ids::{EventId, MerchantId};
use crate::payment::{PaymentEvent, PaymentEventType};
use crate::settlement::{SettlementEvent, SettlementEventType};
use crate::withdrawal::{WithdrawalEvent, WithdrawalEventType};

/// An event type as records and headers carry it, e.g. `payment.succeeded`.
pub type EventType = &'static str;

/// One change of state of one aggregate, as it goes onto a topic.
pub trait DomainEvent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The topic that carries it.
    fn topic() -> &'static Topic;
    /// Unique per event.
    fn event_id(&self) -> EventId;
    /// What happened, e.g. `payment.succeeded`; `unknown` for a newer writer's type.
    fn event_type(&self) -> EventType;
    /// When it happened.
    fn occurred_at(&self) -> Timestamp;
    /// The aggregate's identifier: the record's key.
    fn aggregate_key(&self) -> String;
    /// Position among the aggregate's events, dense from 1.
    fn sequence(&self) -> i64;
    /// Whose it is.
    fn merchant_id(&self) -> MerchantId;
    /// What is published in its place when an operator discards it: same key and sequence, so that the sequence stays
    /// dense, and nothing to apply.
    #[must_use]
    fn withheld(&self) -> Self;
}

/// An event of any of the platform's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of `payments.payment.v1`.
    Payment(Box<PaymentEvent>),
    /// Of `settlements.settlement.v1`.
    Settlement(Box<SettlementEvent>),
    /// Of `settlements.withdrawal.v1`.
    Withdrawal(Box<WithdrawalEvent>),
}

macro_rules! of_each {
    ($self:ident, $event:ident => $value:expr) => {
        match $self {
            Event::Payment($event) => $value,
            Event::Settlement($event) => $value,
            Event::Withdrawal($event) => $value,
        }
    };
}

impl Event {
    /// See [`DomainEvent::event_id`].
    pub fn event_id(&self) -> EventId {
        of_each!(self, event => event.event_id)
    }

    /// See [`DomainEvent::event_type`].
    pub fn event_type(&self) -> EventType {
        of_each!(self, event => event.event_type.as_str())
    }

    /// See [`DomainEvent::occurred_at`].
    pub fn occurred_at(&self) -> Timestamp {
        of_each!(self, event => event.occurred_at)
    }

    /// See [`DomainEvent::aggregate_key`].
    pub fn aggregate_key(&self) -> String {
        of_each!(self, event => event.aggregate_key())
    }

    /// See [`DomainEvent::sequence`].
    pub fn sequence(&self) -> i64 {
        of_each!(self, event => event.sequence)
    }

    /// See [`DomainEvent::merchant_id`].
    pub fn merchant_id(&self) -> MerchantId {
        of_each!(self, event => event.merchant_id)
    }

    /// The event's type is a newer writer's, and this version cannot tell what it means.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Payment(event) => event.event_type == PaymentEventType::Unknown,
            Self::Settlement(event) => event.event_type == SettlementEventType::Unknown,
            Self::Withdrawal(event) => event.event_type == WithdrawalEventType::Unknown,
        }
    }

    /// An operator discarded what stood here; only the sequence counts.
    pub fn is_withheld(&self) -> bool {
        match self {
            Self::Payment(event) => event.event_type == PaymentEventType::Withheld,
            Self::Settlement(event) => event.event_type == SettlementEventType::Withheld,
            Self::Withdrawal(event) => event.event_type == WithdrawalEventType::Withheld,
        }
    }
}
