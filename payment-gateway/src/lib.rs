#![doc = include_str!("../README.md")]

pub mod auth;
pub mod charging;
pub mod clients;
pub mod config;
pub mod domain;
pub mod error;
pub mod http;
pub mod secrets;
mod service;
pub mod store;

pub use service::PaymentGateway;
