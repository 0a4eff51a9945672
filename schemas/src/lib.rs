#![doc = include_str!("../README.md")]

pub mod catalogue;
pub mod codec;
pub mod event;
pub mod ids;
mod micros;
pub mod money;
pub mod payment;
pub mod settlement;
pub mod withdrawal;
mod words;

pub use event::{DomainEvent, Event, EventType};
pub use ids::{
    ApiKeyId, CustomerRef, EventId, MerchantId, NotificationNo, PaymentNo, RefundNo, SettlementNo,
    WithdrawalNo,
};
pub use money::{Currency, Money, MoneyError};
