//! When a withdrawal is looked at next.

use jiff::{SignedDuration, Timestamp};

use crate::domain::withdrawal::{Withdrawal, WithdrawalState};

/// The longest distance between two looks at a payout whose outcome is open.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// How long the bank surely still knows an order by its idempotency key. Banks promise 24 hours; the rest is for clocks that
/// disagree and for the call itself.
pub const REPEATABLE_FOR: SignedDuration = SignedDuration::from_hours(20);

/// A payout that was paid is asked about once a day, in case the webhook that says that it came back was lost.
const RETURN_CHECK_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Nearly all returns come within a few banking days.
const RETURN_CHECKED_FOR: SignedDuration = SignedDuration::from_hours(10 * 24);

/// An outcome that is open for this long does not come by itself.
pub const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// The distances between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    first_pause: SignedDuration,
    claim: SignedDuration,
}

impl Schedule {
    /// Begins with `first_pause` and doubles up to five minutes; whoever looks has `claim` to itself.
    pub fn new(first_pause: SignedDuration, claim: SignedDuration) -> Self {
        Self {
            first_pause: first_pause.min(LONGEST_PAUSE),
            claim,
        }
    }

    /// Until when a look that begins now is left alone by the other replicas.
    pub fn claimed_until(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.claim).unwrap_or(now)
    }

    /// When to look again, after `attempts` looks without a change; `None` if nothing is left to do.
    pub fn next_look(&self, withdrawal: &Withdrawal, attempts: i32, now: Timestamp) -> Option<Timestamp> {
        match &withdrawal.state {
            WithdrawalState::Pending | WithdrawalState::Processing { .. } => {
                now.checked_add(self.pause(attempts)).ok()
            }
            WithdrawalState::Completed { completed_at, .. } => {
                let next = now.checked_add(RETURN_CHECK_EVERY).ok()?;
                (next.duration_since(*completed_at) <= RETURN_CHECKED_FOR).then_some(next)
            }
            WithdrawalState::Failed { .. } | WithdrawalState::Returned { .. } => None,
        }
    }

    fn pause(&self, attempts: i32) -> SignedDuration {
        let doublings = attempts.clamp(0, 20);
        let factor = 1_i32.checked_shl(doublings.unsigned_abs()).unwrap_or(i32::MAX);
        self.first_pause
            .checked_mul(factor)
            .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))
    }
}

/// Whether an order that may first have left at `first_posted_at` may be repeated.
pub fn may_repeat(first_posted_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(first_posted_at) < REPEATABLE_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let schedule = Schedule::new(SignedDuration::from_secs(1), SignedDuration::from_secs(40));
        let pauses: Vec<i64> = [0, 1, 2, 8, 9, 1_000_000]
            .map(|attempts| schedule.pause(attempts).as_secs())
            .into();
        assert_eq!(pauses, [1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn an_order_is_not_repeated_after_twenty_hours() {
        let first: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        assert!(may_repeat(first, "2026-01-31T19:59:59Z".parse().unwrap()));
        assert!(!may_repeat(first, "2026-01-31T20:00:00Z".parse().unwrap()));
    }
}
