//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a story waits for something that should come by itself, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_mins(1);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `condition` gives something; an error counts as not yet, and is told if it never does.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        let last = match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if started.elapsed() > PATIENCE {
            match last {
                Some(error) => bail!(
                    "waited {} s in vain for: {what}; at last: {error:#}",
                    PATIENCE.as_secs()
                ),
                None => bail!("waited {} s in vain for: {what}", PATIENCE.as_secs()),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
