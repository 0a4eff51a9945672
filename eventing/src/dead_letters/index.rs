//! The index of a group's dead-letter topic. It follows the topic, and may be built anew from it at any time.

mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaResult;
use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc::Receiver;

use rows::{Row, insert, mark_copies};

use super::letter::Letter;
use super::topic::{self, Extent, Positions, Until};
use super::{Decision, Error, audit};
use crate::consumer::record::Record;
use crate::consumer::{ConsumerGroup, Resources};

/// Letters that are taken into the index at once.
const CHUNK: usize = 500;

/// Brings the index up to the end that the topic has now.
pub(crate) async fn catch_up(group: &ConsumerGroup, resources: &Resources) -> Result<(), Error> {
    let (positions, behind) = reconcile(group, resources).await?;
    if behind == 0 {
        return Ok(());
    }
    let mut reading = Reading::begin(group, resources, positions, Until::End);
    while reading.extend().await? {}
    Ok(())
}

/// A reading of the topic that goes into the index.
pub(crate) struct Reading<'a> {
    group: &'a ConsumerGroup,
    pool: &'a PgPool,
    records: Receiver<KafkaResult<Record>>,
    /// What was read and is not in the index yet.
    first: Option<Record>,
    /// The next offset of each partition, as far as this reading knows.
    reached: Positions,
}

impl<'a> Reading<'a> {
    /// Follows the topic from where the index ends.
    pub(crate) async fn follow(group: &'a ConsumerGroup, resources: &'a Resources) -> Result<Self, Error> {
        let (positions, _) = reconcile(group, resources).await?;
        Ok(Self::begin(group, resources, positions, Until::Dropped))
    }

    fn begin(group: &'a ConsumerGroup, resources: &'a Resources, positions: Positions, until: Until) -> Self {
        let topic = group.dead_letter_topic();
        Self {
            group,
            pool: &resources.pool,
            records: topic::records(&resources.kafka, &topic, positions.clone(), until),
            first: None,
            reached: positions,
        }
    }

    /// Waits for a record; false when there are no more to come. It may be given up at any time.
    pub(crate) async fn ready(&mut self) -> Result<bool, Error> {
        if self.first.is_none() {
            self.first = self.records.recv().await.transpose()?;
        }
        Ok(self.first.is_some())
    }

    /// Takes some records into the index; false when there are no more to come, or the reading has to be begun anew. When it is
    /// given up in the middle, or fails, it has to be as well.
    pub(crate) async fn extend(&mut self) -> Result<bool, Error> {
        if !self.ready().await? {
            return Ok(false);
        }
        let mut rows: Vec<Row> = self
            .first
            .take()
            .map(|record| Row::new(&Letter::new(record)))
            .into_iter()
            .collect();
        while rows.len() < CHUNK {
            match tokio::time::timeout(LINGER, self.records.recv()).await {
                Ok(Some(record)) => rows.push(Row::new(&Letter::new(record?))),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(extend(self.pool, &self.group.name, rows, &mut self.reached).await?)
    }
}

/// How long a further record is waited for.
const LINGER: Duration = Duration::from_millis(20);

/// How many records of the topic are not in the index.
pub(crate) async fn behind(group: &ConsumerGroup, resources: &Resources) -> Result<u64, Error> {
    let extents = topic::extents(&resources.kafka, &group.dead_letter_topic()).await?;
    let positions = positions(&resources.pool, &group.name).await?;
    Ok(missing(&extents, &positions))
}

fn missing(extents: &[Extent], positions: &Positions) -> u64 {
    let missing = extents.iter().map(|extent| {
        let next = positions.get(&extent.partition).copied().unwrap_or(0);
        extent.high - next.clamp(extent.low, extent.high)
    });
    u64::try_from(missing.sum::<i64>()).unwrap_or(0)
}

async fn positions(pool: &PgPool, group: &str) -> Result<Positions, sqlx::Error> {
    let rows = sqlx::query!(
        "select letter_partition, next_offset from eventing.dead_letter_positions where consumer_group = $1",
        group,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.letter_partition, row.next_offset))
        .collect())
}

/// Compares the index with the topic: forgets what is not there any more, and answers where to go on and how many are missing.
async fn reconcile(group: &ConsumerGroup, resources: &Resources) -> Result<(Positions, u64), Error> {
    let extents = topic::extents(&resources.kafka, &group.dead_letter_topic()).await?;
    let mut positions = positions(&resources.pool, &group.name).await?;
    for Extent { partition, low, high } in &extents {
        // A topic that ends before the index does was made anew.
        let is_new = positions.get(partition).is_some_and(|next| next > high);
        let first_kept = if is_new { i64::MAX } else { *low };
        let forgotten = forget(&resources.pool, &group.name, *partition, first_kept).await?;
        if forgotten > 0 {
            tracing::warn!(
                group = group.name,
                partition,
                forgotten,
                "letters are no longer on their topic"
            );
        }
        if is_new {
            positions.remove(partition);
        }
    }
    let behind = missing(&extents, &positions);
    Ok((positions, behind))
}

