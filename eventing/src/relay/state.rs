//! What a lane's task and the keeper know of each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::floor::Floor;

/// One lane's, shared by its task and the keeper.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    floor: Mutex<Floor>,
    deleted: AtomicBool,
    idle: AtomicBool,
    found_by_poll: AtomicBool,
}

impl LaneState {
    /// Where the next read begins.
    pub(super) fn floor(&self) -> Floor {
        *lock(&self.floor)
    }

    pub(super) fn raise(&self, floor: Floor) {
        *lock(&self.floor) = floor;
    }

    /// Rows were deleted, so the floor may rise.
    pub(super) fn deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether rows were deleted since the last call.
    pub(super) fn take_deleted(&self) -> bool {
        self.deleted.swap(false, Ordering::AcqRel)
    }

    /// Whether the lane's task waits for rows, so that somebody has to look for them.
    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Release);
    }

    /// A poll found rows of which nobody had told.
    pub(super) fn found_by_poll(&self) {
        self.found_by_poll.store(true, Ordering::Release);
    }

    pub(super) fn take_found_by_poll(&self) -> bool {
        self.found_by_poll.swap(false, Ordering::AcqRel)
    }
}

/// What all lanes of a relay do, as far as it decides how often rows are looked for.
#[derive(Debug)]
pub(super) struct Activity {
    worked_at: Mutex<Instant>,
    /// A lane sent rows that a poll had found, so more may come from where nobody tells us.
    unannounced: AtomicBool,
    asleep: AtomicBool,
    roused: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            worked_at: Mutex::new(Instant::now()),
            unannounced: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            roused: Notify::new(),
        }
    }

    /// A lane has found rows to send.
    pub(super) fn worked(&self, found_by_poll: bool) {
        *lock(&self.worked_at) = Instant::now();
        if found_by_poll {
            self.unannounced.store(true, Ordering::Release);
        }
        if self.asleep.swap(false, Ordering::AcqRel) {
            self.roused.notify_one();
        }
    }

    pub(super) fn idle_for(&self) -> Duration {
        lock(&self.worked_at).elapsed()
    }

    pub(super) fn take_unannounced(&self) -> bool {
        self.unannounced.swap(false, Ordering::AcqRel)
    }

    /// Somebody told of rows. It counts as work already, because the lanes may take a while to find them.
    pub(super) fn woke_up(&self) {
        *lock(&self.worked_at) = Instant::now();
        self.asleep.store(false, Ordering::Release);
    }

    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Release);
    }

    /// Waits until a lane works while the relay is asleep.
    pub(super) async fn roused(&self) {
        self.roused.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
