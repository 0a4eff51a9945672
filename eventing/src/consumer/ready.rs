//! What happens to the records of a batch before its transaction: they are decoded, passed over where nothing is to be applied,
//! and prepared.

use std::collections::HashMap;
use std::pin::pin;
use std::task::Poll;

use futures::poll;
use futures::stream::{FuturesUnordered, TryStreamExt as _};
use jiff::SignedDuration;
use tracing::Instrument as _;

use super::batch::{Item, Outcome, Ready};
use super::decode::decode;
use super::failure::{Failure, Kind};
use super::group::Ordering;
use super::handler::{Delivery, Handler};
use super::runtime::{Runtime, Settled, bounded};
use super::watermarks::{self, Turn};
use super::worker::Begun;

/// Events of a batch that are prepared at once: what another service may get to feel of one worker.
const PREPARED_AT_ONCE: usize = 16;

impl<H: Handler> Runtime<H> {
    /// Gets ready whatever can be. Fails with what is no record's fault only; what is, stays with its record.
    pub(crate) async fn get_ready(&self, items: &mut [Item<'_, H>]) -> Result<(), Failure> {
        for item in items.iter_mut().filter(|item| is_open(item)) {
            self.decode(item).await?;
        }
        if !items.iter().any(is_open) {
            return Ok(());
        }
        let turns = match self.group.ordering {
            Ordering::PerKey if H::PREPARES => self.expected_turns(items).await?,
            Ordering::PerKey | Ordering::Unordered => vec![Turn::Now; items.len()],
        };
        let mut preparing = FuturesUnordered::new();
        for (item, turn) in items.iter_mut().zip(turns) {
            if !is_open(item) {
                continue;
            }
            match turn {
                Turn::Past => item.outcome = Some(Outcome::Settled(Settled::Duplicate)),
                Turn::Later => {}
                Turn::Now if self.passes_over(item) => {
                    item.outcome = Some(Outcome::Settled(Settled::PassedOver));
                }
                Turn::Now if self.is_forgotten(item) => {
                    let message = "it is older than what tells a repeated event, so it may have been applied";
                    item.ready = Ready::Failed(Failure::dead("behind_horizon", message));
                    item.outcome = Some(Outcome::Failed);
                }
                Turn::Now if !H::PREPARES => self.prepare(item).await?,
                Turn::Now => {
                    let mut prepared = Box::pin(self.prepare(item));
                    // Most have nothing to wait for.
                    match poll!(&mut prepared) {
                        Poll::Ready(done) => done?,
                        Poll::Pending => preparing.push(prepared),
                    }
                }
            }
            if preparing.len() >= PREPARED_AT_ONCE {
                preparing.try_next().await?;
            }
        }
        while preparing.try_next().await?.is_some() {}
        Ok(())
    }

    async fn decode(&self, item: &mut Item<'_, H>) -> Result<(), Failure> {
        if item.delivery.is_some() {
            return Ok(());
        }
        let envelope = &item.envelope;
        let topic = &envelope.origin.topic;
        let decoded = match item.begun.and_then(Begun::take_event) {
            Some(event) => Ok(event),
            None => decode(item.record, topic, &self.registry, self.group.bounds()).await,
        };
        match decoded {
            Ok(event) => {
                item.delivery = Some(Delivery {
                    topic: topic.to_string(),
                    partition: envelope.origin.partition,
                    offset: envelope.origin.offset,
                    recorded_at: envelope.recorded_at,
                    // As it was decoded, its key is its aggregate's.
                    key: item.record.key_text().unwrap_or_default().to_owned(),
                    sequence: event.sequence(),
                    attempt: envelope.attempts.saturating_add(1),
                    replay: envelope.replay.clone(),
                    event,
                });
            }
            Err(failure) if failure.kind() == Kind::Infrastructure => return Err(failure),
            Err(failure) => {
                // Without a key and a sequence it has no turn to wait for.
                item.ready = Ready::Failed(failure);
                item.outcome = Some(Outcome::Failed);
            }
        }
        Ok(())
    }

    /// Whose turn it will be, if everything before it in the batch is applied. Looked up without a lock, so that `prepare` runs
    /// for an event only that will most likely be applied.
    ///
    /// What a newcomer gets wrong: an event that is there twice in the batch is no duplicate yet. The first one may fail, and then
    /// the second one, which may be a replay for which somebody waits, has its turn; the transaction knows.
    async fn expected_turns(&self, items: &[Item<'_, H>]) -> Result<Vec<Turn>, Failure> {
        let keys = keys(items);
        let last = bounded(watermarks::last_of(&self.pool, &self.group.name, &keys)).await?;
        let applied: HashMap<(&str, &str), i64> = keys.into_iter().zip(last).collect();
        let mut expected = applied.clone();
        let mut turns = Vec::with_capacity(items.len());
        for item in items {
            let place = item.delivery.as_ref().and_then(|delivery| {
                let key = key(delivery);
                Some((delivery.sequence, applied.get(&key)?, expected.get_mut(&key)?))
            });
            let Some((sequence, applied, last)) = place else {
                turns.push(Turn::Later);
                continue;
            };
            let turn = match Turn::of(sequence, *last) {
                Turn::Past if sequence > *applied => Turn::Later,
                turn => turn,
            };
            if turn == Turn::Now && !matches!(item.ready, Ready::Failed(_)) {
                *last = sequence;
            }
            turns.push(turn);
        }
        Ok(turns)
    }

    fn passes_over(&self, item: &Item<'_, H>) -> bool {
        self.group.ordering == Ordering::Unordered
            && item
                .delivery
                .as_ref()
                .is_some_and(|delivery| delivery.event.is_unknown() || delivery.event.is_withheld())
    }

    /// Whether the rows by which an unordered group would know the event may have been deleted: they are no older than its record.
    fn is_forgotten(&self, item: &Item<'_, H>) -> bool {
        self.group.rows_kept_for.is_some_and(|kept| {
            let age = self.clock.now().duration_since(item.envelope.recorded_at);
            SignedDuration::try_from(kept).is_ok_and(|kept| age >= kept)
        })
    }

    async fn prepare(&self, item: &mut Item<'_, H>) -> Result<(), Failure> {
        let Some(delivery) = &item.delivery else {
            return Ok(());
        };
        item.ready = if delivery.event.is_unknown() {
            let message = "this version does not know the event's type";
            Ready::Failed(Failure::dead("unknown_event_type", message))
        } else if delivery.event.is_withheld() {
            Ready::Withheld
        } else {
            let prepared = pin!(self.handler.prepare(delivery));
            match self.guarded(prepared.instrument(item.span.clone())).await {
                Ok(prepared) => Ready::Prepared(prepared),
                Err(failure) if failure.kind() == Kind::Infrastructure => return Err(failure),
                Err(failure) => Ready::Failed(failure),
            }
        };
        Ok(())
    }
}

fn is_open<H: Handler>(item: &Item<'_, H>) -> bool {
    item.outcome.is_none() && matches!(item.ready, Ready::No)
}

/// The aggregates of a batch, each once, in the one order in which all members lock them.
pub(crate) fn keys<'a, H: Handler>(items: &'a [Item<'_, H>]) -> Vec<(&'a str, &'a str)> {
    let open = items.iter().filter(|item| item.outcome.is_none());
    let mut keys: Vec<_> = open.filter_map(|item| item.delivery.as_ref()).map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

pub(crate) fn key(delivery: &Delivery) -> (&str, &str) {
    (&delivery.topic, &delivery.key)
}
