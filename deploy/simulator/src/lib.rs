#![doc = include_str!("../README.md")]

mod bank;
mod clock;
mod control;
mod courier;
mod ground;
mod hooks;
mod http;
mod http_client;
mod idempotency;
mod issuer;
mod journal;
mod mail;
mod page;
mod plan;
mod psp;
mod ring;
mod serve;
mod shelf;
mod signature;
mod timetable;
mod traffic;

pub use serve::{ServeError, ServeSettings, Simulator};
pub use traffic::{TrafficError, TrafficSettings, run as run_traffic};
