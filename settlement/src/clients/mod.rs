//! Who this service calls.

pub mod bank;
