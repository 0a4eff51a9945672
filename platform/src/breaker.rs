//! Circuit breakers: a destination that fails is left alone for a while.
//!
//! Open when at least 5 requests in a sliding 60 s saw at least 60 % failures; half-open after 30 s, when one probe decides.
//! Whoever makes the calls says what a failure is: a decline or a 4xx other than 429 is an answer, not a failure.
//!
//! [`machine::Machine`] is the pure state machine; [`Breaker`] shares one between callers; [`Breakers`] keeps one for each of
//! many endpoints, and forgets those that nobody calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventing::Condition;
use tokio::sync::watch;
use tokio::time::Instant;

pub mod machine;
mod metrics;

use machine::{Machine, Outcome, Phase, Token};

/// The breaker of one destination. Cheap to clone; clones share the state.
#[derive(Debug, Clone)]
pub struct Breaker {
    machine: Arc<Mutex<Machine>>,
    family: &'static str,
    condition: watch::Sender<Condition>,
}

/// The destination is left alone; come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open for another {} ms", retry_after.as_millis())]
pub struct Open {
    /// Until a request may be let through again.
    pub retry_after: Duration,
}

/// Leave for one request. Its outcome must be recorded; dropped without one (the caller went away), it counts as neither.
#[derive(Debug)]
#[must_use = "record the outcome of the request"]
pub struct Permit {
    breaker: Breaker,
    token: Option<Token>,
}

impl Breaker {
    /// A closed breaker. `family` is its label in metrics.
    pub fn new(family: &'static str) -> Self {
        Self {
            machine: Arc::default(),
            family,
            condition: watch::Sender::new(Condition::Up),
        }
    }

    /// Asks to make one request now.
    pub fn permit(&self) -> Result<Permit, Open> {
        let admitted = self.change(Machine::admit);
        match admitted {
            Ok(token) => Ok(Permit {
                breaker: self.clone(),
                token: Some(token),
            }),
            Err(retry_after) => Err(Open { retry_after }),
        }
    }

    /// Whether requests are refused at this moment.
    pub fn is_open(&self) -> bool {
        self.lock().is_open(now())
    }

    /// Degraded while the breaker is not closed, for health.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    fn record(&self, token: Token, outcome: Outcome) {
        self.change(|machine, now| machine.record(token, outcome, now));
    }

    /// Runs one step of the machine, and counts the change of state if there is one.
    fn change<T>(&self, step: impl FnOnce(&mut Machine, Duration) -> T) -> T {
        let mut machine = self.lock();
        let before = machine.phase();
        let result = step(&mut machine, now());
        let after = machine.phase();
        if before != after {
            self.announce(before, after);
        }
        result
    }

    fn announce(&self, before: Phase, after: Phase) {
        metrics::changed(self.family, before, after);
        let condition = match after {
            Phase::Closed => Condition::Up,
            Phase::Open | Phase::HalfOpen => {
                Condition::Degraded("calls fail: the breaker is open".to_owned())
            }
        };
        self.condition.send_replace(condition);
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The destination answered, whatever it said.
    pub fn success(mut self) {
        self.settle(Outcome::Success);
    }

    /// The destination failed: no answer, a 5xx, or a 429.
    pub fn failure(mut self) {
        self.settle(Outcome::Failure);
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(token) = self.token.take() {
            self.breaker.record(token, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(Outcome::Abandoned);
    }
}

/// Time as the state machine takes it: monotonic, since the first question.
fn now() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// A breaker for each of many endpoints of one kind (merchants' webhooks), at most [`Breakers::MAX`] of them.
#[derive(Debug, Clone)]
pub struct Breakers {
    by_endpoint: moka::sync::Cache<String, Breaker>,
    family: &'static str,
}

impl Breakers {
    /// More endpoints than this are not told apart for long: the ones least used are forgotten, which closes their breaker.
    pub const MAX: u64 = 10_000;
    /// A breaker nobody asked for this long has nothing left in its window.
    const FORGET_AFTER: Duration = Duration::from_mins(10);

    /// No breakers yet. `family` is their common label in metrics: endpoints are too many to be labels.
    pub fn new(family: &'static str) -> Self {
        let by_endpoint = moka::sync::Cache::builder()
            .max_capacity(Self::MAX)
            .time_to_idle(Self::FORGET_AFTER)
            .build();
        Self { by_endpoint, family }
    }

    /// The breaker of this endpoint, always the same one while it is in use.
    pub fn of(&self, endpoint: &str) -> Breaker {
        self.by_endpoint
            .get_with_by_ref(endpoint, || Breaker::new(self.family))
    }
}
