//! Tries the handler on letters, and rolls back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::chosen::Letters;
use super::id::LetterId;
use super::letter::Letter;
use super::matching::matching;
use super::selection::Selection;
use super::views::{Action, Preflight, PreflightOutcome};
use super::{Error, Rehearsal};
use crate::consumer::watermarks::{self, Aggregate};
use crate::consumer::{ConsumerGroup, Delivery, Failure, Handler, Ordering, Replay, Resources, guarded};

/// The most letters that one preflight tries; more say no more.
const MAX_LETTERS: usize = 10_000;

/// Letters that are read at once.
const CHUNK: usize = 200;

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    word: &'static str,
    error_class: Option<String>,
    /// By which failures are told to be alike.
    fingerprint: Option<String>,
}

impl Outcome {
    fn plain(word: &'static str) -> Self {
        Self {
            word,
            error_class: None,
            fingerprint: None,
        }
    }
}

/// What was seen so far.
#[derive(Default)]
struct Tally(BTreeMap<Outcome, PreflightOutcome>);

impl Tally {
    fn add(&mut self, id: LetterId, outcome: Outcome, message: Option<String>) {
        match self.0.entry(outcome) {
            Entry::Occupied(mut known) => known.get_mut().letters += 1,
            Entry::Vacant(vacant) => {
                let Outcome {
                    word, error_class, ..
                } = vacant.key().clone();
                vacant.insert(PreflightOutcome {
                    outcome: word.to_owned(),
                    error_class,
                    message,
                    letters: 1,
                    example: id,
                });
            }
        }
    }

    fn failed(&mut self, id: LetterId, failure: &Failure) {
        let (class, message) = (failure.class_name().to_owned(), failure.message());
        let outcome = Outcome {
            word: failure.kind_name(),
            fingerprint: Some(crate::consumer::fingerprint(&class, &message)),
            error_class: Some(class),
        };
        self.add(id, outcome, Some(message));
    }
}

/// An event to be tried, and the letter that it is from.
struct Trial {
    id: LetterId,
    delivery: Delivery,
}

/// Tries the handler on the letters of a selection: in an ordered group those of a key one after the other.
pub(crate) async fn preflight(
    group: &ConsumerGroup,
    resources: &Resources,
    selection: &Selection,
    rehearsal: &dyn Rehearsal,
) -> Result<Preflight, Error> {
    let mut connection = resources.pool.acquire().await?;
    let matching = matching(&mut connection, &group.name, Action::Replay, selection, 0).await?;
    drop(connection);
    let mut ids: Vec<LetterId> = matching.letters.iter().map(|letter| letter.id).collect();
    if ids.is_empty() {
        return Err(Error::Refused("no letter matches; nothing was tried".to_owned()));
    }
    if ids.len() > MAX_LETTERS {
        return Err(Error::Refused(format!(
            "{} letters match; try at most {MAX_LETTERS} at a time",
            ids.len()
        )));
    }
    let letters = Letters::of(&resources.kafka, &group.dead_letter_topic());
    let mut tally = Tally::default();
    let mut keys: BTreeMap<(String, String), Vec<Trial>> = BTreeMap::new();
    let count = ids.len() as u64;
    while !ids.is_empty() {
        let chunk: Vec<LetterId> = ids.iter().take(CHUNK).copied().collect();
        let read = letters.read(chunk).await?;
        ids.drain(..read.len());
        for (id, letter) in read {
            let Some(trial) = trial(group, resources, id, letter, &mut tally).await? else {
                continue;
            };
            match group.ordering {
                Ordering::Unordered => try_all(vec![trial], rehearsal, &mut tally).await,
                Ordering::PerKey => {
                    let key = (trial.delivery.topic.clone(), trial.delivery.key.clone());
                    keys.entry(key).or_default().push(trial);
                }
            }
        }
    }
    for ((topic, key), trials) in keys {
        let aggregate = Aggregate {
            group: &group.name,
            topic: &topic,
            key: &key,
        };
        let last = watermarks::last(&resources.pool, &aggregate).await?;
        try_all(in_turn(trials, last, &mut tally), rehearsal, &mut tally).await;
    }
    Ok(finish(tally, count, group))
}

fn finish(tally: Tally, letters: u64, group: &ConsumerGroup) -> Preflight {
    let mut outcomes: Vec<PreflightOutcome> = tally.0.into_values().collect();
    outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.letters));
    let passing = |outcome: &&PreflightOutcome| matches!(outcome.outcome.as_str(), "pass" | "duplicate");
    Preflight {
        letters,
        pass: outcomes
            .iter()
            .filter(passing)
            .map(|outcome| outcome.letters)
            .sum(),
        outcomes,
        handler_version: group.version.clone(),
    }
}

