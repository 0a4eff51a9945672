use std::sync::atomic::{AtomicU32, Ordering};

/// What is in vain once mostly is for a while: a member has died, a topic is read again, an aggregate is blocked.
const LONG_WAYS: u32 = 50;

/// A short way that now and then is found to be none, and costs more then than the long one.
#[derive(Debug)]
pub(crate) struct Shortcut {
    /// How often the long way is taken at once.
    long_ways: AtomicU32,
}

impl Shortcut {
    pub(crate) const fn new() -> Self {
        Self {
            long_ways: AtomicU32::new(0),
        }
    }

    /// Whether to try it this time.
    pub(crate) fn looks_open(&self) -> bool {
        let left = &self.long_ways;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_err()
    }

    /// It was tried in vain.
    pub(crate) fn was_none(&self) {
        self.long_ways.store(LONG_WAYS, Ordering::Relaxed);
    }
}