async fn forget(pool: &PgPool, group: &str, partition: i32, first_kept: i64) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let forgotten = sqlx::query!(
        "delete from eventing.dead_letters
         where consumer_group = $1 and letter_partition = $2 and letter_offset < $3",
        group,
        partition,
        first_kept,
    )
    .execute(&mut *tx)
    .await?;
    if forgotten.rows_affected() > 0 {
        sqlx::query!(
            "update eventing.dead_letter_states set fingerprint = null
             where consumer_group = $1 and letter_partition = $2 and letter_offset < $3 and fingerprint is not null",
            group,
            partition,
            first_kept,
        )
        .execute(&mut *tx)
        .await?;
    }
    if first_kept == i64::MAX {
        sqlx::query!(
            "delete from eventing.dead_letter_positions where consumer_group = $1 and letter_partition = $2",
            group,
            partition,
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(forgotten.rows_affected())
}

/// Builds the index anew, and answers how many letters are in it.
pub(crate) async fn rebuild(
    group: &ConsumerGroup,
    resources: &Resources,
    by: &Decision,
) -> Result<u64, Error> {
    // What is not on the topic any more is forgotten for good first.
    reconcile(group, resources).await?;
    let now = resources.clock.now();
    let mut tx = resources.pool.begin().await?;
    // The positions' locks come first, as in `extend`.
    sqlx::query!(
        "select letter_partition from eventing.dead_letter_positions
         where consumer_group = $1 order by letter_partition for update",
        group.name,
    )
    .fetch_all(&mut *tx)
    .await?;
    let forgotten = sqlx::query!(
        "delete from eventing.dead_letters where consumer_group = $1",
        group.name
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from eventing.dead_letter_positions where consumer_group = $1",
        group.name
    )
    .execute(&mut *tx)
    .await?;
    let entry = audit::Entry {
        group: &group.name,
        action: "reindex",
        by,
        subject: "the index",
        letters: forgotten.rows_affected(),
        job: None,
    };
    audit::write(&mut tx, &entry, now).await?;
    tx.commit().await?;
    catch_up(group, resources).await?;
    let letters = sqlx::query_scalar!(
        r#"select count(*) as "count!" from eventing.dead_letters where consumer_group = $1"#,
        group.name,
    )
    .fetch_one(&resources.pool)
    .await?;
    Ok(u64::try_from(letters).unwrap_or(0))
}

/// Takes rows into the index, each once however many processes read the topic. False when the index was emptied meanwhile, so
/// that what was read before these rows is missing.
async fn extend(
    pool: &PgPool,
    group: &str,
    mut rows: Vec<Row>,
    reached: &mut Positions,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let mut ends = BTreeMap::new();
    for row in &rows {
        ends.insert(row.letter_partition, row.letter_offset + 1);
    }
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = ends.iter().map(|(p, end)| (*p, *end)).unzip();
    let next = lock_positions(&mut tx, group, &partitions).await?;
    let of = |positions: &Positions, partition: &i32| positions.get(partition).copied().unwrap_or(0);
    if partitions
        .iter()
        .any(|partition| of(&next, partition) < of(reached, partition))
    {
        return Ok(false);
    }
    rows.retain(|row| row.letter_offset >= of(&next, &row.letter_partition));
    if !rows.is_empty() {
        insert(&mut tx, group, &rows).await?;
        let lives: Vec<String> = rows.into_iter().filter_map(|row| row.life).collect();
        mark_copies(&mut tx, group, &lives).await?;
        advance(&mut tx, group, &partitions, &offsets).await?;
        tx.commit().await?;
    }
    reached.extend(ends);
    Ok(true)
}

async fn advance(
    tx: &mut PgConnection,
    group: &str,
    partitions: &[i32],
    offsets: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.dead_letter_positions p
         set next_offset = greatest(p.next_offset, n.next_offset)
         from unnest($2::integer[], $3::bigint[]) as n (letter_partition, next_offset)
         where p.consumer_group = $1 and p.letter_partition = n.letter_partition",
        group,
        partitions,
        offsets,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn lock_positions(
    tx: &mut PgConnection,
    group: &str,
    partitions: &[i32],
) -> Result<Positions, sqlx::Error> {
    sqlx::query!(
        "insert into eventing.dead_letter_positions (consumer_group, letter_partition, next_offset)
         select $1, partition, 0 from unnest($2::integer[]) as partition order by partition
         on conflict on constraint dead_letter_positions_pkey do nothing",
        group,
        partitions,
    )
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query!(
        "select letter_partition, next_offset from eventing.dead_letter_positions
         where consumer_group = $1 and letter_partition = any($2)
         order by letter_partition
         for update",
        group,
        partitions,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.letter_partition, row.next_offset))
        .collect())
}
