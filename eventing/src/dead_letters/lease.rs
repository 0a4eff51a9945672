//! Which replica works on which job. Its lease runs by the database's clock; the epoch fences whoever had it before.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;
use uuid::Uuid;

use super::id::LetterId;
use super::jobs;
use super::views::Action;

/// How long a job waits for a replica that died.
const LEASE: Duration = Duration::from_secs(10);

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(3);

/// A job that this replica works on.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) job: Uuid,
    pub(crate) action: Action,
    pub(crate) rate: Option<u32>,
    pub(crate) canary_over: bool,
    epoch: i64,
}

/// The lease is someone else's, or the job does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// Takes a job that nobody works on; this one, or else the oldest.
pub(crate) async fn take(
    pool: &PgPool,
    group: &str,
    owner: &str,
    job: Option<Uuid>,
) -> Result<Option<Lease>, sqlx::Error> {
    let row = sqlx::query!(
        "update eventing.dead_letter_jobs j
         set owner = $2, epoch = j.epoch + 1, lease_until = clock_timestamp() + make_interval(secs => $3)
         where j.id = (
             select id from eventing.dead_letter_jobs
             where consumer_group = $1 and state = 'running' and ($4::uuid is null or id = $4)
               and (lease_until is null or lease_until < clock_timestamp())
             order by created_at
             limit 1
             for update skip locked
         )
         returning j.id, j.action, j.rate, j.canary_over, j.epoch",
        group,
        owner,
        LEASE.as_secs_f64(),
        job,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Lease {
        job: row.id,
        action: jobs::action(&row.action),
        rate: row.rate.and_then(|rate| u32::try_from(rate).ok()),
        canary_over: row.canary_over,
        epoch: row.epoch,
    }))
}

