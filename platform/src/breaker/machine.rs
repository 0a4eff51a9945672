//! The breaker as a pure state machine: no clock, no lock, no request. Times are durations since any fixed moment, and never
//! run backwards.

use std::collections::VecDeque;
use std::time::Duration;

/// Outcomes older than this no longer count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Below this many outcomes in the window nothing is concluded from them.
pub const MIN_REQUESTS: usize = 5;
/// The share of failures, in percent, from which on the breaker opens.
pub const OPEN_AT_PERCENT: usize = 60;
/// How long it stays open before a probe is let through.
pub const OPEN_FOR: Duration = Duration::from_secs(30);
/// Bounds the window's memory under load: the latest this many outcomes stand for it.
pub const MAX_OUTCOMES: usize = 1024;

/// What a breaker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// One probe is under way, the rest is refused.
    HalfOpen,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Success,
    /// No answer, or one that says that the destination is in trouble.
    Failure,
    /// The caller went away: nothing is known.
    Abandoned,
}

/// Stands for one admitted request; made by [`Machine::admit`] and given back with its outcome.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// Counts the changes of state: an outcome from before the last one says nothing about now.
    epoch: u64,
}

/// The state of one destination's breaker.
#[derive(Debug, Default)]
pub struct Machine {
    state: State,
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed { outcomes: VecDeque<(Duration, bool)> },
    Open { until: Duration },
    HalfOpen,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            outcomes: VecDeque::new(),
        }
    }
}

impl Machine {
    /// Admits a request, or says how long to wait.
    pub fn admit(&mut self, now: Duration) -> Result<Token, Duration> {
        match self.state {
            State::Closed { .. } => {}
            State::Open { until } if now >= until => self.enter(State::HalfOpen),
            State::Open { until } => return Err(until - now),
            // The probe's outcome decides; nobody knows when it comes.
            State::HalfOpen => return Err(Duration::from_secs(1)),
        }
        Ok(Token { epoch: self.epoch })
    }

    /// Takes the outcome of an admitted request.
    pub fn record(&mut self, token: Token, outcome: Outcome, now: Duration) {
        let Token { epoch } = token;
        if epoch != self.epoch {
            return;
        }
        match (&mut self.state, outcome) {
            (State::Closed { .. }, Outcome::Abandoned) | (State::Open { .. }, _) => {}
            (State::Closed { outcomes }, Outcome::Success | Outcome::Failure) => {
                remember(outcomes, now, outcome == Outcome::Failure);
                if should_open(outcomes) {
                    self.enter(State::Open {
                        until: now + OPEN_FOR,
                    });
                }
            }
            (State::HalfOpen, Outcome::Success) => self.enter(State::default()),
            (State::HalfOpen, Outcome::Failure) => self.enter(State::Open {
                until: now + OPEN_FOR,
            }),
            // The next request is the probe.
            (State::HalfOpen, Outcome::Abandoned) => self.enter(State::Open { until: now }),
        }
    }

    /// What the breaker is doing.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen => Phase::HalfOpen,
        }
    }

    /// Whether a request now would be refused.
    pub fn is_open(&self, now: Duration) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { until } => now < until,
            State::HalfOpen => true,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

fn remember(outcomes: &mut VecDeque<(Duration, bool)>, now: Duration, failed: bool) {
    outcomes.push_back((now, failed));
    while outcomes.len() > MAX_OUTCOMES || outcomes.front().is_some_and(|(at, _)| now - *at > WINDOW) {
        outcomes.pop_front();
    }
}

fn should_open(outcomes: &VecDeque<(Duration, bool)>) -> bool {
    let failures = outcomes.iter().filter(|(_, failed)| *failed).count();
    outcomes.len() >= MIN_REQUESTS && failures * 100 >= outcomes.len() * OPEN_AT_PERCENT
}
