//! What happens to the records of a batch, from their bytes to their outcomes.
//!
//! A batch is applied in one transaction. When that fails, and the failure has a record's name on it, what stands before the
//! record is applied without it, and then the rest; when it has none, the batch is halved until it has one. So a record that
//! fails costs its neighbours one more `apply` each, and is tried itself no more often than if it had been alone.
//!
//! What a newcomer gets wrong: a record is not done when its transaction is, but when its failure, if it has one, is on a tier
//! or among the dead letters. That comes after the commit, so that what an ordered group parks behind it is safe by then.

mod parts;

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::breaker::{Admission, Judged};
use super::envelope::Envelope;
use super::failure::{Failure, Kind};
use super::handler::{Delivery, Handler};
use super::holds::{Step, Stopped};
use super::kept::Kept;
use super::record::Record;
use super::runtime::{End, Runtime, Settled};
use super::worker::Begun;
use parts::{Part, Parts, any_stops, extract_done, give_back_stopped};

/// How long a batch goes on applying before it commits what it has. It bounds how long the rows of its aggregates are locked,
/// and what a revoked partition has to wait for.
pub(crate) const BATCH_TIME: Duration = Duration::from_millis(500);

/// A part of a batch whose flush has failed may take an eighth of the time, so that a flush that never ends is cornered within
/// about three deadlines. A single record has the whole time again.
const PART_OF_DEADLINE: u32 = 8;

/// For waits that end by another way.
static NEVER: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// A record on its way through a batch.
pub(crate) struct Item<'a, H: Handler> {
    pub(crate) record: &'a Record,
    pub(crate) envelope: Envelope,
    pub(crate) span: tracing::Span,
    /// Its place in the batch as it was taken up.
    place: usize,
    stop: &'a CancellationToken,
    /// None when it comes from the database, not from a topic.
    pub(crate) begun: Option<&'a Begun<'a>>,
    /// None until it is decoded.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) ready: Ready<H::Prepared>,
    pub(crate) outcome: Option<Outcome>,
    /// On what terms it is worked on alone; none as one of many.
    admission: Option<Admission>,
}

/// Whether a record's event can be applied.
#[derive(Debug)]
pub(crate) enum Ready<P> {
    /// Not yet.
    No,
    /// It can.
    Prepared(P),
    /// There is nothing to apply: its place in the order is all that counts.
    Withheld,
    /// It cannot.
    Failed(Failure),
}

/// What became of a record in a transaction that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Settled(Settled),
    /// Its failure is to be decided about.
    Failed,
}

/// Why a part of a batch was not applied.
#[derive(Debug)]
pub(crate) enum Blame {
    /// It is no record's fault.
    Nobody(Failure),
    /// This item's failure.
    Item(usize, Failure),
    /// Somebody's failure.
    Batch(Failure),
}

/// How a batch ended.
pub(crate) struct Ended<'a> {
    /// Each record's end, in the order in which they came; none for what was told to stop before that.
    pub(crate) ends: Vec<Option<End>>,
    pub(crate) drains: Vec<Drain<'a>>,
}

/// An aggregate of which a parked event's turn has come.
#[derive(Debug)]
pub(crate) struct Drain<'a> {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) stop: &'a CancellationToken,
}

impl<'a, H: Handler> Item<'a, H> {
    pub(crate) fn new(
        record: &'a Record,
        envelope: Envelope,
        stop: &'a CancellationToken,
        span: tracing::Span,
    ) -> Self {
        Self {
            record,
            envelope,
            span,
            place: 0,
            stop,
            begun: None,
            delivery: None,
            ready: Ready::No,
            outcome: None,
            admission: None,
        }
    }

    pub(crate) fn begun(begun: &'a Begun<'a>, envelope: Envelope, span: tracing::Span) -> Self {
        Self {
            begun: Some(begun),
            ..Self::new(begun.record(), envelope, begun.stop(), span)
        }
    }
}

impl<H: Handler> Item<'_, H> {
    /// Settled, it has ended: no breaker wants to know, nor a job of an operator that does not know yet.
    fn is_plain(&self) -> bool {
        let applied = matches!(self.outcome, Some(Outcome::Settled(Settled::Applied { .. })));
        self.admission.is_none() && (applied || self.envelope.replay.is_none())
    }

    /// There is nothing left to decide about it.
    fn has_ended(&self) -> bool {
        self.outcome != Some(Outcome::Failed) && self.is_plain()
    }

    fn ends_like(&self, other: &Self) -> bool {
        self.outcome == other.outcome && self.envelope.origin.topic == other.envelope.origin.topic
    }

    /// It need never be read again.
    pub(crate) fn finish(&self) {
        if let Some(begun) = self.begun {
            begun.finish(true);
        }
    }
}

