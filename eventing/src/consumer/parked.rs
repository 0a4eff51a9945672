//! Events that wait, in the group's database, for an earlier event of their aggregate.

mod set;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};

pub(crate) use set::{Parking, park_all};

use super::blocks::{self, Place};
use super::record::{self, Headers, Record};
use super::watermarks::{self, Aggregate};
use crate::crash_point;
use crate::headers::RecordHeaders;

/// The first parked event of an aggregate whose turn has come, or is past.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next event of the aggregate.
    Event {
        /// Its sequence.
        sequence: i64,
        /// As it was read.
        record: Box<Record>,
    },
    /// What needs no handler: it was applied meanwhile, or an operator discarded it.
    Settled,
}

/// The first parked event whose turn has come, or is past.
pub(crate) async fn next(pool: &PgPool, aggregate: &Aggregate<'_>) -> Result<Option<Next>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select p.sequence, p.sequence > w.last_sequence and not p.discarded as "waits!",
               p.read_topic, p.read_partition, p.read_offset, p.tier, p.recorded_at, p.record_key, p.payload, p.headers
           from eventing.watermarks w
           join eventing.parked p on p.consumer_group = w.consumer_group and p.topic = w.topic and p.key = w.key
           where w.consumer_group = $1 and w.topic = $2 and w.key = $3 and p.sequence <= w.last_sequence + 1
           order by p.sequence
           limit 1"#,
        aggregate.group,
        aggregate.topic,
        aggregate.key,
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.waits {
        return Ok(Some(Next::Settled));
    }
    let (Some(topic), Some(partition), Some(offset)) = (row.read_topic, row.read_partition, row.read_offset)
    else {
        return Ok(None);
    };
    let headers = RecordHeaders::from_bytes(row.headers.as_deref().unwrap_or_default());
    let record = Record {
        place: record::Place {
            topic: topic.into(),
            partition,
            offset,
        },
        tier: row.tier.and_then(|tier| u32::try_from(tier).ok()).unwrap_or(0),
        parked: true,
        recorded_at: row.recorded_at.map_or(Timestamp::UNIX_EPOCH, Into::into),
        key: row.record_key,
        payload: row.payload,
        headers: Headers {
            readable: headers.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            unreadable: None,
        },
    };
    Ok(Some(Next::Event {
        sequence: row.sequence,
        record: Box::new(record),
    }))
}

/// Removes an aggregate's parked events up to a sequence.
pub(crate) async fn remove_up_to(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from eventing.parked where consumer_group = $1 and topic = $2 and key = $3 and sequence <= $4",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes one parked event of an aggregate, unless an operator discarded it meanwhile.
pub(crate) async fn remove(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<(), sqlx::Error> {
    crash_point("consumer.unpark.before");
    watermarks::lock(tx, aggregate).await?;
    sqlx::query!(
        "delete from eventing.parked
         where consumer_group = $1 and topic = $2 and key = $3 and sequence = $4 and not discarded",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .execute(&mut *tx)
    .await?;
    watermarks::refresh(tx, aggregate).await
}

/// Marks an event of a locked aggregate as given up: when its turn comes, it is passed over.
pub(crate) async fn discard(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into eventing.parked (consumer_group, topic, key, sequence, discarded, parked_at)
         values ($1, $2, $3, $4, true, $5)
         on conflict on constraint parked_pkey do update set discarded = true",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
        now.to_sqlx() as _,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Passes over what needs no handler at the head of a locked aggregate, and answers the last sequence after that.
pub(crate) async fn pass_over_settled(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
) -> Result<i64, sqlx::Error> {
    let before = watermarks::lock(tx, aggregate).await?;
    let mut last = before;
    loop {
        remove_up_to(tx, aggregate, last).await?;
        let discarded = sqlx::query!(
            "delete from eventing.parked
             where consumer_group = $1 and topic = $2 and key = $3 and sequence = $4 and discarded",
            aggregate.group,
            aggregate.topic,
            aggregate.key,
            last + 1,
        )
        .execute(&mut *tx)
        .await?;
        if discarded.rows_affected() == 0 {
            if last > before {
                watermarks::passed_over(tx, aggregate, before, last).await?;
            }
            watermarks::refresh(tx, aggregate).await?;
            return Ok(last);
        }
        last += 1;
        watermarks::advance(tx, aggregate, last).await?;
    }
}

/// What came of taking back that an event was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It holds its aggregate back again.
    Restored,
    /// A later event of its aggregate was applied meanwhile, or the aggregate was moved on; `last` is where it stands.
    TooLate { last: i64 },
    /// It was not given up.
    NotDiscarded,
}

/// Takes back that an event was given up, unless a later one of its aggregate was applied since. It is a dead letter again,
/// and holds the later ones back.
///
/// When its turn had come already, the watermark goes back before it. Those behind it that were given up as well stay so.
pub(crate) async fn undo_discard(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
    fingerprint: &str,
    now: Timestamp,
) -> Result<Undone, sqlx::Error> {
    let last = watermarks::lock(tx, aggregate).await?;
    if sequence > last {
        if !restore(tx, aggregate, sequence).await? {
            return Ok(Undone::NotDiscarded);
        }
    } else {
        if !watermarks::go_back(tx, aggregate, sequence).await? {
            return Ok(Undone::TooLate { last });
        }
        for given_up in sequence + 1..=last {
            discard(tx, aggregate, given_up, now).await?;
        }
    }
    blocks::put(tx, aggregate, sequence, Place::DeadLetter, fingerprint, now).await?;
    watermarks::refresh(tx, aggregate).await?;
    Ok(Undone::Restored)
}

/// Takes the mark of a given up event away, and leaves the event itself if it is parked; `false` when there is no mark.
async fn restore(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<bool, sqlx::Error> {
    let restored = sqlx::query_scalar!(
        r#"with parked as (
               update eventing.parked set discarded = false
               where consumer_group = $1 and topic = $2 and key = $3 and sequence = $4
                   and discarded and headers is not null
               returning 1
           ), mark as (
               delete from eventing.parked
               where consumer_group = $1 and topic = $2 and key = $3 and sequence = $4
                   and discarded and headers is null
               returning 1
           )
           select (select count(*) from parked) + (select count(*) from mark) > 0 as "restored!""#,
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .fetch_one(tx)
    .await?;
    Ok(restored)
}

/// How many events a group has parked.
pub(crate) async fn count(pool: &PgPool, group: &str) -> Result<u64, sqlx::Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from eventing.parked where consumer_group = $1 and not discarded"#,
        group,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}
