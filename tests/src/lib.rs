#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "what tells a story of a test may fail as a test does"
)]
#![doc = include_str!("../README.md")]

pub mod answer;
pub mod audit;
pub mod browser;
pub mod collector;
pub mod history;
pub mod outside;
pub mod settling;
pub mod shop;
pub mod topics;
pub mod wait;
pub mod world;

pub use answer::Answer;
pub use shop::Shop;
pub use wait::eventually;
pub use world::{World, story};
