//! What the numbers mean. Pure.

pub mod scope;
pub mod stats;
