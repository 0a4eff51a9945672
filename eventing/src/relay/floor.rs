//! Below which number no row is left, and none can appear: reads may begin there.
//!
//! Without it, reads would pass over every deleted row that vacuum cannot remove yet, and a dump or a report that runs for an
//! hour in the same database keeps vacuum from removing any. It is an economy only: a floor that is too low costs time, and
//! no row's fate depends on how fast it rises.
//!
//! It rises in three statements, each with a snapshot of its own:
//!
//! 1. Which numbers have been given out (`up_to`).
//! 2. Who may be about to commit one of them. An insert locks the table before it takes its number, and keeps the lock until
//!    its transaction ends; so it is among those who hold that lock now.
//! 3. Once none of those holds it any more, all of their rows are visible (a commit is visible before its locks are free), and
//!    the lowest row that is left is the lowest there will be.
//!
//! Only an operator's decision brings a low number back. It counts up `releases` in its transaction, and a read that sees
//! another count than the floor was made with ignores the floor.

use std::time::Duration;

use tokio::time::Instant;

use super::leader::{Leader, LeaderError, in_time};

/// Between two steps. Reads pass over what was deleted within some of these; at rest there is nothing to do.
const RISE_EVERY: Duration = Duration::from_millis(500);

/// Where reads begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    /// Rows up to here are gone.
    pub(super) seq: i64,
    /// The count of releases for which this holds.
    pub(super) releases: i64,
}

/// Lets the floor rise as rows are deleted.
#[derive(Debug)]
pub(super) struct Rising {
    floor: Floor,
    /// Rows were deleted since the last first step.
    behind: bool,
    next_at: Instant,
    waiting: Option<Waiting>,
}

/// What the next floor waits for.
#[derive(Debug)]
struct Waiting {
    up_to: Floor,
    writers: Vec<String>,
}

impl Rising {
    pub(super) fn new() -> Self {
        // No count of releases is negative, so this floor is ignored.
        let floor = Floor { seq: 0, releases: -1 };
        Self {
            floor,
            behind: false,
            next_at: Instant::now(),
            waiting: None,
        }
    }

    pub(super) fn floor(&self) -> Floor {
        self.floor
    }

    /// Rows were deleted, so it may rise.
    pub(super) fn deleted(&mut self) {
        self.behind = true;
    }

    /// Takes the next step when it is time for one.
    pub(super) async fn rise(&mut self, leader: &mut Leader) -> Result<(), LeaderError> {
        if Instant::now() < self.next_at {
            return Ok(());
        }
        match &self.waiting {
            None if !self.behind => {}
            None => {
                self.behind = false;
                let up_to = leader.numbers_given_out().await?;
                let writers = leader.writers().await?;
                self.waiting = Some(Waiting { up_to, writers });
            }
            Some(waiting) => {
                if !leader.is_any_writing(&waiting.writers).await? {
                    let lowest = leader.lowest(self.floor).await?;
                    let seq = lowest.map_or(waiting.up_to.seq, |lowest| waiting.up_to.seq.min(lowest - 1));
                    self.floor = Floor { seq, ..waiting.up_to };
                    self.waiting = None;
                }
            }
        }
        self.next_at = Instant::now() + RISE_EVERY;
        Ok(())
    }
}

impl Leader {
    /// The highest number given out so far, as a floor that is not one yet.
    async fn numbers_given_out(&mut self) -> Result<Floor, LeaderError> {
        let statement = sqlx::query!(
            r#"select case when is_called then last_value else last_value - 1 end as "seq!", releases
               from eventing.outbox_seq, eventing.outbox_releases where only_row"#,
        )
        .fetch_one(&mut self.0);
        let found = in_time(statement).await?;
        Ok(Floor {
            seq: found.seq,
            releases: found.releases,
        })
    }

    /// The transactions that may have inserted a row and have not ended.
    async fn writers(&mut self) -> Result<Vec<String>, LeaderError> {
        let statement = sqlx::query_scalar!(
            r#"select virtualtransaction as "writer!" from pg_locks
               where relation = 'eventing.outbox'::regclass and mode = 'RowExclusiveLock'
                 and database = (select oid from pg_database where datname = current_database())
                 and pid is distinct from pg_backend_pid()"#,
        )
        .fetch_all(&mut self.0);
        in_time(statement).await
    }

    /// Whether one of these transactions has not ended. One that was prepared goes by another name, so any such counts.
    async fn is_any_writing(&mut self, writers: &[String]) -> Result<bool, LeaderError> {
        let statement = sqlx::query_scalar!(
            r#"select exists (
                   select from pg_locks
                   where relation = 'eventing.outbox'::regclass and mode = 'RowExclusiveLock'
                     and database = (select oid from pg_database where datname = current_database())
                     and (pid is null or virtualtransaction = any ($1))
               ) as "writing!""#,
            writers,
        )
        .fetch_one(&mut self.0);
        in_time(statement).await
    }

    /// The lowest number that is left, where a floor is known already.
    async fn lowest(&mut self, floor: Floor) -> Result<Option<i64>, LeaderError> {
        let statement = sqlx::query_scalar!(
            "select min(seq) from eventing.outbox
             where seq > case (select releases from eventing.outbox_releases where only_row) when $1 then $2::bigint else 0 end",
            floor.releases,
            floor.seq,
        )
        .fetch_one(&mut self.0);
        in_time(statement).await
    }
}
