//! The outbox.

/// Appends events.
#[derive(Clone, Debug)]
pub struct Outbox;