/// A stop that never comes, for waits that end by another way.
pub(crate) fn never() -> &'static CancellationToken {
    &NEVER
}

/// Waits before something about these items is tried again, and lets go of those that are told to stop.
pub(crate) async fn wait_with<H: Handler>(
    hold: &mut Step<'_>,
    failure: &Failure,
    items: &mut Vec<Item<'_, H>>,
) {
    let reason = failure.to_string();
    tokio::select! {
        _ = hold.wait(&reason) => {}
        () = any_stops(items.iter()) => {}
    }
    give_back_stopped(items);
}

impl<H: Handler> Runtime<H> {
    /// Settles a single record, or sends it on if it fails.
    pub(crate) async fn settle(
        &self,
        record: &Record,
        envelope: &Envelope,
        stop: &CancellationToken,
    ) -> Result<End, Stopped> {
        let item = Item::new(record, envelope.clone(), stop, tracing::Span::current());
        let mut ended = self.settle_all(vec![item], &mut Kept::default()).await;
        ended.ends.pop().flatten().ok_or(Stopped)
    }

    /// Settles each item, or sends it on if it fails.
    pub(crate) async fn settle_all<'a>(&self, mut items: Vec<Item<'a, H>>, kept: &mut Kept) -> Ended<'a> {
        for (place, item) in items.iter_mut().enumerate() {
            item.place = place;
        }
        let mut ended = Ended {
            ends: vec![None; items.len()],
            drains: Vec::new(),
        };
        let started = Instant::now();
        let mut hold = None::<Step<'_>>;
        let mut parts = Parts::of(items);
        while let Some(mut part) = parts.next() {
            if !self.breakers.are_closed() {
                kept.give_back();
                if !self.admit_part(&mut part, &mut parts).await {
                    parts.push(part);
                    continue;
                }
            }
            match self.try_part(&mut part, kept).await {
                Ok(()) => {
                    hold = None;
                    let done = extract_done(&mut part.items);
                    if !done.iter().all(Item::has_ended) {
                        kept.give_back();
                    }
                    parts.push(part);
                    let again = self.conclude(done, started, &mut ended).await;
                    parts.push_singles(again);
                }
                Err(Blame::Nobody(failure)) => {
                    parts.push(part);
                    let hold = hold.get_or_insert_with(|| self.holds.step(&NEVER));
                    let reason = failure.to_string();
                    tokio::select! {
                        _ = hold.wait(&reason) => {}
                        () = parts.any_stops() => {}
                    }
                    parts.give_back_stopped();
                }
                Err(Blame::Item(index, failure)) => parts.push_around(part, index, failure),
                Err(Blame::Batch(failure)) => parts.push_halves(part, failure),
            }
        }
        ended
    }

    /// Separates what an open breaker holds, which is worked on alone once the breaker lets it. `false` when the part has to be
    /// looked at anew.
    async fn admit_part<'a>(&self, part: &mut Part<'a, H>, parts: &mut Parts<'a, H>) -> bool {
        let held = |item: &Item<'_, H>| item.admission.is_none() && self.breakers.holds(item.record);
        let Some(index) = part.items.iter().position(held) else {
            return true;
        };
        if index > 0 {
            let items = part.items.split_off(index);
            let suspect = part.suspect;
            parts.push(Part { items, suspect });
            return true;
        }
        if part.items.len() > 1 {
            let items = part.items.split_off(1);
            let suspect = part.suspect;
            parts.push(Part { items, suspect });
        }
        let Some(item) = part.items.first_mut() else {
            return false;
        };
        tokio::select! {
            admitted = self.breakers.admit(item.record, item.stop) => {
                if let Ok(admission) = admitted {
                    item.admission = Some(admission);
                    return true;
                }
            }
            () = parts.any_stops() => {}
        }
        give_back_stopped(&mut part.items);
        parts.give_back_stopped();
        false
    }

    /// One attempt at what is left of a part. Afterwards, each item that was reached has an outcome.
    async fn try_part(&self, part: &mut Part<'_, H>, kept: &mut Kept) -> Result<(), Blame> {
        let single = part.items.len() == 1;
        let tried = async {
            self.get_ready(&mut part.items).await.map_err(Blame::Nobody)?;
            let deadline = if part.suspect && !single {
                self.group.handler_deadline / PART_OF_DEADLINE
            } else {
                self.group.handler_deadline
            };
            self.transact(&mut part.items, deadline, kept).await
        };
        let blame = match tried.await {
            Ok(()) => return Ok(()),
            Err(blame) => blame,
        };
        Err(match blame {
            // A lost race is nobody's fault, but smaller transactions lose fewer.
            Blame::Item(_, failure) | Blame::Batch(failure) if failure.is_lost_race() && !single => {
                Blame::Batch(failure)
            }
            Blame::Item(_, failure) | Blame::Batch(failure) if failure.kind() == Kind::Infrastructure => {
                Blame::Nobody(failure)
            }
            // A step that took too long may have waited for a database that does not answer.
            Blame::Item(_, failure) | Blame::Batch(failure)
                if failure.is_overdue() && !self.database_answers().await =>
            {
                let reason = format!("the database does not answer: {failure}");
                Blame::Nobody(Failure::infrastructure(reason))
            }
            blame => blame,
        })
    }

    /// Lets go of what is settled, and sends on what failed. Answers what a breaker holds after all.
    async fn conclude<'a>(
        &self,
        done: Vec<Item<'a, H>>,
        started: Instant,
        ended: &mut Ended<'a>,
    ) -> Vec<Item<'a, H>> {
        let plain: Vec<&Item<'a, H>> = done.iter().filter(|item| item.is_plain()).collect();
        for alike in plain.chunk_by(|one, next| one.ends_like(next)) {
            if let Some(Outcome::Settled(settled)) = alike.first().and_then(|first| first.outcome) {
                self.end(alike, End::Settled(settled), started, ended);
            }
        }
        let mut held = Vec::new();
        // In their order, because to a breaker a run of failures tells something else than failures among successes.
        for mut item in done {
            if item.has_ended() {
                if matches!(item.outcome, Some(Outcome::Settled(Settled::Applied { .. }))) {
                    self.breakers.applied(item.record);
                }
                continue;
            }
            let span = item.span.clone();
            match self.decide(&mut item).instrument(span).await {
                Ok(Judged::Ended(end)) => self.end(&[&item], end, started, ended),
                Ok(Judged::Held) => held.push(item),
                // It will be read again.
                Err(Stopped) => {}
            }
        }
        held
    }

    async fn decide(&self, item: &mut Item<'_, H>) -> Result<Judged, Stopped> {
        let settled = match (item.outcome.take(), std::mem::replace(&mut item.ready, Ready::No)) {
            (Some(Outcome::Settled(settled)), _) => Ok(settled),
            (_, Ready::Failed(failure)) => Err(failure),
            // An item fails with a failure only.
            _ => return Err(Stopped),
        };
        let admission = item.admission.take().unwrap_or(Admission::Free);
        let judged = self
            .judge(item.record, &item.envelope, admission, settled, item.stop)
            .await?;
        if let Judged::Ended(end) = judged {
            self.note_replay(&item.envelope, item.record, end, item.stop)
                .await?;
        }
        Ok(judged)
    }

    /// Items of a topic have ended alike.
    fn end<'a>(&self, items: &[&Item<'a, H>], end: End, started: Instant, ended: &mut Ended<'a>) {
        if let Some(first) = items.first() {
            let topic = &first.envelope.origin.topic;
            self.metrics.ended(topic, end, items.len(), started.elapsed());
        }
        Begun::complete_all(items.iter().filter_map(|item| item.begun));
        for item in items {
            if let Some(slot) = ended.ends.get_mut(item.place) {
                *slot = Some(end);
            }
            if end == End::Settled(Settled::Applied { drain: true })
                && let Some(delivery) = &item.delivery
            {
                ended.drain(delivery, item.stop);
            }
        }
    }
}

impl<'a> Ended<'a> {
    fn drain(&mut self, delivery: &Delivery, stop: &'a CancellationToken) {
        let known = |drain: &Drain<'_>| (&drain.topic, &drain.key) == (&delivery.topic, &delivery.key);
        if !self.drains.iter().any(known) {
            let (topic, key) = (delivery.topic.clone(), delivery.key.clone());
            self.drains.push(Drain { topic, key, stop });
        }
    }
}
