//! What is pending, and what the next step of a lane is; pure but for the time it is given.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Mode, Parcel, Target};

/// Events that may wait for a receiver that is down; at some hundred events a second that is minutes.
const MAX_PENDING: usize = 100_000;
/// Retries are spaced by 100 ms, 200 ms, … up to this.
const MAX_BACKOFF_MS: i64 = 2_000;
/// After so long an event is given up: a receiver that is down for minutes loses nothing, one that answers 500 to
/// one event for an hour does not fill the memory.
const MAX_AGE_MS: i64 = 3_600_000;
/// Unless told otherwise, `reversed` waits so long for further events of an object: longer than a delayed payment.
pub(super) const DEFAULT_WINDOW: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct State {
    pub(super) target: Target,
    pub(super) mode: Mode,
    pub(super) window: Duration,
    pub(super) delivered: u64,
    pub(super) abandoned: u64,
    lanes: HashMap<String, Lane>,
    pending: usize,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// So many events at the front were reversed already and may leave.
    cleared: usize,
    last_added_ms: i64,
}

#[derive(Debug)]
struct Waiting {
    parcel: Parcel,
    created_ms: i64,
    not_before_ms: i64,
    attempts: u32,
    sent_once: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    NewLane,
    ExistingLane,
    Refused,
}

/// What a lane's task does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Post this parcel once, then report.
    Attempt(Parcel),
    /// Look again after this time, or when the mode changes.
    Wait(Duration),
    /// Look again when the mode changes.
    WaitForMode,
    /// The lane is empty and was removed.
    Finished,
}

impl State {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            mode: Mode::Normal,
            window: DEFAULT_WINDOW,
            delivered: 0,
            abandoned: 0,
            lanes: HashMap::new(),
            pending: 0,
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    pub(super) fn push(&mut self, parcel: Parcel, now_ms: i64, lag: Duration) -> Pushed {
        if self.pending >= MAX_PENDING {
            tracing::error!(id = parcel.id, "too many webhooks wait; this one is given up");
            self.abandoned += 1;
            return Pushed::Refused;
        }
        self.pending += 1;
        let new_lane = !self.lanes.contains_key(&parcel.key);
        let lane = self.lanes.entry(parcel.key.clone()).or_default();
        lane.last_added_ms = now_ms;
        lane.waiting.push_back(Waiting {
            parcel,
            created_ms: now_ms,
            not_before_ms: now_ms.saturating_add(millis(lag)),
            attempts: 0,
            sent_once: false,
        });
        if new_lane {
            Pushed::NewLane
        } else {
            Pushed::ExistingLane
        }
    }

    pub(super) fn holds_any(&self, key: &str, ids: &[String]) -> bool {
        self.lanes.get(key).is_some_and(|lane| {
            lane.waiting
                .iter()
                .any(|waiting| ids.contains(&waiting.parcel.id))
        })
    }

