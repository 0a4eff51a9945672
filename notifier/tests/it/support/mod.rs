//! What tests stand on.

pub(crate) mod contacts;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod mailbox;
pub(crate) mod receiver;
pub(crate) mod tokens;
pub(crate) mod world;

use std::time::Duration;

/// Waits until `condition` gives something, and fails with `what` if it does not in time.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_mins(1);
    const PAUSE: Duration = Duration::from_millis(10);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}
