//! The relay.

/// Publishes the outbox.
#[derive(Debug)]
pub struct Relay;
