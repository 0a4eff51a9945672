//! What is outside, and how it is spoken to.

pub mod stripe;
