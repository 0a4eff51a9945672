//! Doing a job: letter by letter in the order of the topic, so that whoever comes next can go on anywhere.

use std::time::Duration;

use futures::future::join_all;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Error;
use super::chosen::Letters;
use super::id::LetterId;
use super::lease::{self, Lease, Lost};
use super::letter::{Letter, Turn};
use super::views::Action;
use crate::consumer::watermarks::{self, Aggregate};
use crate::consumer::{ConsumerGroup, Ordering, Replay, Resources, parked};
use crate::crash_point;
use crate::hold::Hold;
use crate::kafka::is_there;

/// The most letters that are sent or discarded before that is written down.
const BATCH: usize = 1_000;

/// Letters of an ordered group that are discarded in one transaction: it holds the rows of their aggregates.
const LOCKED_AT_ONCE: usize = 50;

/// A batch is this part of a second at the job's rate, so that a pause or a cancel is soon heard.
const BATCHES_PER_SECOND: u32 = 4;

/// Over one sending; a letter that was not acknowledged within it is sent again.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// How often it is looked for the outcome of a canary.
const CANARY_INTERVAL: Duration = Duration::from_millis(250);

/// What a replica needs to do jobs.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    pub(crate) group: &'a ConsumerGroup,
    pub(crate) resources: &'a Resources,
    pub(crate) owner: &'a str,
}

/// Why a step of a job did not go right.
enum Trouble {
    /// Someone else has the job, or it does not run any more.
    Lost,
    /// It cannot go on; the reason is for the operator.
    Stopped(String),
    /// Kafka or the database is away.
    Away(Error),
}

impl From<Lost> for Trouble {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Away(error.into())
    }
}

