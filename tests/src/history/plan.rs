//! Which events fail, and what the operator does about it: a function of the seed, the aggregate and the sequence, so that
//! consumers, operator and checker agree without talking to each other.

use super::random::Random;

/// The classes under which planned failures die.
pub const CLASSES: [&str; 3] = ["planned_dead", "panic", "planned_retry"];

/// What becomes of an event at its first deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It is applied.
    Pass,
    /// It fails so many times, which are no more than there are tiers, and then is applied.
    Retry {
        /// How many times.
        times: u32,
    },
    /// It fails for good.
    Dead,
    /// The handler panics.
    Panic,
    /// It asks to be tried again until nobody does.
    Exhaust,
}

/// What the operator does with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Sends it again; the cause was removed, so now it passes.
    Replay,
    /// Gives it up.
    Discard,
}

impl Plan {
    /// The plan of an event.
    pub fn of(seed: u64, key: &str, sequence: i64) -> Self {
        let mut random = Random::named(seed ^ sequence.unsigned_abs(), key);
        match random.below(1000) {
            0..3 => Self::Dead,
            3 => Self::Panic,
            4..6 => Self::Exhaust,
            6..26 => Self::Retry {
                times: u32::try_from(random.between(1, 2)).unwrap_or(1),
            },
            _ => Self::Pass,
        }
    }

    /// Whether it becomes a dead letter.
    pub fn dies(self) -> bool {
        match self {
            Self::Pass | Self::Retry { .. } => false,
            Self::Dead | Self::Panic | Self::Exhaust => true,
        }
    }

    /// Whether this attempt fails.
    pub fn fails_at(self, attempt: u32) -> bool {
        match self {
            Self::Pass => false,
            Self::Retry { times } => attempt <= times,
            Self::Dead | Self::Panic | Self::Exhaust => true,
        }
    }
}

impl Remedy {
    /// What is done about the letter of an event.
    pub fn of(seed: u64, key: &str, sequence: i64) -> Self {
        let mut random = Random::named(seed ^ !sequence.unsigned_abs(), key);
        if random.per_mille(500) {
            Self::Replay
        } else {
            Self::Discard
        }
    }
}
