//! One walk, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Variant;
use super::steps::{How, Step};
use super::world::{Sent, World, until_crash};
use crate::consumer::envelope::Envelope;
use crate::consumer::gaps;
use crate::consumer::handler::Replay;
use crate::consumer::parked::{self, Next, Undone};
use crate::consumer::record::Record;
use crate::consumer::runtime::{End, Settled};
use crate::consumer::watermarks;

const EVENTS: i64 = 6;

/// Rounds in which what is left is done. Far more than it takes.
const MAX_ROUNDS: usize = 500;

pub(super) struct Case<'w> {
    world: &'w World,
    variant: Variant,
    keys: Vec<Aggregated>,
    /// Records of tiers that were not completed yet.
    pending: Vec<Record>,
}

/// What is known of an aggregate beside its tables.
#[derive(Debug, Default)]
struct Aggregated {
    key: String,
    events: Vec<Record>,
    /// How many of them were read, or lost.
    read: usize,
    lost: BTreeSet<i64>,
    /// Those that cannot be decoded.
    broken: BTreeSet<i64>,
    letters: BTreeMap<i64, Record>,
    given_up: BTreeSet<i64>,
    accepted: BTreeSet<i64>,
}

impl<'w> Case<'w> {
    pub(super) fn new(world: &'w World, variant: Variant) -> Self {
        let keys = [(); 2].map(|()| {
            let (key, events) = World::events(EVENTS);
            Aggregated {
                key,
                events,
                ..Aggregated::default()
            }
        });
        Self {
            world,
            variant,
            keys: keys.into(),
            pending: Vec::new(),
        }
    }

