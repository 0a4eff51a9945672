//! What the platform promises its services, seen from outside: real HTTP on loopback, a real PostgreSQL, real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it is wrong"
)]
#![expect(clippy::indexing_slicing, reason = "a test ends where it is wrong")]

mod auth;
mod breaker;
mod browser;
mod calls;
mod collector;
mod database;
mod dead_letters_pages;
mod greeter;
mod operations;
mod requests;
mod service;
mod support;
mod watched;
