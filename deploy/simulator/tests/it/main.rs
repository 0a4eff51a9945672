//! The outside world as its clients meet it: over HTTP and SMTP on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that finds something unexpected stops there"
)]

mod bank;
mod checkout;
mod control;
mod hooks;
mod issuer;
mod mail;
mod payments;
mod refunds;
mod restart;
mod support;
mod traffic;
mod unreliable;
mod webhooks;
