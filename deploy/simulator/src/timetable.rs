//! What happens later by itself: delayed payments, sessions that expire, payouts that arrive. One owned task each for
//! the PSP and the bank, however many things are due.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;

#[derive(Debug)]
pub(crate) struct Timetable<D> {
    entries: Mutex<BTreeMap<(i64, u64), D>>,
    next_number: std::sync::atomic::AtomicU64,
    added: Notify,
}

impl<D> Timetable<D> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::new(BTreeMap::new()),
            next_number: std::sync::atomic::AtomicU64::new(0),
            added: Notify::new(),
        }
    }

    pub(crate) fn add(&self, at_ms: i64, due: D) {
        let number = self
            .next_number
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.entries().insert((at_ms, number), due);
        self.added.notify_one();
    }

    /// Hands out what falls due, in order, until `shutdown`.
    pub(crate) async fn run(&self, shutdown: &CancellationToken, mut happen: impl FnMut(D)) {
        loop {
            while let Some(due) = self.pop(clock::unix_millis()) {
                happen(due);
            }
            let pause = self.until_next();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.added.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn pop(&self, now_ms: i64) -> Option<D> {
        let mut entries = self.entries();
        let first = entries.first_entry()?;
        (first.key().0 <= now_ms).then(|| first.remove())
    }

    fn until_next(&self) -> Duration {
        match self.entries().first_key_value() {
            None => Duration::from_hours(1),
            Some(((at_ms, _), _)) => {
                Duration::from_millis(u64::try_from(at_ms.saturating_sub(clock::unix_millis())).unwrap_or(0))
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(i64, u64), D>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
