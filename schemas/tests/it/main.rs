//! The contract of the topics: schemas, event types and wire format.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod asyncapi;
mod lint;
mod samples;
mod wire;
