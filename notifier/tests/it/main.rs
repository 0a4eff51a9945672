//! The notifier on a real PostgreSQL, a real SMTP conversation and real HTTP, all on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod api;
mod delivering;
mod fairness;
mod operators;
mod planning;
mod support;
mod unknown_outcomes;
mod webhooks;