impl Lease {
    /// Renews the lease until it is lost.
    pub(crate) async fn keep(&self, pool: &PgPool) -> Lost {
        let mut renewed_at = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.renew(pool).await {
                Ok(true) => renewed_at = Instant::now(),
                Ok(false) => return Lost,
                // While the database is away nobody else can take it either, but nor is it known to be ours.
                Err(_) if renewed_at.elapsed() > LEASE => return Lost,
                Err(_) => {}
            }
        }
    }

    async fn renew(&self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let renewed = sqlx::query!(
            "update eventing.dead_letter_jobs set lease_until = clock_timestamp() + make_interval(secs => $3)
             where id = $1 and epoch = $2",
            self.job,
            self.epoch,
            LEASE.as_secs_f64(),
        )
        .execute(pool)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Gives the job back, to be taken by anyone.
    pub(crate) async fn release(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update eventing.dead_letter_jobs set lease_until = null, owner = null where id = $1 and epoch = $2",
            self.job,
            self.epoch,
        )
        .execute(pool)
        .await?;
        Ok(())
    }

    /// The next letters of the job behind `after`, marked as being sent: after a crash nobody knows whether they were, and they are
    /// sent again.
    pub(crate) async fn next_to_send(
        &self,
        pool: &PgPool,
        after: Option<LetterId>,
        limit: usize,
    ) -> Result<Result<Vec<LetterId>, Lost>, sqlx::Error> {
        let mut tx = pool.begin().await?;
        if !self.is_held(&mut tx).await? {
            return Ok(Err(Lost));
        }
        let rows = sqlx::query!(
            "with next as (
                 select letter_partition, letter_offset from eventing.dead_letter_job_letters
                 where job_id = $1 and state in ('waiting', 'sending') and (canary or $2)
                   and (letter_partition, letter_offset) > ($4, $5)
                 order by letter_partition, letter_offset
                 limit $3
             )
             update eventing.dead_letter_job_letters l set state = 'sending'
             from next
             where l.job_id = $1 and l.letter_partition = next.letter_partition and l.letter_offset = next.letter_offset
             returning l.letter_partition, l.letter_offset",
            self.job,
            self.canary_over,
            i64::try_from(limit).unwrap_or(i64::MAX),
            after.map_or(-1, |id| id.partition),
            after.map_or(-1, |id| id.offset),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let ids = rows.into_iter().map(|row| LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        });
        let mut ids: Vec<LetterId> = ids.collect();
        ids.sort_unstable();
        Ok(Ok(ids))
    }

    /// The next letters of the job that are to be discarded.
    pub(crate) async fn next_to_discard(
        &self,
        pool: &PgPool,
        limit: usize,
    ) -> Result<Vec<LetterId>, sqlx::Error> {
        let rows = sqlx::query!(
            "select letter_partition, letter_offset from eventing.dead_letter_job_letters
             where job_id = $1 and state in ('waiting', 'sending')
             order by letter_partition, letter_offset
             limit $2",
            self.job,
            i64::try_from(limit).unwrap_or(i64::MAX),
        )
        .fetch_all(pool)
        .await?;
        let ids = rows.into_iter().map(|row| LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        });
        Ok(ids.collect())
    }

    /// Locks the job for the rest of the transaction if it runs and is ours.
    async fn is_held(&self, tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let held = sqlx::query_scalar!(
            "select id from eventing.dead_letter_jobs where id = $1 and epoch = $2 and state = 'running' for update",
            self.job,
            self.epoch,
        )
        .fetch_optional(tx)
        .await?;
        Ok(held.is_some())
    }

    /// Letters were sent or discarded. False when the job is no longer ours: then the transaction is to be rolled back.
    pub(crate) async fn done(
        &self,
        tx: &mut PgConnection,
        letters: &[LetterId],
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let (partitions, offsets): (Vec<i32>, Vec<i64>) =
            letters.iter().map(|id| (id.partition, id.offset)).unzip();
        let (job_letter, state) = match self.action {
            Action::Replay => ("sent", "replayed"),
            Action::Discard => ("discarded", "discarded"),
        };
        let updated = sqlx::query!(
            "with done as (
                 update eventing.dead_letter_job_letters l set state = $5, done_at = $7
                 from unnest($3::integer[], $4::bigint[]) as u (letter_partition, letter_offset)
                 where l.job_id = $1 and l.letter_partition = u.letter_partition and l.letter_offset = u.letter_offset
                   and l.state in ('waiting', 'sending')
                 returning l.letter_partition, l.letter_offset
             ), changed as (
                 update eventing.dead_letter_states s set state = $6, changed_at = $7
                 from done, eventing.dead_letter_jobs j
                 where j.id = $1 and s.consumer_group = j.consumer_group and s.job_id = j.id
                   and s.letter_partition = done.letter_partition and s.letter_offset = done.letter_offset
             )
             update eventing.dead_letter_jobs set done = done + (select count(*) from done)
             where id = $1 and epoch = $2 and (state = 'running' or action = 'replay')",
            self.job,
            self.epoch,
            &partitions,
            &offsets,
            job_letter,
            state,
            now.to_sqlx() as _,
        )
        .execute(tx)
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// Letters are not on the topic any more, and the job goes on without them.
    pub(crate) async fn gone(&self, pool: &PgPool, letters: &[LetterId]) -> Result<(), sqlx::Error> {
        let (partitions, offsets): (Vec<i32>, Vec<i64>) =
            letters.iter().map(|id| (id.partition, id.offset)).unzip();
        sqlx::query!(
            "with gone as (
                 update eventing.dead_letter_job_letters l set state = 'released'
                 from unnest($3::integer[], $4::bigint[]) as u (letter_partition, letter_offset)
                 where l.job_id = $1 and l.letter_partition = u.letter_partition and l.letter_offset = u.letter_offset
                   and l.state in ('waiting', 'sending')
                 returning l.letter_partition, l.letter_offset
             ), forgotten as (
                 delete from eventing.dead_letter_states s
                 using gone, eventing.dead_letter_jobs j
                 where j.id = $1 and s.consumer_group = j.consumer_group and s.job_id = j.id
                   and s.letter_partition = gone.letter_partition and s.letter_offset = gone.letter_offset
             )
             update eventing.dead_letter_jobs
             set letters = letters - (select count(*) from gone), note = 'letters are not on the topic any more'
             where id = $1 and epoch = $2",
            self.job,
            self.epoch,
            &partitions,
            &offsets,
        )
        .execute(pool)
        .await?;
        Ok(())
    }

    /// How many letters of the canary have no outcome yet, and one that failed again.
    pub(crate) async fn canary(
        &self,
        pool: &PgPool,
        group: &str,
    ) -> Result<(u64, Option<String>), sqlx::Error> {
        let row = sqlx::query!(
            r#"select count(*) filter (where c.outcome is null) as "waiting!",
                   min(c.letter) filter (where c.outcome = 'failed') as failed
               from eventing.dead_letter_job_letters l
               left join lateral (
                   select c.letter, min(c.outcome) as outcome from eventing.replay_claims c
                   where c.consumer_group = $2 and c.job_id = l.job_id
                     and c.letter = l.letter_partition || '-' || l.letter_offset
                   group by c.letter
               ) c on true
               where l.job_id = $1 and l.canary and l.state <> 'released'"#,
            self.job,
            group,
        )
        .fetch_one(pool)
        .await?;
        Ok((u64::try_from(row.waiting).unwrap_or(0), row.failed))
    }

    /// The canary is over; the others may go.
    pub(crate) async fn end_canary(&mut self, pool: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update eventing.dead_letter_jobs set canary_over = true, note = null where id = $1 and epoch = $2",
            self.job,
            self.epoch,
        )
        .execute(pool)
        .await?;
        self.canary_over = true;
        Ok(())
    }

    /// Says what the job waits for.
    pub(crate) async fn note(&self, pool: &PgPool, note: &str) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update eventing.dead_letter_jobs set note = $3
             where id = $1 and epoch = $2 and state = 'running' and note is distinct from $3",
            self.job,
            self.epoch,
            note,
        )
        .execute(pool)
        .await?;
        Ok(())
    }

    /// The job has come to its end, or stops with a reason.
    pub(crate) async fn end(
        &self,
        pool: &PgPool,
        stopped: Option<&str>,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update eventing.dead_letter_jobs
             set state = case when $3::text is null then 'finished' else 'stopped' end, note = coalesce($3, note),
                 finished_at = case when $3::text is null then $4::timestamptz end, lease_until = null, owner = null
             where id = $1 and epoch = $2 and state = 'running'",
            self.job,
            self.epoch,
            stopped,
            now.to_sqlx() as _,
        )
        .execute(pool)
        .await?;
        Ok(())
    }
}
