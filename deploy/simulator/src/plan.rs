//! Bad behaviour that was ordered through `/control`: a queue of steps, each for a number of requests.

use std::collections::VecDeque;

use serde::Serialize;

/// At most this many orders wait; each may count many requests.
const MAX_STEPS: usize = 100;
/// One order covers at most this many requests.
pub(crate) const MAX_COUNT: u32 = 1_000_000;

#[derive(Debug, Clone, Serialize)]
struct Step<B> {
    behaviour: B,
    remaining: u32,
}

/// Orders in the sequence in which they came; the first that fits a request is consumed by it.
#[derive(Debug)]
pub(crate) struct Plan<B> {
    steps: VecDeque<Step<B>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("count must be between 1 and {MAX_COUNT}, but is {0}")]
    Count(u32),
    #[error("{MAX_STEPS} orders already wait; send POST /control/reset to drop them")]
    Full,
}

impl<B: Clone + Serialize> Plan<B> {
    pub(crate) fn new() -> Self {
        Self {
            steps: VecDeque::new(),
        }
    }

    pub(crate) fn add(&mut self, behaviour: B, count: u32) -> Result<(), PlanError> {
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(PlanError::Count(count));
        }
        if self.steps.len() >= MAX_STEPS {
            return Err(PlanError::Full);
        }
        self.steps.push_back(Step {
            behaviour,
            remaining: count,
        });
        Ok(())
    }

    /// Consumes one request's worth of the first order that `fits`.
    pub(crate) fn take(&mut self, fits: impl Fn(&B) -> bool) -> Option<B> {
        let position = self.steps.iter().position(|step| fits(&step.behaviour))?;
        let step = self.steps.get_mut(position)?;
        step.remaining = step.remaining.saturating_sub(1);
        let behaviour = step.behaviour.clone();
        if step.remaining == 0 {
            self.steps.remove(position);
        }
        Some(behaviour)
    }

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
    }

    /// What still waits, for `GET` in the control API.
    pub(crate) fn describe(&self) -> serde_json::Value {
        serde_json::to_value(&self.steps).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_and_consumed_in_sequence() {
        let mut plan = Plan::new();
        plan.add("decline", 2).unwrap();
        plan.add("delay", 1).unwrap();
        assert_eq!(
            plan.take(|b| *b == "delay"),
            Some("delay"),
            "an order is skipped if it does not fit"
        );
        assert_eq!(plan.take(|_| true), Some("decline"));
        assert_eq!(plan.take(|_| true), Some("decline"));
        assert_eq!(plan.take(|_| true), None);
        assert_eq!(plan.add("x", 0), Err(PlanError::Count(0)));
    }
}
