//! The breaker as a pure state machine: no clock, no lock, no request. Times are durations since any fixed moment, and never
//! run backwards.

use std::collections::VecDeque;
use std::time::Duration;

/// Outcomes older than this no longer count.
pub const WINDOW: Duration = Duration::from_mins(1);
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
            State::Open { until } => return Err(until.saturating_sub(now)),
            // The probe's outcome decides; nobody knows when it comes.
            State::HalfOpen => return Err(Duration::from_secs(1)),
        }
        Ok(Token { epoch: self.epoch })
    }

    /// Takes the outcome of an admitted request.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a token stands for one request and is used up with it"
    )]
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
    while outcomes.len() > MAX_OUTCOMES
        || outcomes
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
    {
        outcomes.pop_front();
    }
}

fn should_open(outcomes: &VecDeque<(Duration, bool)>) -> bool {
    let failures = outcomes.iter().filter(|(_, failed)| *failed).count();
    outcomes.len() >= MIN_REQUESTS && failures * 100 >= outcomes.len() * OPEN_AT_PERCENT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Makes a request at `now` that ends at once.
    fn request(machine: &mut Machine, outcome: Outcome, now: Duration) -> bool {
        match machine.admit(now) {
            Ok(token) => {
                machine.record(token, outcome, now);
                true
            }
            Err(_) => false,
        }
    }

    fn opened_at(now: Duration) -> Machine {
        let mut machine = Machine::default();
        for _ in 0..MIN_REQUESTS {
            assert!(request(&mut machine, Outcome::Failure, now));
        }
        assert_eq!(machine.phase(), Phase::Open);
        machine
    }

    #[test]
    fn four_failures_do_not_open_it_and_the_fifth_does() {
        let mut machine = Machine::default();
        for _ in 0..4 {
            request(&mut machine, Outcome::Failure, seconds(0));
        }
        assert_eq!(machine.phase(), Phase::Closed);
        request(&mut machine, Outcome::Failure, seconds(0));
        assert_eq!(machine.phase(), Phase::Open);
    }

    #[test]
    fn three_failures_in_five_open_it_and_two_do_not() {
        for (failures, phase) in [(2, Phase::Closed), (3, Phase::Open)] {
            let mut machine = Machine::default();
            for request_number in 0..5 {
                let outcome = if request_number < 5 - failures {
                    Outcome::Success
                } else {
                    Outcome::Failure
                };
                request(&mut machine, outcome, seconds(0));
            }
            assert_eq!(machine.phase(), phase, "{failures} failures");
        }
    }

    #[test]
    fn failures_older_than_the_window_do_not_count() {
        let mut machine = Machine::default();
        for _ in 0..4 {
            request(&mut machine, Outcome::Failure, seconds(0));
        }
        request(&mut machine, Outcome::Failure, seconds(61));
        assert_eq!(machine.phase(), Phase::Closed);
    }

    #[test]
    fn an_open_breaker_says_how_long_to_wait_and_lets_one_probe_through_after_it() {
        let mut machine = opened_at(seconds(10));
        assert_eq!(machine.admit(seconds(15)), Err(seconds(25)));
        assert!(machine.is_open(seconds(39)) && !machine.is_open(seconds(40)));

        let probe = machine.admit(seconds(40)).unwrap();
        assert!(
            machine.admit(seconds(40)).is_err(),
            "a second probe was let through"
        );
        machine.record(probe, Outcome::Success, seconds(41));
        assert_eq!(machine.phase(), Phase::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_thirty_seconds() {
        let mut machine = opened_at(seconds(0));
        let probe = machine.admit(seconds(30)).unwrap();
        machine.record(probe, Outcome::Failure, seconds(33));
        assert_eq!(machine.admit(seconds(34)), Err(seconds(29)));
    }

    #[test]
    fn an_abandoned_probe_leaves_its_place_to_the_next_request() {
        let mut machine = opened_at(seconds(0));
        let probe = machine.admit(seconds(30)).unwrap();
        machine.record(probe, Outcome::Abandoned, seconds(31));
        assert!(machine.admit(seconds(31)).is_ok());
    }

    #[test]
    fn an_outcome_from_before_it_opened_is_no_outcome_of_the_probe() {
        let mut machine = Machine::default();
        let slow = machine.admit(seconds(0)).unwrap();
        for _ in 0..5 {
            request(&mut machine, Outcome::Failure, seconds(0));
        }
        let _probe = machine.admit(seconds(30)).unwrap();
        machine.record(slow, Outcome::Success, seconds(31));
        assert_eq!(machine.phase(), Phase::HalfOpen);
    }

    /// The specification, as naive as it reads: everything that ever happened, looked at anew each time.
    #[derive(Default)]
    struct Specification {
        outcomes: Vec<(Duration, Outcome)>,
        opened_at: Option<Duration>,
    }

    impl Specification {
        fn admits(&self, now: Duration) -> bool {
            self.opened_at
                .is_none_or(|at| now.saturating_sub(at) >= Duration::from_secs(30))
        }

        fn record(&mut self, outcome: Outcome, now: Duration) {
            match (self.opened_at, outcome) {
                (_, Outcome::Abandoned) => {}
                (Some(_), Outcome::Success) => *self = Self::default(),
                (Some(_), Outcome::Failure) => self.opened_at = Some(now),
                (None, Outcome::Success | Outcome::Failure) => {
                    self.outcomes.push((now, outcome));
                    let recent = self
                        .outcomes
                        .iter()
                        .filter(|(at, _)| now.saturating_sub(*at) <= Duration::from_mins(1));
                    let (failed, all) = recent.fold((0, 0), |(failed, all), (_, outcome)| {
                        (failed + u32::from(*outcome == Outcome::Failure), all + 1)
                    });
                    if all >= 5 && failed * 5 >= all * 3 {
                        self.opened_at = Some(now);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_admits_exactly_what_the_specification_admits(
            steps in prop::collection::vec(
                (0_u64..20_000, prop_oneof![
                    4 => Just(Outcome::Failure), 4 => Just(Outcome::Success), 1 => Just(Outcome::Abandoned),
                ]),
                0..200,
            ),
        ) {
            let (mut machine, mut specification) = (Machine::default(), Specification::default());
            let mut now = Duration::ZERO;
            for (pause_ms, outcome) in steps {
                now += Duration::from_millis(pause_ms);
                let expected = specification.admits(now);
                prop_assert_eq!(request(&mut machine, outcome, now), expected, "at {:?}", now);
                if expected {
                    specification.record(outcome, now);
                }
            }
        }

        #[test]
        fn never_is_more_than_one_probe_under_way(
            steps in prop::collection::vec((0_u64..40_000, any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut machine = opened_at(Duration::ZERO);
            let mut under_way = Vec::new();
            let mut now = Duration::ZERO;
            for (pause_ms, asks, which) in steps {
                now += Duration::from_millis(pause_ms);
                if asks {
                    let was_closed = machine.phase() == Phase::Closed;
                    let admitted = machine.admit(now);
                    prop_assert!(was_closed || admitted.is_err() || under_way.is_empty());
                    if !was_closed {
                        under_way.extend(admitted);
                    }
                } else if !under_way.is_empty() {
                    let probe = under_way.swap_remove(which.index(under_way.len()));
                    machine.record(probe, Outcome::Failure, now);
                }
            }
        }
    }
}
