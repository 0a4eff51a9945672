//! What holds an aggregate of an ordered group back: an event in a retry tier, one among the dead letters, or one that nobody
//! has seen.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::Event;
use sqlx::{PgConnection, PgPool};

use tokio_util::sync::CancellationToken;

use super::decode::{Bounds, decode};
use super::group::Ordering;
use super::handler::Handler;
use super::record::Record;
use super::runtime::Runtime;
use super::watermarks::Aggregate;
use crate::SchemaRegistry;
use crate::headers::CloudEvent;

/// Where an event is that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Retry,
    DeadLetter,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// How often it is counted what is held back.
const INTERVAL: Duration = Duration::from_secs(5);

/// Why aggregates are held back, in the words of the metric's label.
pub(crate) const REASONS: [&str; 3] = ["retry", "dead_letter", "gap"];

/// The aggregate's key and the event's sequence in it: as the event says, and if it cannot be decoded, as its headers do. `None`
/// when it has no such place, and hence holds nothing back.
pub(crate) async fn turn_of(
    record: &Record,
    topic: &str,
    registry: &SchemaRegistry,
) -> Option<(String, i64)> {
    let key = record.key_text()?;
    let said = |event: Event| (event.aggregate_key(), event.sequence());
    if let Ok(event) = decode(record, topic, registry, Bounds::LOOSE).await {
        return Some(said(event));
    }
    let said = CloudEvent::from_headers(&record.headers.readable).ok()?;
    (said.subject == key && said.sequence >= 1).then_some((said.subject, said.sequence))
}

/// Says where an event is going to be.
pub(crate) async fn put(
    db: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
    place: Place,
    fingerprint: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into eventing.blocks (consumer_group, topic, key, sequence, place, fingerprint, blocked_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict on constraint blocks_pkey do update
         set place = excluded.place, fingerprint = excluded.fingerprint",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
        place.name(),
        fingerprint,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what holds nothing back any more.
pub(crate) async fn tidy(pool: &PgPool, group: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from eventing.blocks b using eventing.watermarks w
         where b.consumer_group = $1
             and w.consumer_group = b.consumer_group and w.topic = b.topic and w.key = b.key
             and b.sequence <= w.last_sequence",
        group,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How many of a group's aggregates are held back, by reason.
pub(crate) async fn count(pool: &PgPool, group: &str) -> Result<Vec<(String, u64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with held as (
               select topic, key from eventing.blocks where consumer_group = $1
               union
               select topic, key from eventing.parked where consumer_group = $1 and not discarded
           ), heads as (
               select held.topic, held.key, coalesce(w.last_sequence, 0) as last_sequence
               from held
               left join eventing.watermarks w
                   on w.consumer_group = $1 and w.topic = held.topic and w.key = held.key
           )
           select coalesce(b.place, 'gap') as "reason!", count(*) as "count!"
           from heads h
           left join eventing.blocks b
               on b.consumer_group = $1 and b.topic = h.topic and b.key = h.key and b.sequence = h.last_sequence + 1
           where not exists (
               select from eventing.parked p
               where p.consumer_group = $1 and p.topic = h.topic and p.key = h.key
                   and p.sequence <= h.last_sequence + 1
           ) and (b.sequence is not null or exists (
               select from eventing.parked p
               where p.consumer_group = $1 and p.topic = h.topic and p.key = h.key and not p.discarded
           ))
           group by 1"#,
        group,
    )
    .fetch_all(pool)
    .await?;
    let counts = rows
        .into_iter()
        .map(|row| (row.reason, u64::try_from(row.count).unwrap_or(0)));
    Ok(counts.collect())
}

impl<H: Handler> Runtime<H> {
    /// Says in metrics what is held back, until it is told to stop.
    pub(crate) async fn watch_blocks(&self, stop: &CancellationToken) {
        if self.group.ordering != Ordering::PerKey {
            return;
        }
        loop {
            let counted = async {
                tidy(&self.pool, &self.group.name).await?;
                count(&self.pool, &self.group.name).await
            };
            // Without a database the others say so, and these figures stay as they were.
            if let Ok(counts) = counted.await {
                self.metrics.blocked(&counts);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}
