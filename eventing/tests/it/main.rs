//! What `eventing` promises, on a real PostgreSQL, a real Kafka broker and a real schema registry.
//!
//! Their addresses come from `TEST_DATABASE_URL`, `TEST_KAFKA_BROKERS` and `TEST_SCHEMA_REGISTRY_URL`; `deploy/test` starts
//! them and sets these.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod consuming;
mod corpus;
mod dead_letters;
mod outbox;
mod support;
