//! What the service consumes.

pub mod events;
