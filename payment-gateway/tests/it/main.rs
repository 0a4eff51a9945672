//! The gateway, from the outside: its HTTP on a real PostgreSQL and a PSP that does as it is told.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that does not find what it expects has failed"
)]

mod access;
mod cancelling;
mod creating;
mod idempotency;
mod input;
mod listing;
mod refunding;
mod support;
mod sweeping;
mod webhooks;
