//! How an idle relay waits: woken by commits of its own process, polling for those of others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// While events come, an unannounced one waits no longer than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// At rest we ask 20 times a second, which costs about a hundredth of a core.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Polls every millisecond after work was found, backing off to every 50 ms.
///
/// There is no `NOTIFY`: inside every transaction it serialises commits.
#[derive(Debug)]
pub(super) struct Wake {
    committed: Arc<Notify>,
    pause: Duration,
}

impl Wake {
    pub(super) fn new(committed: Arc<Notify>) -> Self {
        Self {
            committed,
            pause: SHORTEST_PAUSE,
        }
    }

    /// Work was found, so more may follow soon.
    pub(super) fn worked(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }

    /// Waits until there may be work.
    pub(super) async fn wait(&mut self) {
        // A timeout is a poll as any other.
        let _ = tokio::time::timeout(self.pause, self.committed.notified()).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
