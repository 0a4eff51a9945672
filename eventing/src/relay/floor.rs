//! Below which number a lane has no row left, and none can appear: reads may begin there.
//!
//! Without it, reads would pass over every deleted row that vacuum cannot remove yet, and a dump or a report that runs for an
//! hour in the same database keeps vacuum from removing any. It is an economy only: a floor that is too low costs time, and
//! no row's fate depends on how fast it rises.
//!
//! It rises in three statements, each with a snapshot of its own:
//!
//! 1. Which numbers have been given out (`up_to`); the lanes share them.
//! 2. Who may be about to commit one of them. An insert locks the table before it takes its number, and keeps the lock until
//!    its transaction ends; so it is among those who hold that lock now.
//! 3. Once none of those holds it any more, all of their rows are visible (a commit is visible before its locks are free), and
//!    the lowest row that a lane has left is the lowest that it will have.
//!
//! Only an operator's decision brings a low number back. It counts up the lane's `releases` in its transaction, and a read that sees
//! another count than the floor was made with ignores the floor.

use std::time::Duration;

use sqlx::PgExecutor;
use tokio::time::Instant;

use crate::outbox::Lane;

/// Between two steps. Reads pass over what was deleted within some of these; at rest there is nothing to do.
const RISE_EVERY: Duration = Duration::from_millis(500);

/// Where reads of a lane begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// Rows up to here are gone.
    pub(super) seq: i64,
    /// The lane's count of releases for which this holds.
    pub(super) releases: i64,
}

impl Default for Floor {
    /// No count of releases is negative, so this floor is ignored.
    fn default() -> Self {
        Self { seq: 0, releases: -1 }
    }
}

/// Lets the floors rise as rows are deleted.
#[derive(Debug)]
pub(super) struct Rising {
    next_at: Instant,
    waiting: Option<Waiting>,
}

/// What the next floors wait for.
#[derive(Debug)]
struct Waiting {
    up_to: i64,
    releases: Vec<(Lane, i64)>,
    writers: Vec<String>,
}

impl Rising {
    pub(super) fn new() -> Self {
        Self {
            next_at: Instant::now(),
            waiting: None,
        }
    }

    /// Whether it is time for a step.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next_at
    }

    /// Takes the next step for these lanes. Returns the floors that have risen.
    pub(super) async fn rise<D>(
        &mut self,
        db: &mut D,
        lanes: &[(Lane, Floor)],
        deleted: bool,
    ) -> sqlx::Result<Vec<(Lane, Floor)>>
    where
        for<'db> &'db mut D: PgExecutor<'db>,
    {
        self.next_at = Instant::now() + RISE_EVERY;
        let Some(waiting) = &self.waiting else {
            if deleted {
                let up_to = numbers_given_out(&mut *db).await?;
                let releases = releases(&mut *db).await?;
                let writers = writers(&mut *db).await?;
                self.waiting = Some(Waiting {
                    up_to,
                    releases,
                    writers,
                });
            }
            return Ok(Vec::new());
        };
        if is_any_writing(&mut *db, &waiting.writers).await? {
            return Ok(Vec::new());
        }
        let lowest = lowest(&mut *db, lanes).await?;
        let risen = lowest.into_iter().filter_map(|(lane, lowest)| {
            let (_, releases) = waiting.releases.iter().find(|(known, _)| *known == lane)?;
            let seq = lowest.map_or(waiting.up_to, |lowest| waiting.up_to.min(lowest - 1));
            Some((
                lane,
                Floor {
                    seq,
                    releases: *releases,
                },
            ))
        });
        let risen = risen.collect();
        self.waiting = None;
        Ok(risen)
    }
}

/// The highest number given out so far.
async fn numbers_given_out(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select case when is_called then last_value else last_value - 1 end as "seq!" from eventing.outbox_seq"#,
    )
    .fetch_one(db)
    .await
}

async fn releases(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(Lane, i64)>> {
    let found = sqlx::query!("select lane, releases from eventing.outbox_lanes")
        .fetch_all(db)
        .await?;
    Ok(found
        .into_iter()
        .filter_map(|row| Some((Lane::numbered(row.lane)?, row.releases)))
        .collect())
}

/// The transactions that may have inserted a row and have not ended. An insert locks the partitioned table before it takes its
/// number, whichever lane it goes to.
async fn writers(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select virtualtransaction as "writer!" from pg_locks
           where relation = 'eventing.outbox'::regclass and mode = 'RowExclusiveLock'
             and database = (select oid from pg_database where datname = current_database())"#,
    )
    .fetch_all(db)
    .await
}

/// Whether one of these transactions has not ended. One that was prepared goes by another name, so any such counts.
async fn is_any_writing(db: impl PgExecutor<'_>, writers: &[String]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from pg_locks
               where relation = 'eventing.outbox'::regclass and mode = 'RowExclusiveLock'
                 and database = (select oid from pg_database where datname = current_database())
                 and (pid is null or virtualtransaction = any ($1))
           ) as "writing!""#,
        writers,
    )
    .fetch_one(db)
    .await
}

/// The lowest number that is left in each lane, from the floors that are known already.
async fn lowest(db: impl PgExecutor<'_>, lanes: &[(Lane, Floor)]) -> sqlx::Result<Vec<(Lane, Option<i64>)>> {
    let numbers: Vec<i16> = lanes.iter().map(|(lane, _)| lane.number()).collect();
    let seqs: Vec<i64> = lanes.iter().map(|(_, floor)| floor.seq).collect();
    let releases: Vec<i64> = lanes.iter().map(|(_, floor)| floor.releases).collect();
    let found = sqlx::query!(
        r#"select asked.lane as "lane!",
                  (select row.seq from eventing.outbox as row
                   where row.lane = asked.lane
                     and row.seq > case when lanes.releases = asked.releases then asked.seq else 0 end
                   order by row.seq
                   limit 1) as lowest
           from unnest($1::smallint[], $2::bigint[], $3::bigint[]) as asked (lane, seq, releases)
           join eventing.outbox_lanes as lanes using (lane)"#,
        &numbers,
        &seqs,
        &releases,
    )
    .fetch_all(db)
    .await?;
    Ok(found
        .into_iter()
        .filter_map(|row| Some((Lane::numbered(row.lane)?, row.lowest)))
        .collect())
}