/// The event of a letter, unless it is clear what becomes of it.
async fn trial(
    group: &ConsumerGroup,
    resources: &Resources,
    id: LetterId,
    letter: Option<Letter>,
    tally: &mut Tally,
) -> Result<Option<Trial>, Error> {
    let Some(letter) = letter else {
        tally.add(id, Outcome::plain("gone"), None);
        return Ok(None);
    };
    let Some(envelope) = &letter.envelope else {
        tally.add(id, Outcome::plain("skipped"), None);
        return Ok(None);
    };
    let decoded = crate::consumer::decode::decode(
        &letter.record,
        &envelope.origin.topic,
        &resources.registry,
        group.bounds(),
    );
    let event = match decoded.await {
        Ok(event) => event,
        Err(failure) => {
            tally.failed(id, &failure);
            return Ok(None);
        }
    };
    if event.is_withheld() || event.is_unknown() {
        if event.is_unknown() && group.ordering == Ordering::PerKey {
            let message = "this version does not know the event's type";
            tally.failed(id, &Failure::dead("unknown_event_type", message));
        } else {
            tally.add(id, Outcome::plain("pass"), None);
        }
        return Ok(None);
    }
    let mut delivery = Delivery::sample(&*envelope.origin.topic, event);
    delivery.partition = envelope.origin.partition;
    delivery.offset = envelope.origin.offset;
    delivery.recorded_at = envelope.recorded_at;
    delivery.attempt = envelope.attempts.saturating_add(1);
    delivery.replay = Some(Replay {
        job: Uuid::nil(),
        letter: id.to_string(),
    });
    Ok(Some(Trial { id, delivery }))
}

/// Those of a key whose turn it would be, one after the other, from the watermark on.
fn in_turn(mut trials: Vec<Trial>, last: i64, tally: &mut Tally) -> Vec<Trial> {
    trials.sort_by_key(|trial| (trial.delivery.sequence, trial.id));
    let mut next = last + 1;
    let mut turns = Vec::with_capacity(trials.len());
    for trial in trials {
        match trial.delivery.sequence {
            sequence if sequence < next => tally.add(trial.id, Outcome::plain("duplicate"), None),
            sequence if sequence == next => {
                next += 1;
                turns.push(trial);
            }
            _ => tally.add(trial.id, Outcome::plain("waits"), None),
        }
    }
    turns
}

async fn try_all(trials: Vec<Trial>, rehearsal: &dyn Rehearsal, tally: &mut Tally) {
    if trials.is_empty() {
        return;
    }
    let ids: Vec<LetterId> = trials.iter().map(|trial| trial.id).collect();
    let outcomes = rehearsal
        .rehearse(trials.into_iter().map(|trial| trial.delivery).collect())
        .await;
    let mut outcomes = outcomes.into_iter();
    let mut stopped = false;
    for id in ids {
        match outcomes.next() {
            // Behind one that fails, those of its key wait.
            _ if stopped => tally.add(id, Outcome::plain("waits"), None),
            None => tally.add(id, Outcome::plain("waits"), None),
            Some(Ok(())) => tally.add(id, Outcome::plain("pass"), None),
            Some(Err(failure)) => {
                tally.failed(id, &failure);
                stopped = true;
            }
        }
    }
}

/// A group's handler as a rehearsal.
pub fn rehearsal<H: Handler>(group: &ConsumerGroup, handler: H, resources: &Resources) -> Box<dyn Rehearsal> {
    Box::new(Handling {
        group: group.clone(),
        handler,
        resources: resources.clone(),
    })
}

struct Handling<H> {
    group: ConsumerGroup,
    handler: H,
    resources: Resources,
}

impl<H: Handler> Rehearsal for Handling<H> {
    fn group(&self) -> &str {
        &self.group.name
    }

    fn rehearse(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Vec<Result<(), Failure>>> {
        Box::pin(self.run(deliveries))
    }
}

impl<H: Handler> Handling<H> {
    /// In one transaction that is never committed; ends with the first failure.
    async fn run(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), Failure>> {
        let mut outcomes = Vec::with_capacity(deliveries.len());
        let deadline = self.group.handler_deadline.as_millis();
        let begin = format!(
            "begin; set local statement_timeout = {deadline}; set local lock_timeout = {}",
            (deadline / 2).max(1)
        );
        let mut tx = match self.resources.pool.begin_with(AssertSqlSafe(begin)).await {
            Ok(tx) => tx,
            Err(error) => return vec![Err(Failure::bookkeeping(error))],
        };
        for delivery in deliveries {
            let outcome = self.one(&mut tx, &delivery).await;
            let failed = outcome.is_err();
            outcomes.push(outcome);
            if failed {
                break;
            }
        }
        if let Err(error) = tx.rollback().await {
            // The server rolls back what is not committed, whatever this connection comes to.
            tracing::debug!(%error, "a rehearsal's transaction could not be rolled back in order");
        }
        outcomes
    }

    async fn one(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<(), Failure> {
        let deadline = self.group.handler_deadline;
        let prepared = guarded(deadline, self.handler.prepare(delivery)).await?;
        let mut savepoint = tx.begin().await?;
        let mut rows = H::Rows::default();
        guarded(
            deadline,
            self.handler.apply(&mut savepoint, &mut rows, delivery, &prepared),
        )
        .await?;
        guarded(deadline, self.handler.flush(&mut savepoint, rows)).await?;
        // What a deferred constraint would say at the commit.
        sqlx::query("set constraints all immediate")
            .execute(&mut *savepoint)
            .await?;
        savepoint.commit().await?;
        Ok(())
    }
}
