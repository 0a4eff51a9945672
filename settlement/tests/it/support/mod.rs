//! Fixtures: a database of one test's own, the outside world, and the service between them.

pub(crate) mod bank;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod issuers;
pub(crate) mod outside;
pub(crate) mod requests;
pub(crate) mod world;

pub(crate) use events::Payment;
pub(crate) use world::World;

/// The address that `deploy/test` sets.
pub(crate) fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run deploy/test, which starts what the tests need")
    })
}
