#![doc = include_str!("../README.md")]

pub mod clients;
pub mod config;
pub mod consumers;
pub mod delivery;
pub mod domain;
pub mod error;
pub mod http;
pub mod letters;
mod service;
pub mod store;

pub use service::Notifier;
