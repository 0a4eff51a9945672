//! The one clock. Nothing else asks the system for the time, so a test can move it.

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// Tells the time: the system's, or in tests one that stands still until it is advanced.
///
/// Cloning is cheap, and all clones of a test clock show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Test(watch::Sender<Timestamp>),
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests, which stands at `now` until [`Clock::advance`] moves it.
    pub fn stopped_at(now: Timestamp) -> Self {
        Self(Source::Test(watch::Sender::new(now)))
    }

    /// The present moment, in microseconds at best: PostgreSQL and Avro keep no more, so nothing is lost on the way.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the clock that everyone else has to use"
            )]
            Source::System => truncate_to_micros(Timestamp::now()),
            Source::Test(now) => *now.borrow(),
        }
    }

    /// Moves a test clock forward and wakes those who wait in [`Clock::sleep_until`].
    ///
    /// # Panics
    /// On the system's clock, and when the result is out of range.
    #[expect(clippy::panic, reason = "only a test can get here")]
    pub fn advance(&self, by: SignedDuration) {
        let Source::Test(now) = &self.0 else {
            panic!("only a test clock can be advanced")
        };
        now.send_modify(|now| *now += by);
    }

    /// Waits until the clock shows `at` or later.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &self.0 {
            Source::System => {
                // A timer runs on the monotonic clock; when the system's clock is set back meanwhile, wait again.
                while let Ok(remaining) = std::time::Duration::try_from(at.duration_since(self.now())) {
                    if remaining.is_zero() {
                        return;
                    }
                    tokio::time::sleep(remaining).await;
                }
            }
            Source::Test(now) => {
                // The sender lives in `self`, so the channel cannot close while we wait.
                let _ = now.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}

fn truncate_to_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_test_clock_reaches_its_time() {
        let clock = Clock::stopped_at(Timestamp::UNIX_EPOCH);
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(30);
        let sleeper = clock.clone();
        let mut sleep = Box::pin(sleeper.sleep_until(at));
        assert!(futures::poll!(&mut sleep).is_pending());

        clock.advance(SignedDuration::from_secs(29));
        assert!(futures::poll!(&mut sleep).is_pending());

        clock.advance(SignedDuration::from_secs(1));
        sleep.await;
        assert_eq!(clock.now(), at);
    }
}
