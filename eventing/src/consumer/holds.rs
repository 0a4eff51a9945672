//! What the group waits for, and since when.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::Condition;
use crate::hold::Hold;

/// Work was told to stop before it was done. Its record was not completed, so it will be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Everything that currently waits for infrastructure; the condition follows from it.
#[derive(Debug)]
pub(crate) struct Holds {
    group: String,
    condition: watch::Sender<Condition>,
    reasons: Mutex<Reasons>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Reasons {
    next_id: u64,
    held: BTreeMap<u64, String>,
    kafka: Option<String>,
    breaker: Option<String>,
}

impl Holds {
    pub(crate) fn new(group: &str, condition: watch::Sender<Condition>, metrics: Metrics) -> Self {
        Self {
            group: group.to_owned(),
            condition,
            reasons: Mutex::default(),
            metrics,
        }
    }

    /// A step that may have to wait, until `stop` is cancelled.
    pub(crate) fn step<'a>(&'a self, stop: &'a CancellationToken) -> Step<'a> {
        Step {
            holds: self,
            stop,
            hold: Hold::new(),
            waiting: None,
        }
    }

    /// Says whether Kafka can be read from.
    pub(crate) fn kafka(&self, trouble: Option<String>) {
        self.change(|reasons| reasons.kafka = trouble);
    }

    /// Says whether a breaker is open.
    pub(crate) fn breaker(&self, reason: Option<String>) {
        self.change(|reasons| reasons.breaker = reason);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Reasons) -> T) -> T {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut reasons);
        self.metrics
            .holding(reasons.held.len() + usize::from(reasons.kafka.is_some()));
        let known = [reasons.kafka.as_ref(), reasons.breaker.as_ref()];
        let reason = reasons
            .held
            .values()
            .next()
            .or(known.into_iter().flatten().next());
        let condition = reason.map_or(Condition::Up, |reason| {
            Condition::Degraded(format!("consumer group {} waits: {reason}", self.group))
        });
        condition.publish(&self.condition);
        changed
    }
}

/// One step that is repeated until its infrastructure is back. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    holds: &'a Holds,
    stop: &'a CancellationToken,
    hold: Hold,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    since: Instant,
}

impl Step<'_> {
    /// Waits before the next try.
    pub(crate) async fn wait(&mut self, reason: &str) -> Result<(), Stopped> {
        self.report(reason);
        let pause = self.hold.next_pause();
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Says that the step does not get on, and why.
    pub(crate) fn report(&mut self, reason: &str) {
        if self.waiting.is_none() {
            tracing::warn!(group = self.holds.group, reason, "holding a record in place");
        }
        let known = self.waiting.as_ref().map(|waiting| waiting.id);
        let id = self.holds.change(|reasons| {
            let id = known.unwrap_or(reasons.next_id);
            reasons.next_id = reasons.next_id.max(id + 1);
            reasons.held.insert(id, reason.to_owned());
            id
        });
        self.waiting.get_or_insert_with(|| Waiting {
            id,
            since: Instant::now(),
        });
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        self.stop
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(Waiting { id, since }) = self.waiting.take() {
            self.holds.change(|reasons| reasons.held.remove(&id));
            self.holds.metrics.held(since.elapsed());
            tracing::info!(group = self.holds.group, waited = ?since.elapsed(), "no longer holding a record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_condition_is_degraded_while_any_step_waits_and_up_again_after_the_last() {
        let condition = watch::Sender::default();
        let seen = condition.subscribe();
        let holds = Holds::new("g", condition, Metrics::new("g"));
        let stop = CancellationToken::new();

        let (mut one, mut two) = (holds.step(&stop), holds.step(&stop));
        one.wait("no database").await.unwrap();
        two.wait("no registry").await.unwrap();
        drop(one);
        let Condition::Degraded(reason) = seen.borrow().clone() else {
            panic!("not degraded")
        };
        assert!(reason.contains("no registry"), "{reason}");
        drop(two);
        assert_eq!(*seen.borrow(), Condition::Up);

        holds.kafka(Some("no broker".into()));
        assert!(matches!(&*seen.borrow(), Condition::Degraded(reason) if reason.contains("no broker")));
        holds.kafka(None);
        assert_eq!(*seen.borrow(), Condition::Up);
    }

    #[tokio::test]
    async fn a_step_that_is_told_to_stop_does_not_wait() {
        let holds = Holds::new("g", watch::Sender::default(), Metrics::new("g"));
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(holds.step(&stop).wait("no database").await, Err(Stopped));
    }
}