impl Worker<'_> {
    /// Takes a job and does it, until it ends, is lost, or `stop` is cancelled. False when there is none.
    pub(crate) async fn work(&self, job: Option<Uuid>, stop: &CancellationToken) -> Result<bool, Error> {
        let pool = &self.resources.pool;
        let Some(mut lease) = lease::take(pool, &self.group.name, self.owner, job).await? else {
            return Ok(false);
        };
        let (group, job) = (&self.group.name, lease.job);
        tracing::info!(group, %job, "working on a job on dead letters");
        let kept = lease.clone();
        tokio::select! {
            ended = self.run(&mut lease) => {
                if let Some(reason) = ended {
                    tracing::warn!(group, %job, reason, "a job on dead letters stopped");
                }
            }
            Lost = kept.keep(pool) => tracing::warn!(group, %job, "lost the lease of a job on dead letters"),
            () = stop.cancelled() => {}
        }
        kept.release(pool).await?;
        Ok(true)
    }

    /// Does the job, however long that takes; answers why it stopped, if it did so by itself.
    async fn run(&self, lease: &mut Lease) -> Option<String> {
        let pool = &self.resources.pool;
        let letters = Letters::of(&self.resources.kafka, &self.group.dead_letter_topic());
        let mut hold = Hold::new();
        loop {
            let done = match lease.action {
                Action::Replay => self.replay_all(lease, &letters).await,
                Action::Discard => self.discard_all(lease, &letters).await,
            };
            let stopped = match done {
                Ok(()) => None,
                Err(Trouble::Lost) => return None,
                Err(Trouble::Stopped(reason)) => Some(reason),
                Err(Trouble::Away(error)) => {
                    let note = format!("waits: {error}");
                    tracing::warn!(group = self.group.name, job = %lease.job, %error, "a job on dead letters waits");
                    let _ = lease.note(pool, &note).await;
                    hold.pause().await;
                    continue;
                }
            };
            match lease
                .end(pool, stopped.as_deref(), self.resources.clock.now())
                .await
            {
                Ok(()) => return stopped,
                Err(_) => hold.pause().await,
            }
        }
    }

    async fn replay_all(&self, lease: &mut Lease, letters: &Letters) -> Result<(), Trouble> {
        let pool = &self.resources.pool;
        let producer = producer(self.resources)?;
        let rate = lease.rate.unwrap_or(u32::MAX).max(1);
        let batch = usize::try_from(rate / BATCHES_PER_SECOND).map_or(BATCH, |part| part.clamp(1, BATCH));
        let (mut due, mut after) = (Instant::now(), None::<LetterId>);
        loop {
            tokio::time::sleep_until(due).await;
            let ids = lease.next_to_send(pool, after, batch).await??;
            if ids.is_empty() {
                // The end is only where nothing is left from the beginning on.
                if after.take().is_some() {
                    continue;
                }
                if lease.canary_over {
                    return Ok(());
                }
                self.watch_canary(lease).await?;
                continue;
            }
            after = ids.last().copied();
            // Time that a slow Kafka took is not made up for: the rate is what the group is to bear.
            due = due.max(Instant::now()) + Duration::from_secs(ids.len() as u64) / rate;
            let mut ids = ids.as_slice();
            while !ids.is_empty() {
                let read = letters.read(ids.to_vec()).await?;
                ids = ids.get(read.len()..).unwrap_or_default();
                self.replay(lease, &producer, read).await?;
            }
        }
    }

    /// Sends letters to the group's first tier, due now, and writes that down once they are there.
    async fn replay(
        &self,
        lease: &Lease,
        producer: &FutureProducer,
        letters: Vec<(LetterId, Option<Letter>)>,
    ) -> Result<(), Trouble> {
        crash_point("dead_letters.send.before");
        let now = self.resources.clock.now();
        let pool = &self.resources.pool;
        let topic = self.group.retry_topic(1);
        let topic = self.resources.kafka.topic(&topic);
        let sending = letters.iter().filter_map(|(id, letter)| {
            let letter = letter.as_ref()?;
            let replay = Replay {
                job: lease.job,
                letter: id.to_string(),
            };
            let envelope = letter.envelope.as_ref()?.replayed(replay, now);
            let headers = envelope.write(&letter.record.headers.readable, &self.group.name, None);
            let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers.to_kafka());
            record.key = letter.record.key.as_deref();
            record.payload = letter.record.payload.as_deref();
            Some(async move {
                let sent = producer.send(record, Timeout::After(SEND_DEADLINE)).await;
                let sent = sent
                    .map_err(|(error, _)| error)
                    .and_then(|written| is_there(written.offset).map_err(KafkaError::MessageProduction));
                (*id, sent)
            })
        });
        let outcomes = join_all(sending).await;
        crash_point("dead_letters.send.after");
        let sent: Vec<LetterId> = outcomes
            .iter()
            .filter(|(_, sent)| sent.is_ok())
            .map(|(id, _)| *id)
            .collect();
        let mut tx = pool.begin().await?;
        if !lease.done(&mut tx, &sent, now).await? {
            return Err(Trouble::Lost);
        }
        tx.commit().await?;
        let gone: Vec<LetterId> = letters
            .iter()
            .filter(|(_, letter)| !letter.as_ref().is_some_and(Letter::is_replayable))
            .map(|(id, _)| *id)
            .collect();
        if !gone.is_empty() {
            lease.gone(pool, &gone).await?;
        }
        match outcomes
            .into_iter()
            .find_map(|(id, sent)| Some((id, sent.err()?)))
        {
            None => Ok(()),
            Some((id, error)) if is_refusal(&error) => Err(Trouble::Stopped(format!(
                "kafka does not take letter {id}: {error}"
            ))),
            Some((_, error)) => Err(error.into()),
        }
    }

    /// Waits for the outcome of the canary; it ends the job when one of its letters failed again.
    async fn watch_canary(&self, lease: &mut Lease) -> Result<(), Trouble> {
        let pool = &self.resources.pool;
        match lease.canary(pool, &self.group.name).await? {
            (_, Some(letter)) => Err(Trouble::Stopped(format!(
                "letter {letter} of the canary failed again"
            ))),
            (0, None) => Ok(lease.end_canary(pool).await?),
            (waiting, None) => {
                lease
                    .note(
                        pool,
                        &format!("waits for the outcome of {waiting} letters of the canary"),
                    )
                    .await?;
                tokio::time::sleep(CANARY_INTERVAL).await;
                Ok(())
            }
        }
    }

    /// Gives letters up. In an ordered group the later events of their aggregates then go on without them.
    async fn discard_all(&self, lease: &Lease, letters: &Letters) -> Result<(), Trouble> {
        loop {
            let ids = lease.next_to_discard(&self.resources.pool, BATCH).await?;
            if ids.is_empty() {
                return Ok(());
            }
            match self.group.ordering {
                Ordering::Unordered => self.discard(lease, &ids, Vec::new()).await?,
                Ordering::PerKey => {
                    for some in letters.read(ids).await?.chunks(LOCKED_AT_ONCE) {
                        let ids: Vec<LetterId> = some.iter().map(|(id, _)| *id).collect();
                        let turns = self.turns(some).await;
                        self.discard(lease, &ids, turns).await?;
                    }
                }
            }
        }
    }

    /// The turns that letters have, in the one order in which everyone locks aggregates.
    async fn turns(&self, letters: &[(LetterId, Option<Letter>)]) -> Vec<Turn> {
        let mut turns = Vec::with_capacity(letters.len());
        for letter in letters.iter().filter_map(|(_, letter)| letter.as_ref()) {
            turns.extend(letter.turn(&self.resources.registry).await);
        }
        turns.sort_unstable_by(|one, other| {
            (&one.topic, &one.key, one.sequence).cmp(&(&other.topic, &other.key, other.sequence))
        });
        turns
    }

    async fn discard(&self, lease: &Lease, ids: &[LetterId], turns: Vec<Turn>) -> Result<(), Trouble> {
        let now = self.resources.clock.now();
        let mut tx = self.resources.pool.begin().await?;
        for turn in &turns {
            let aggregate = Aggregate {
                group: &self.group.name,
                topic: &turn.topic,
                key: &turn.key,
            };
            if turn.sequence > watermarks::lock(&mut tx, &aggregate).await? {
                parked::discard(&mut tx, &aggregate, turn.sequence, now).await?;
                parked::pass_over_settled(&mut tx, &aggregate).await?;
            }
        }
        if !lease.done(&mut tx, ids, now).await? {
            return Err(Trouble::Lost);
        }
        crash_point("dead_letters.discard.before_commit");
        Ok(tx.commit().await?)
    }
}

/// Kafka will never take such a record.
fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    )
}

fn producer(resources: &Resources) -> Result<FutureProducer, Error> {
    let mut config = resources.kafka.producer("dead-letters");
    config
        // Letters are independent of each other; one that is refused must not stop the others.
        .set("enable.gapless.guarantee", "false")
        // What was not acknowledged is sent again, and handled once per job.
        .set("message.timeout.ms", SEND_DEADLINE.as_millis().to_string())
        .set("message.max.bytes", "4194304");
    Ok(config.create()?)
}
