//! settlement
pub mod domain;
