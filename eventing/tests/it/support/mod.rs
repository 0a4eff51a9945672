//! Fixtures: a database, topics and registered schemas of one test's own.

pub(crate) mod broker;
pub(crate) mod database;
pub(crate) mod database_proxy;
pub(crate) mod events;
pub(crate) mod lanes;
pub(crate) mod metrics;
pub(crate) mod proxy;
pub(crate) mod tunnel;
pub(crate) mod world;

use std::time::{Duration, Instant};

pub(crate) use world::World;

/// How long a test waits for what has to happen. Far more than it takes on a slow machine: a test that passes never waits so
/// long.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The address that `deploy/test` sets.
pub(crate) fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run deploy/test, which starts what the tests need")
    })
}

/// Waits until a condition holds, and fails the test when it does not in time.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(
            began.elapsed() < DEADLINE,
            "in {DEADLINE:?} it did not happen that {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
