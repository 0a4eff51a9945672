//! What the stories are told with: a gateway on a database of its own, a PSP that does as it is told, and a merchant.

pub(crate) mod database;
pub(crate) mod psp;
pub(crate) mod psp_routes;
pub(crate) mod request;
pub(crate) mod staff;
pub(crate) mod world;

use std::time::{Duration, Instant};

pub(crate) use psp::Behaviour;
pub(crate) use request::Reply;
pub(crate) use world::World;

/// How long a test waits for what has to happen; far more than it takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(30);

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
