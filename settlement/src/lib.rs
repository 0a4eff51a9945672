#![doc = include_str!("../README.md")]

pub mod clients;
pub mod config;
pub mod consumers;
pub mod domain;
pub mod payouts;
pub mod store;