    pub(super) fn reverse_lanes(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.waiting.make_contiguous().reverse();
        }
    }

    pub(super) fn step(&mut self, key: &str, now_ms: i64) -> Step {
        let mode = self.mode;
        let window_ms = millis(self.window);
        let Some(lane) = self.lanes.get_mut(key) else {
            return Step::Finished;
        };
        if lane.waiting.is_empty() {
            self.lanes.remove(key);
            return Step::Finished;
        }
        if mode == Mode::Held {
            return Step::WaitForMode;
        }
        if mode == Mode::Reversed && lane.cleared == 0 {
            let quiet_at_ms = lane.last_added_ms.saturating_add(window_ms);
            if now_ms < quiet_at_ms {
                return Step::Wait(duration(quiet_at_ms - now_ms));
            }
            lane.waiting.make_contiguous().reverse();
            lane.cleared = lane.waiting.len();
        }
        match lane.waiting.front() {
            None => Step::Finished,
            Some(first) if now_ms < first.not_before_ms => Step::Wait(duration(first.not_before_ms - now_ms)),
            Some(first) => Step::Attempt(first.parcel.clone()),
        }
    }

    /// Takes note of an attempt; tells whether the parcel is done with.
    pub(super) fn attempted(&mut self, key: &str, id: &str, accepted: bool, now_ms: i64) -> bool {
        let Some(lane) = self.lanes.get_mut(key) else {
            return false;
        };
        // A release in reversed order may have moved the parcel while it was under way.
        let Some(position) = lane.waiting.iter().position(|waiting| waiting.parcel.id == id) else {
            return false;
        };
        let Some(waiting) = lane.waiting.get_mut(position) else {
            return false;
        };
        if accepted {
            self.delivered += 1;
            if self.mode == Mode::Duplicate && !waiting.sent_once {
                waiting.sent_once = true;
                return false;
            }
        } else {
            waiting.attempts = waiting.attempts.saturating_add(1);
            if now_ms.saturating_sub(waiting.created_ms) < MAX_AGE_MS {
                let backoff_ms = 100_i64.saturating_mul(1 << waiting.attempts.min(6).saturating_sub(1));
                waiting.not_before_ms = now_ms.saturating_add(backoff_ms.min(MAX_BACKOFF_MS));
                return false;
            }
            tracing::error!(id, "a webhook was not accepted for an hour and is given up");
            self.abandoned += 1;
        }
        lane.waiting.remove(position);
        lane.cleared = lane.cleared.saturating_sub(1);
        self.pending = self.pending.saturating_sub(1);
        true
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(positive_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(positive_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "pi_1";

    fn state_with(mode: Mode, ids: &[&str]) -> State {
        let mut state = State::new(Target::default());
        state.mode = mode;
        for id in ids {
            let parcel = Parcel {
                id: (*id).to_owned(),
                key: KEY.to_owned(),
                body: String::new(),
            };
            state.push(parcel, 0, Duration::ZERO);
        }
        state
    }

    /// Lets every attempt succeed and tells the ids in the order in which they arrived.
    fn deliver_all(state: &mut State, mut now_ms: i64) -> Vec<String> {
        let mut arrived = Vec::new();
        loop {
            match state.step(KEY, now_ms) {
                Step::Attempt(parcel) => {
                    state.attempted(KEY, &parcel.id, true, now_ms);
                    arrived.push(parcel.id);
                }
                Step::Wait(wait) => now_ms += millis(wait),
                Step::WaitForMode => panic!("nothing leaves in mode {:?}", state.mode),
                Step::Finished => return arrived,
            }
        }
    }

    #[test]
    fn events_of_one_key_leave_in_order() {
        assert_eq!(
            deliver_all(&mut state_with(Mode::Normal, &["a", "b", "c"]), 0),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn a_duplicate_follows_its_original() {
        assert_eq!(
            deliver_all(&mut state_with(Mode::Duplicate, &["a", "b"]), 0),
            ["a", "a", "b", "b"]
        );
    }

    #[test]
    fn reversed_events_wait_for_silence_and_leave_newest_first() {
        let mut state = state_with(Mode::Reversed, &["a", "b", "c"]);
        assert!(matches!(state.step(KEY, 10), Step::Wait(_)));
        assert_eq!(deliver_all(&mut state, 10), ["c", "b", "a"]);
    }

    #[test]
    fn held_events_can_be_released_in_reverse() {
        let mut state = state_with(Mode::Held, &["a", "b"]);
        assert!(matches!(state.step(KEY, 1_000_000), Step::WaitForMode));
        state.mode = Mode::Normal;
        state.reverse_lanes();
        assert_eq!(deliver_all(&mut state, 0), ["b", "a"]);
    }

    #[test]
    fn a_refused_event_is_retried_with_growing_pauses_and_blocks_those_behind_it() {
        let mut state = state_with(Mode::Normal, &["a", "b"]);
        let mut pauses = Vec::new();
        let mut now_ms = 0;
        for _ in 0..7 {
            let Step::Attempt(parcel) = state.step(KEY, now_ms) else {
                panic!("an attempt is due")
            };
            assert_eq!(parcel.id, "a");
            assert!(!state.attempted(KEY, "a", false, now_ms));
            let Step::Wait(pause) = state.step(KEY, now_ms) else {
                panic!("a pause is due")
            };
            pauses.push(pause.as_millis());
            now_ms += millis(pause);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert!(
            state.attempted(KEY, "a", false, MAX_AGE_MS),
            "given up after an hour"
        );
        assert_eq!((state.abandoned, state.pending()), (1, 1));
    }
}
