//! Pauses between tries: growing, with jitter. The only place that knows the crate `backoff`, which is no longer maintained.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// Pauses that double from a first to a longest one, each spread by half its length either way.
pub(crate) struct Pauses {
    policy: ExponentialBackoff,
    longest: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let policy = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            multiplier: 2.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { policy, longest }
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.policy.next_backoff().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_millis(800));
        let first = pauses.next();
        assert!((50..=150).contains(&first.as_millis()), "{first:?}");
        let later: Vec<_> = (0..20).map(|_| pauses.next()).collect();
        assert!(later.iter().all(|pause| pause.as_millis() <= 1200), "{later:?}");
        assert!(later.iter().any(|pause| pause.as_millis() > 300), "{later:?}");
    }
}
