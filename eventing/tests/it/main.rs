//! What `eventing` promises, on a real PostgreSQL, a real Kafka broker and a real schema registry.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;
