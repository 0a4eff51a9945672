//! Aggregates whose events wait for one that nobody has seen: it is neither in a retry tier nor among the dead letters.
//!
//! That should not happen: a relay publishes an aggregate's events without a gap. It does when records were lost, or deleted from
//! the topic. For some moments it also looks so while two members work on one aggregate.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use super::watermarks::{self, Aggregate};

/// Missing events of one aggregate, and what waits behind them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The domain topic.
    pub topic: String,
    /// The aggregate.
    pub key: String,
    /// The first sequence that is missing.
    pub first_missing: i64,
    /// The last sequence that is missing, up to the first event that was seen.
    pub last_missing: i64,
    /// How many events wait behind it.
    pub parked: i64,
    /// Since when the first of them waits.
    pub since: Timestamp,
}

/// A group's gaps, those that have waited longest first; `key` for those of one aggregate.
pub(crate) async fn list(
    pool: &PgPool,
    group: &str,
    key: Option<&str>,
    limit: i64,
) -> Result<Vec<Gap>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select w.topic, w.key, w.last_sequence + 1 as "first_missing!", seen.first_seen - 1 as "last_missing!",
               waiting.parked as "parked!", waiting.since as "since!"
           from eventing.watermarks w
           join lateral (
               select count(*) as parked, min(p.parked_at) as since
               from eventing.parked p
               where p.consumer_group = w.consumer_group and p.topic = w.topic and p.key = w.key and not p.discarded
           ) waiting on waiting.parked > 0
           join lateral (
               select least(
                   (select min(p.sequence) from eventing.parked p
                    where p.consumer_group = w.consumer_group and p.topic = w.topic and p.key = w.key),
                   (select min(b.sequence) from eventing.blocks b
                    where b.consumer_group = w.consumer_group and b.topic = w.topic and b.key = w.key
                        and b.sequence > w.last_sequence)
               ) as first_seen
           ) seen on seen.first_seen > w.last_sequence + 1
           where w.consumer_group = $1 and ($2::text is null or w.key = $2)
               and (w.topic, w.key) in (
                   select p.topic, p.key from eventing.parked p where p.consumer_group = $1 and not p.discarded
               )
           order by waiting.since, w.key
           limit $3"#,
        group,
        key,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let gaps = rows.into_iter().map(|row| Gap {
        topic: row.topic,
        key: row.key,
        first_missing: row.first_missing,
        last_missing: row.last_missing,
        parked: row.parked,
        since: row.since.into(),
    });
    Ok(gaps.collect())
}

/// Moves an aggregate on past a gap, which must still be there and reach as far as it was seen to. `false` when it does not:
/// something has come meanwhile.
pub(crate) async fn accept(tx: &mut PgConnection, group: &str, gap: &Gap) -> Result<bool, sqlx::Error> {
    let aggregate = Aggregate {
        group,
        topic: &gap.topic,
        key: &gap.key,
    };
    if watermarks::lock(tx, &aggregate).await? + 1 != gap.first_missing
        || seen_in(tx, &aggregate, gap).await?
    {
        return Ok(false);
    }
    watermarks::skip_to(tx, &aggregate, gap.last_missing).await?;
    Ok(true)
}

/// Whether an event that was missing has come.
async fn seen_in(tx: &mut PgConnection, aggregate: &Aggregate<'_>, gap: &Gap) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from eventing.parked
               where consumer_group = $1 and topic = $2 and key = $3 and sequence between $4 and $5
           ) or exists (
               select from eventing.blocks
               where consumer_group = $1 and topic = $2 and key = $3 and sequence between $4 and $5
           ) as "seen!""#,
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        gap.first_missing,
        gap.last_missing,
    )
    .fetch_one(tx)
    .await
}