    pub(super) async fn walk(mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for step in steps {
            self.step(step).await?;
            self.pull();
            self.check().await?;
        }
        for _ in 0..MAX_ROUNDS {
            if self.is_done().await {
                break;
            }
            self.do_what_is_left().await?;
            self.check().await?;
        }
        self.check_end().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Read { key, back, how } => self.read(*key, *back, how).await,
            Step::Retry { pick, how } => self.retry(*pick, how).await,
            Step::Drain { how } => self.drain_due(how).await,
            Step::Lose { key } => {
                let aggregate = &mut self.keys[*key];
                if aggregate.read < aggregate.events.len() {
                    aggregate.read += 1;
                    aggregate.lost.insert(i64::try_from(aggregate.read).unwrap());
                }
            }
            Step::Break { key } => {
                let aggregate = &mut self.keys[*key];
                if let Some(record) = aggregate.events.get_mut(aggregate.read) {
                    record.payload = Some(b"not an event".to_vec());
                    aggregate.broken.insert(record.place.offset);
                }
            }
            Step::Discard { key, pick } => {
                if let Some(sequence) = picked(self.keys[*key].letters.keys(), *pick) {
                    self.discard(*key, sequence).await;
                }
            }
            Step::Undo { key, pick } => self.undo(*key, *pick).await?,
            Step::Replay { key, pick } => {
                if let Some(sequence) = picked(self.keys[*key].letters.keys(), *pick) {
                    self.replay(*key, sequence);
                }
            }
            Step::Accept { key } => self.accept(*key).await?,
        }
        Ok(())
    }

    async fn read(&mut self, key: usize, back: usize, how: &How) {
        let aggregate = &self.keys[key];
        let index = if back == 0 {
            aggregate.read
        } else {
            aggregate.read.saturating_sub(back)
        };
        let Some(record) = aggregate.events.get(index) else {
            return;
        };
        let is_next = index == aggregate.read;
        if aggregate.lost.contains(&(i64::try_from(index).unwrap() + 1)) {
            return;
        }
        if self.process(&record.clone(), how).await && is_next {
            self.keys[key].read += 1;
        }
    }

    async fn retry(&mut self, pick: usize, how: &How) {
        if self.pending.is_empty() {
            return;
        }
        let record = self.pending.remove(pick % self.pending.len());
        if !self.process(&record, how).await {
            self.pending.push(record);
        }
    }

    /// As a worker does. `false` when the process died before the record was completed.
    async fn process(&self, record: &Record, how: &How) -> bool {
        self.world.answer(&how.answers);
        let runtime = &self.world.runtime;
        let group = &runtime.group;
        let working = Box::pin(async {
            let envelope = Envelope::read(record, &group.name, &group.topics).unwrap();
            let stop = CancellationToken::new();
            let end = runtime.settle(record, &envelope, &stop).await.unwrap();
            if end == End::Settled(Settled::Applied { drain: true }) {
                self.drain(&envelope.origin.topic, record.key_text().unwrap())
                    .await;
            }
        });
        until_crash(working, how.crash).await.is_some()
    }

    async fn drain(&self, topic: &str, key: &str) {
        let (runtime, stop) = (&self.world.runtime, CancellationToken::new());
        if self.variant != Variant::UnparksFirst {
            return Box::pin(runtime.drain(topic, key, &stop)).await.unwrap();
        }
        let aggregate = runtime.aggregate(topic, key);
        while let Some(next) = parked::next(&runtime.pool, &aggregate).await.unwrap() {
            let Next::Event { sequence, record } = next else {
                return Box::pin(runtime.drain(topic, key, &stop)).await.unwrap();
            };
            let mut tx = runtime.pool.begin().await.unwrap();
            parked::remove(&mut tx, &aggregate, sequence).await.unwrap();
            tx.commit().await.unwrap();
            let envelope = Envelope::read(&record, &runtime.group.name, &runtime.group.topics).unwrap();
            Box::pin(runtime.settle(&record, &envelope, &stop)).await.unwrap();
        }
    }

    async fn drain_due(&self, how: &How) {
        self.world.answer(&how.answers);
        let keys: Vec<&str> = self.keys.iter().map(|aggregate| aggregate.key.as_str()).collect();
        let draining = async {
            for (topic, key) in self.world.due(&keys).await {
                self.drain(&topic, &key).await;
            }
        };
        let _ = until_crash(draining, how.crash).await;
    }

    async fn discard(&mut self, key: usize, sequence: i64) {
        let aggregate = &mut self.keys[key];
        let (pool, clock) = (&self.world.runtime.pool, &self.world.runtime.clock);
        let row = self.world.aggregate(&aggregate.key);
        let mut tx = pool.begin().await.unwrap();
        let last = watermarks::lock(&mut tx, &row).await.unwrap();
        if sequence <= last {
            return;
        }
        if self.variant == Variant::DiscardJumps {
            watermarks::skip_to(&mut tx, &row, sequence).await.unwrap();
        } else {
            parked::discard(&mut tx, &row, sequence, clock.now())
                .await
                .unwrap();
            parked::pass_over_settled(&mut tx, &row).await.unwrap();
        }
        tx.commit().await.unwrap();
        aggregate.given_up.insert(sequence);
    }

    async fn undo(&mut self, key: usize, pick: usize) -> Result<(), TestCaseError> {
        let Some(sequence) = picked(self.keys[key].given_up.iter(), pick) else {
            return Ok(());
        };
        let applied = self.world.applied(&self.keys[key].key).await;
        let aggregate = &mut self.keys[key];
        let row = self.world.aggregate(&aggregate.key);
        let mut tx = self.world.runtime.pool.begin().await.unwrap();
        let undone = if self.variant == Variant::UndoForgets {
            self.world.go_back(&mut tx, &row, sequence).await;
            Undone::Restored
        } else {
            let now = self.world.runtime.clock.now();
            parked::undo_discard(&mut tx, &row, sequence, "f", now)
                .await
                .unwrap()
        };
        tx.commit().await.unwrap();
        let moved_on = applied
            .iter()
            .chain(&aggregate.accepted)
            .any(|done| *done > sequence);
        match undone {
            Undone::Restored => {
                aggregate.given_up.remove(&sequence);
            }
            Undone::TooLate { .. } => {
                prop_assert!(
                    moved_on,
                    "taking {sequence} back is refused though nothing was applied behind it"
                );
            }
            // It was applied from a tier before its turn to be passed over came.
            Undone::NotDiscarded => prop_assert!(applied.contains(&sequence)),
        }
        Ok(())
    }

    fn replay(&mut self, key: usize, sequence: i64) {
        let Some(letter) = self.keys[key].letters.remove(&sequence) else {
            return;
        };
        let envelope = Envelope::from_headers(&letter.headers.readable).unwrap();
        let replay = Replay {
            job: Uuid::now_v7(),
            letter: "0-0".to_owned(),
        };
        let replayed = envelope.replayed(replay, self.world.runtime.clock.now());
        let mut record = letter.clone();
        record.tier = 1;
        record.headers.readable =
            replayed.write(&letter.headers.readable, &self.world.runtime.group.name, None);
        self.keys[key].letters.insert(sequence, letter);
        self.pending.push(record);
    }

    async fn accept(&mut self, key: usize) -> Result<(), TestCaseError> {
        let runtime = &self.world.runtime;
        let aggregate = &mut self.keys[key];
        let found = gaps::list(&runtime.pool, &runtime.group.name, Some(&aggregate.key), 10)
            .await
            .unwrap();
        for gap in found {
            let missing = gap.first_missing..=gap.last_missing;
            for sequence in missing.clone() {
                prop_assert!(aggregate.lost.contains(&sequence), "{sequence} was seen: {gap:?}");
            }
            let mut tx = runtime.pool.begin().await.unwrap();
            prop_assert!(gaps::accept(&mut tx, &runtime.group.name, &gap).await.unwrap());
            tx.commit().await.unwrap();
            aggregate.accepted.extend(missing);
        }
        Ok(())
    }

    /// Takes what was sent to the tiers and the dead letters.
    fn pull(&mut self) {
        for sent in self.world.sent() {
            match sent {
                Sent::Tier(record) => {
                    if self
                        .keys
                        .iter()
                        .any(|aggregate| record.key_text() == Some(&aggregate.key))
                    {
                        self.pending.push(record);
                    }
                }
                Sent::Letter(sequence, record) => {
                    let mut keys = self.keys.iter_mut();
                    if let Some(aggregate) = keys.find(|aggregate| record.key_text() == Some(&aggregate.key))
                    {
                        aggregate.letters.insert(sequence, record);
                    }
                }
            }
        }
    }

    /// Each event was applied once at most, in order, and none before one that was not given up.
    async fn check(&self) -> Result<(), TestCaseError> {
        for aggregate in &self.keys {
            let applied = self.world.applied(&aggregate.key).await;
            let mut expected = 1;
            for sequence in applied.iter().copied() {
                prop_assert!(
                    sequence >= expected,
                    "out of order, or twice: {applied:?} {aggregate:?}"
                );
                let passed_over = |sequence| {
                    aggregate.given_up.contains(&sequence) || aggregate.accepted.contains(&sequence)
                };
                prop_assert!(
                    (expected..sequence).all(passed_over),
                    "{sequence} was applied before an earlier one: {applied:?} {aggregate:?}"
                );
                expected = sequence + 1;
            }
        }
        Ok(())
    }

    async fn do_what_is_left(&mut self) -> Result<(), TestCaseError> {
        let well = How::default();
        for key in 0..self.keys.len() {
            self.read(key, 0, &well).await;
            let aggregate = &self.keys[key];
            if aggregate
                .lost
                .contains(&(i64::try_from(aggregate.read).unwrap() + 1))
            {
                self.keys[key].read += 1;
            }
            self.accept(key).await?;
            let dead: Vec<i64> = self.keys[key].letters.keys().copied().collect();
            for sequence in dead {
                if self.keys[key].broken.contains(&sequence) {
                    self.discard(key, sequence).await;
                } else {
                    self.replay(key, sequence);
                }
                self.keys[key].letters.remove(&sequence);
            }
        }
        while !self.pending.is_empty() {
            self.retry(0, &well).await;
        }
        self.drain_due(&well).await;
        self.pull();
        Ok(())
    }

    async fn is_done(&self) -> bool {
        for aggregate in &self.keys {
            if self.missing(aggregate).await.is_some() {
                return false;
            }
        }
        self.pending.is_empty()
    }

    /// The first event that was neither applied nor passed over. What was lost behind the last one is nobody's gap.
    async fn missing(&self, aggregate: &Aggregated) -> Option<i64> {
        let applied = self.world.applied(&aggregate.key).await;
        let settled = |sequence: &i64| {
            applied.contains(sequence)
                || aggregate.given_up.contains(sequence)
                || aggregate.accepted.contains(sequence)
                || (*sequence..=EVENTS)
                    .all(|behind| aggregate.lost.contains(&behind) || aggregate.given_up.contains(&behind))
        };
        (1..=EVENTS).find(|sequence| !settled(sequence))
    }

    async fn check_end(&self) -> Result<(), TestCaseError> {
        for aggregate in &self.keys {
            let missing = self.missing(aggregate).await;
            prop_assert_eq!(missing, None, "lost: {:?}", aggregate);
        }
        Ok(())
    }
}

/// One of them, whatever the number.
fn picked<'a>(mut of: impl ExactSizeIterator<Item = &'a i64>, pick: usize) -> Option<i64> {
    let count = of.len().max(1);
    of.nth(pick % count).copied()
}
