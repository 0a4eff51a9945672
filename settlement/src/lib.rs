#![doc = include_str!("../README.md")]

pub mod clients;
pub mod config;
pub mod consumers;
pub mod domain;
pub mod error;
pub mod http;
pub mod payouts;
mod service;
pub mod store;

pub use service::Settlement;
