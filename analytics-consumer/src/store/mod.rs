//! The service's own tables.

pub mod events;
pub mod payouts;
pub mod rollups;
pub mod tokens;
