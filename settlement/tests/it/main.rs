//! The service on a real PostgreSQL, with the bank and the token issuers played over HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod balances;
mod bank_webhooks;
mod ledger;
mod payouts;
mod refused;
mod settlements;
mod support;
mod two_at_once;
