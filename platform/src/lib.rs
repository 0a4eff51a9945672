#![doc = include_str!("../README.md")]

pub mod auth;
pub mod breaker;
pub mod client;
mod commands;
pub mod config;
mod context;
pub mod cursor;
pub mod database;
mod dead_letters_pages;
pub mod health;
pub mod http;
mod pauses;
pub mod problem;
pub mod secrets;
mod serve;
mod service;
pub mod signature;
mod start;
mod tasks;
pub mod telemetry;

pub use context::Context;
pub use problem::Problem;
pub use service::{ServeError, Service};
pub use start::start;
pub use tasks::{TaskFailure, Tasks};
