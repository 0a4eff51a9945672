//! What was done to letters: who, why, and when. Written before it is done.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::id::LetterId;

/// What is done to letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Replay,
    Discard,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// What an operator wants done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) group: &'a str,
    pub(crate) action: Action,
    pub(crate) selection: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) reason: &'a str,
}

/// What was done to a letter last.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) job: Uuid,
    pub(crate) state: &'static str,
    pub(crate) operator: String,
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
}

/// Writes down a job with its letters, and answers its id.
pub(crate) async fn create(
    pool: &PgPool,
    order: Order<'_>,
    letters: &[LetterId],
    now: Timestamp,
) -> Result<Uuid, sqlx::Error> {
    let job = Uuid::now_v7();
    let mut tx = pool.begin().await?;
    sqlx::query!(
        "insert into eventing.dead_letter_jobs (id, consumer_group, action, selection, operator, reason, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        job,
        order.group,
        order.action.name(),
        order.selection,
        order.operator,
        order.reason,
        now.to_sqlx() as _,
    )
    .execute(&mut *tx)
    .await?;
    let partitions: Vec<i32> = letters.iter().map(|letter| letter.partition).collect();
    let offsets: Vec<i64> = letters.iter().map(|letter| letter.offset).collect();
    sqlx::query!(
        "insert into eventing.dead_letter_job_letters (job_id, letter_partition, letter_offset)
         select $1, * from unnest($2::integer[], $3::bigint[])",
        job,
        &partitions,
        &offsets,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(job)
}

/// The letters that are left of a job that was asked for in the same words and did not come to its end.
pub(crate) async fn unfinished(
    pool: &PgPool,
    order: Order<'_>,
) -> Result<Option<(Uuid, Vec<LetterId>)>, sqlx::Error> {
    let job = sqlx::query_scalar!(
        "select id from eventing.dead_letter_jobs
         where consumer_group = $1 and action = $2 and selection = $3 and finished_at is null
         order by created_at
         limit 1",
        order.group,
        order.action.name(),
        order.selection,
    )
    .fetch_optional(pool)
    .await?;
    let Some(job) = job else { return Ok(None) };
    let rows = sqlx::query!(
        "select letter_partition, letter_offset from eventing.dead_letter_job_letters
         where job_id = $1 and done_at is null",
        job,
    )
    .fetch_all(pool)
    .await?;
    let left = rows.into_iter().map(|row| LetterId {
        partition: row.letter_partition,
        offset: row.letter_offset,
    });
    Ok(Some((job, left.collect())))
}

/// A letter of a job was sent, or given up.
pub(crate) async fn done(
    connection: &mut PgConnection,
    job: Uuid,
    letter: LetterId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.dead_letter_job_letters set done_at = $4
         where job_id = $1 and letter_partition = $2 and letter_offset = $3",
        job,
        letter.partition,
        letter.offset,
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// All letters of a job are done.
pub(crate) async fn finish(pool: &PgPool, job: Uuid, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.dead_letter_jobs set finished_at = $2 where id = $1",
        job,
        now.to_sqlx() as _
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What was done last to each of a group's letters to which anything was.
pub(crate) async fn last_done(pool: &PgPool, group: &str) -> Result<HashMap<LetterId, Done>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select distinct on (l.letter_partition, l.letter_offset)
               l.letter_partition, l.letter_offset, l.done_at as "done_at!", j.id, j.action, j.operator, j.reason
           from eventing.dead_letter_job_letters l
           join eventing.dead_letter_jobs j on j.id = l.job_id
           where j.consumer_group = $1 and l.done_at is not null
           order by l.letter_partition, l.letter_offset, l.done_at desc"#,
        group,
    )
    .fetch_all(pool)
    .await?;
    let done = rows.into_iter().map(|row| {
        let id = LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        };
        let state = if row.action == Action::Discard.name() {
            DISCARDED
        } else {
            REPLAYED
        };
        let done = Done {
            job: row.id,
            state,
            operator: row.operator,
            reason: row.reason,
            at: row.done_at.into(),
        };
        (id, done)
    });
    Ok(done.collect())
}

/// Nothing was done to a letter yet.
pub(crate) const NEW: &str = "new";
/// A letter was sent again.
pub(crate) const REPLAYED: &str = "replayed";
/// A letter was given up.
pub(crate) const DISCARDED: &str = "discarded";
