//! What an attempt came to, and what that makes of the notice.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::notice::State;
use super::reason::Reason;

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination took it.
    Delivered {
        /// The status of its answer (HTTP or SMTP).
        code: u16,
    },
    /// It will never be taken as things are: trying again by ourselves is pointless.
    Refused {
        /// Why.
        reason: Reason,
        /// The status of the answer, if there was one.
        code: Option<u16>,
    },
    /// The destination answered, and did not take it this time.
    Failed {
        /// Why.
        reason: Reason,
        /// The status of the answer.
        code: u16,
        /// How long the destination asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Proof that nothing reached the destination.
    NotSent {
        /// Why.
        reason: Reason,
    },
    /// It may or may not have arrived. It is repeated with the same id, by which the receiver tells.
    Unknown {
        /// What was seen.
        reason: Reason,
    },
}

impl Outcome {
    /// The word in JSON, SQL and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::NotSent { .. } => "not_sent",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Why it is not `delivered`.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Delivered { .. } => None,
            Self::Refused { reason, .. }
            | Self::Failed { reason, .. }
            | Self::NotSent { reason }
            | Self::Unknown { reason } => Some(*reason),
        }
    }

    /// The status of the destination's answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Delivered { code } | Self::Failed { code, .. } => Some(*code),
            Self::Refused { code, .. } => *code,
            Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// How long to wait after each failed attempt of a round; after the last one the notice has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
}

/// What may be added to or taken from a delay, so that what failed together is not repeated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u32);

impl Jitter {
    /// The widest spread to each side, in permille of the delay.
    const SPREAD_PERMILLE: u32 = 100;

    /// From any random number.
    pub fn from_random(random: u32) -> Self {
        Self(1000 - Self::SPREAD_PERMILLE + random % (2 * Self::SPREAD_PERMILLE + 1))
    }

    fn apply(self, delay: Duration) -> Duration {
        delay.saturating_mul(self.0) / 1000
    }
}

impl RetrySchedule {
    /// No delay, whatever asked for it, is longer.
    pub const LONGEST_DELAY: Duration = Duration::from_hours(24);

    /// A schedule of these delays. Those over [`RetrySchedule::LONGEST_DELAY`] are cut to it.
    pub fn new(delays: Vec<Duration>) -> Self {
        Self {
            delays: delays.into_iter().map(|it| it.min(Self::LONGEST_DELAY)).collect(),
        }
    }

    /// How long a round lasts if every attempt fails.
    pub fn total(&self) -> Duration {
        self.delays.iter().sum()
    }

    /// Whether a round that has had `round_attempts` attempts may have no more.
    pub fn is_exhausted(&self, round_attempts: u32) -> bool {
        usize::try_from(round_attempts).is_ok_and(|attempts| attempts > self.delays.len())
    }

    /// What `outcome`, of the attempt that is number `round_attempts` (from 1) in its round, makes of the notice.
    pub fn after(&self, outcome: &Outcome, round_attempts: u32, now: Timestamp, jitter: Jitter) -> State {
        match *outcome {
            Outcome::Delivered { .. } => State::Sent { sent_at: now },
            Outcome::Refused { reason, .. } => State::Failed { reason },
            Outcome::Failed {
                reason, retry_after, ..
            } => self.again(reason, round_attempts, now, jitter, retry_after),
            Outcome::NotSent { reason } | Outcome::Unknown { reason } => {
                self.again(reason, round_attempts, now, jitter, None)
            }
        }
    }

    fn again(
        &self,
        reason: Reason,
        round_attempts: u32,
        now: Timestamp,
        jitter: Jitter,
        retry_after: Option<Duration>,
    ) -> State {
        let place = usize::try_from(round_attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(delay) = self.delays.get(place) else {
            return State::Failed { reason };
        };
        let asked = retry_after.unwrap_or_default().min(Self::LONGEST_DELAY);
        State::Pending {
            due_at: later(now, jitter.apply(*delay).max(asked)),
        }
    }
}

/// `now` plus `delay`, at the end of time if that overflows.
pub fn later(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|it| now.checked_add(it).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn schedule() -> RetrySchedule {
        RetrySchedule::new(vec![Duration::from_secs(10), Duration::from_secs(100)])
    }

    fn due_after(state: &State) -> i64 {
        let State::Pending { due_at } = state else {
            panic!("expected a pending notice, got {state:?}")
        };
        due_at.as_second()
    }

    #[test]
    fn each_failure_waits_for_its_own_delay_and_the_last_one_ends_it() {
        let unknown = Outcome::Unknown {
            reason: Reason::TimedOut,
        };
        let jitter = Jitter::from_random(Jitter::SPREAD_PERMILLE);
        assert_eq!(due_after(&schedule().after(&unknown, 1, NOW, jitter)), 10);
        assert_eq!(due_after(&schedule().after(&unknown, 2, NOW, jitter)), 100);
        assert_eq!(
            schedule().after(&unknown, 3, NOW, jitter),
            State::Failed {
                reason: Reason::TimedOut
            }
        );
    }

    #[test]
    fn a_refusal_ends_it_at_once() {
        let refused = Outcome::Refused {
            reason: Reason::EndpointGone,
            code: Some(410),
        };
        let after = schedule().after(&refused, 1, NOW, Jitter::from_random(0));
        assert_eq!(
            after,
            State::Failed {
                reason: Reason::EndpointGone
            }
        );
    }

    #[test]
    fn the_destination_may_ask_for_more_time_but_not_for_ever() {
        let asks = |seconds| Outcome::Failed {
            reason: Reason::AnswerRefused,
            code: 429,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let jitter = Jitter::from_random(Jitter::SPREAD_PERMILLE);
        assert_eq!(due_after(&schedule().after(&asks(50), 1, NOW, jitter)), 50);
        assert_eq!(due_after(&schedule().after(&asks(1), 1, NOW, jitter)), 10);
        assert_eq!(
            due_after(&schedule().after(&asks(u64::MAX), 1, NOW, jitter)),
            24 * 3600
        );
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for random in [0, 1, 77, 200, 201, u32::MAX] {
            let delay = Jitter::from_random(random).apply(Duration::from_secs(1000));
            assert!((900..=1100).contains(&delay.as_secs()), "{delay:?}");
        }
    }
}
