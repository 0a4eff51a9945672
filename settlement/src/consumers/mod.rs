//! What this service learns from topics.

pub mod payment_events;
