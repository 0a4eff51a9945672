//! How we wait while infrastructure is gone: quickly at first, then every few seconds, for ever.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The longest pause between two tries. It bounds how late we notice that a broker or database is back.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Pauses between tries at something that will come back: 100 ms, growing to [`MAX_PAUSE`], with jitter.
#[derive(Debug)]
pub(crate) struct Hold(ExponentialBackoff);

impl Hold {
    pub(crate) fn new() -> Self {
        Self(ExponentialBackoff {
            initial_interval: Duration::from_millis(100),
            current_interval: Duration::from_millis(100),
            max_interval: MAX_PAUSE,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }

    /// How long to pause before the next try.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(MAX_PAUSE)
    }

    /// Pauses before the next try.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}
