//! What the group `analytics-consumer` does with each event.

mod rollups;

pub use rollups::{Rollups, Rows};
