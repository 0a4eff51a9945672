//! Replaying letters, and giving them up.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use uuid::Uuid;

use super::Error;
use super::chosen::Selection;
use super::id::LetterId;
use super::jobs::{self, Action, Order};
use super::letter::Letter;
use super::topic;
use crate::consumer::parked;
use crate::consumer::watermarks::{self, Aggregate};
use crate::consumer::{ConsumerGroup, Ordering, Replay, Resources};

/// Letters that are sent at once.
const CHUNK: usize = 100;

/// Over one sending; a letter that was not acknowledged within it stays new.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// What a job came to.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) job: Option<Uuid>,
    pub(crate) letters: Vec<String>,
}

/// Does to the selected letters what an operator wants, once that is written down.
pub(crate) async fn act(
    group: &ConsumerGroup,
    resources: &Resources,
    order: Order<'_>,
    selection: &Selection,
) -> Result<Report, Error> {
    // A job that was cut off may have sent letters without knowing it. Under its own id they are handled once.
    let (job, chosen) = if let Some(unfinished) = jobs::unfinished(&resources.pool, order).await? {
        unfinished
    } else {
        let chosen = selection.choose(group, resources).await?;
        if chosen.is_empty() {
            return Ok(Report {
                job: None,
                letters: Vec::new(),
            });
        }
        let job = jobs::create(&resources.pool, order, &chosen, resources.clock.now()).await?;
        (job, chosen)
    };
    let chosen: HashSet<LetterId> = chosen.into_iter().collect();
    let producer = producer(resources)?;
    let mut done = Vec::with_capacity(chosen.len());
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut records = topic::records(&resources.kafka, &group.dead_letter_topic());
    while done.len() < chosen.len() {
        let record = records.recv().await.transpose()?;
        let at_end = record.is_none();
        chunk.extend(
            record
                .map(Letter::new)
                .filter(|letter| chosen.contains(&letter.id)),
        );
        if chunk.len() >= CHUNK || (at_end && !chunk.is_empty()) || done.len() + chunk.len() == chosen.len() {
            match order.action {
                Action::Replay => replay(group, resources, &producer, job, &chunk).await?,
                Action::Discard => discard(group, resources, job, &chunk).await?,
            }
            done.extend(chunk.drain(..).map(|letter| letter.id.to_string()));
        }
        if at_end {
            break;
        }
    }
    jobs::finish(&resources.pool, job, resources.clock.now()).await?;
    Ok(Report {
        job: Some(job),
        letters: done,
    })
}

/// Sends letters to the group's first tier, due now, and notes that once they are there.
async fn replay(
    group: &ConsumerGroup,
    resources: &Resources,
    producer: &FutureProducer,
    job: Uuid,
    letters: &[Letter],
) -> Result<(), Error> {
    if let Some(letter) = letters.iter().find(|letter| letter.envelope.is_none()) {
        let message = format!(
            "letter {} was not written by a consumer group and cannot be replayed",
            letter.id
        );
        return Err(Error::Refused(message));
    }
    let now = resources.clock.now();
    let topic = group.retry_topic(1);
    let topic = resources.kafka.topic(&topic);
    let sending = letters.iter().filter_map(|letter| {
        let replay = Replay {
            job,
            letter: letter.id.to_string(),
        };
        let envelope = letter.envelope.as_ref()?.replayed(replay, now);
        let headers = envelope.write(&letter.record.headers.readable, &group.name, None);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers.to_kafka());
        record.key = letter.record.key.as_deref();
        record.payload = letter.record.payload.as_deref();
        Some(async move {
            let sent = producer.send(record, Timeout::After(SEND_DEADLINE)).await;
            (letter.id, sent.map(drop).map_err(|(error, _)| error))
        })
    });
    let sent: Vec<(LetterId, KafkaResult<()>)> = join_all(sending).await;
    let mut tx = resources.pool.begin().await?;
    for (letter, _) in sent.iter().filter(|(_, sent)| sent.is_ok()) {
        jobs::done(&mut tx, job, *letter, now).await?;
    }
    tx.commit().await?;
    match sent.into_iter().find_map(|(_, sent)| sent.err()) {
        None => Ok(()),
        Some(error) => Err(Error::Kafka(error)),
    }
}

/// Gives letters up. In an ordered group the later events of their aggregates then go on without them.
async fn discard(
    group: &ConsumerGroup,
    resources: &Resources,
    job: Uuid,
    letters: &[Letter],
) -> Result<(), Error> {
    let now = resources.clock.now();
    for letter in letters {
        let turn = match group.ordering {
            Ordering::PerKey => letter.turn(&resources.registry).await,
            Ordering::Unordered => None,
        };
        let mut tx = resources.pool.begin().await?;
        if let Some(turn) = &turn {
            let aggregate = Aggregate {
                group: &group.name,
                topic: &turn.topic,
                key: &turn.key,
            };
            if turn.sequence > watermarks::lock(&mut tx, &aggregate).await? {
                parked::discard(&mut tx, &aggregate, turn.sequence, now).await?;
                parked::pass_over_settled(&mut tx, &aggregate).await?;
            }
        }
        jobs::done(&mut tx, job, letter.id, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn producer(resources: &Resources) -> Result<FutureProducer, Error> {
    let mut config = resources.kafka.producer("dead-letters");
    config
        .set("enable.gapless.guarantee", "false")
        // An operator waits for the outcome; what was not acknowledged may be replayed again.
        .set("message.timeout.ms", SEND_DEADLINE.as_millis().to_string())
        .set("message.max.bytes", "4194304");
    Ok(config.create()?)
}
