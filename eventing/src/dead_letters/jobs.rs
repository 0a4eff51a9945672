//! Jobs as operators see them: they are made from a plan, looked at, paused, resumed and cancelled.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool, PgTransaction};
use uuid::Uuid;

use super::id::LetterId;
use super::matching::Matching;
use super::selection::Selection;
use super::views::{Action, Done, Job, JobState, Page, Plan};
use super::{Decision, Error, audit, cursor};
use crate::consumer::{ConsumerGroup, Resources};

/// Letters that are written in one statement, so that it stays far below the database's deadline.
const CHUNK: usize = 10_000;

/// What a job is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) by: &'a Decision,
}

/// Writes down a job, as yet without letters.
pub(crate) async fn create(tx: &mut PgConnection, new: &New<'_>) -> Result<Uuid, sqlx::Error> {
    let job = Uuid::now_v7();
    let New { plan, by } = new;
    sqlx::query!(
        "insert into eventing.dead_letter_jobs (id, consumer_group, action, selection, operator, reason, created_at,
             rate, canary, canary_over, handler_version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        job,
        plan.group,
        plan.action.as_str(),
        plan.selection,
        by.operator(),
        by.reason(),
        plan.made_at.to_sqlx() as _,
        plan.rate.and_then(|rate| i32::try_from(rate).ok()),
        i32::try_from(plan.canary).unwrap_or(i32::MAX),
        plan.canary == 0,
        plan.handler_version,
    )
    .execute(tx)
    .await?;
    Ok(job)
}

/// Takes letters for a job, except those that another job took in this moment; answers how many.
pub(crate) async fn take_letters(
    tx: &mut PgConnection,
    new: &New<'_>,
    job: Uuid,
    matching: &Matching,
    selection: &Selection,
) -> Result<u64, sqlx::Error> {
    let mut taken = 0;
    for chunk in matching.letters.chunks(CHUNK) {
        let partitions: Vec<i32> = chunk.iter().map(|letter| letter.id.partition).collect();
        let offsets: Vec<i64> = chunk.iter().map(|letter| letter.id.offset).collect();
        let canary: Vec<bool> = chunk.iter().map(|letter| letter.goes_first).collect();
        let fingerprints: Vec<&str> = chunk.iter().map(|letter| &*letter.fingerprint).collect();
        let inserted = sqlx::query!(
            "with chosen as (
                 select * from unnest($3::integer[], $4::bigint[], $5::boolean[], $8::text[])
                     as c (letter_partition, letter_offset, canary, fingerprint)
                 order by letter_partition, letter_offset
             ), taken as (
                 insert into eventing.dead_letter_states as s
                     (consumer_group, letter_partition, letter_offset, state, job_id, changed_at, fingerprint)
                 select $1, letter_partition, letter_offset, 'taken', $2, $6, fingerprint from chosen
                 on conflict on constraint dead_letter_states_pkey do update
                     set state = excluded.state, job_id = excluded.job_id, changed_at = excluded.changed_at,
                         fingerprint = excluded.fingerprint
                     where $7 and s.state = 'replayed'
                 returning s.letter_partition, s.letter_offset
             )
             insert into eventing.dead_letter_job_letters (job_id, letter_partition, letter_offset, canary)
             select $2, letter_partition, letter_offset, canary from taken
             join chosen using (letter_partition, letter_offset)",
            new.plan.group,
            job,
            &partitions,
            &offsets,
            &canary,
            new.plan.made_at.to_sqlx() as _,
            matches!(selection, Selection::Again(_)),
            &fingerprints as _,
        )
        .execute(&mut *tx)
        .await?;
        taken += inserted.rows_affected();
    }
    sqlx::query!(
        "update eventing.dead_letter_jobs set letters = $2 where id = $1",
        job,
        i64::try_from(taken).unwrap_or(i64::MAX),
    )
    .execute(tx)
    .await?;
    Ok(taken)
}

/// One job.
pub(crate) async fn get(pool: &PgPool, group: &str, id: Uuid) -> Result<Job, Error> {
    let mut jobs = select(pool, group, Some(id), None, 1).await?;
    jobs.pop()
        .ok_or_else(|| Error::NotFound(format!("group {group} has no job {id}")))
}

/// Jobs, newest first.
pub(crate) async fn list(
    pool: &PgPool,
    group: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<Job>, Error> {
    let after = after.map(cursor::number).transpose()?;
    let jobs = select(pool, group, None, after, i64::from(limit) + 1).await?;
    Ok(cursor::page(jobs, limit, |job| job.id.to_string()))
}

async fn select(
    pool: &PgPool,
    group: &str,
    id: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Job>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select j.id, j.action, j.state, j.note, j.selection, j.operator, j.reason, j.created_at, j.finished_at,
               j.letters, j.done, j.rate, j.canary, j.handler_version,
               case when j.lease_until > clock_timestamp() then j.owner end as owner,
               coalesce(c.handled, 0) as "handled!", coalesce(f.failed_again, 0) as "failed_again!",
               coalesce(k.letters, 0) as "canary_letters!", coalesce(k.outcomes, 0) as "canary_outcomes!",
               (select count(*) from eventing.dead_letter_replicas r
                where r.consumer_group = $1 and r.seen_at > clock_timestamp() - interval '10 seconds') as "serving!"
           from eventing.dead_letter_jobs j
           left join lateral (
               -- A letter whose way to its next tier was cut off by a crash can be handled in two attempts.
               select count(*) as handled from (
                   select from eventing.replay_claims
                   where consumer_group = $1 and job_id = j.id and outcome = 'handled'
                   group by letter
               ) letters
           ) c on true
           left join lateral (
               select count(*) as failed_again from eventing.dead_letters
               where consumer_group = $1 and job_id = j.id and copy_of_partition is null
           ) f on true
           left join lateral (
               select count(*) as letters, count(*) filter (where exists (
                   select from eventing.replay_claims c
                   where c.consumer_group = $1 and c.job_id = j.id and c.outcome is not null
                     and c.letter = l.letter_partition || '-' || l.letter_offset
               )) as outcomes
               from eventing.dead_letter_job_letters l
               where j.canary > 0 and l.job_id = j.id and l.canary
           ) k on true
           where j.consumer_group = $1 and ($2::uuid is null or j.id = $2) and ($3::uuid is null or j.id < $3)
           order by j.id desc
           limit $4"#,
        group,
        id,
        before,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let jobs = rows.into_iter().map(|row| {
        let action = action(&row.action);
        let (done, handled, failed_again) = (count(row.done), count(row.handled), count(row.failed_again));
        Job {
            id: row.id,
            group: group.to_owned(),
            action,
            state: JobState::parse(&row.state).unwrap_or(JobState::Stopped),
            note: row.note,
            selection: row.selection,
            operator: row.operator,
            reason: row.reason,
            created_at: row.created_at.into(),
            finished_at: row.finished_at.map(Into::into),
            letters: count(row.letters),
            done,
            handled,
            failed_again,
            in_flight: match action {
                Action::Replay => done.saturating_sub(handled + failed_again),
                Action::Discard => 0,
            },
            rate: row.rate.and_then(|rate| u32::try_from(rate).ok()),
            canary: u32::try_from(row.canary).unwrap_or(0),
            canary_letters: count(row.canary_letters),
            canary_outcomes: count(row.canary_outcomes),
            handler_version: row.handler_version,
            owner: row.owner,
            serving: count(row.serving),
        }
    });
    Ok(jobs.collect())
}

pub(crate) fn action(name: &str) -> Action {
    if name == Action::Discard.as_str() {
        Action::Discard
    } else {
        Action::Replay
    }
}

/// What an operator wants of a job that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Pause,
    Resume,
    Cancel,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// The state that a job has afterwards; none when it makes no sense.
    fn on(self, state: JobState) -> Option<JobState> {
        match (self, state) {
            (Self::Pause, JobState::Running) => Some(JobState::Paused),
            (Self::Resume, JobState::Paused | JobState::Stopped) => Some(JobState::Running),
            (Self::Cancel, JobState::Running | JobState::Paused | JobState::Stopped) => {
                Some(JobState::Cancelled)
            }
            _ => None,
        }
    }
}

/// Pauses, resumes or cancels a job.
pub(crate) async fn order(
    group: &ConsumerGroup,
    resources: &Resources,
    id: Uuid,
    order: Order,
    by: &Decision,
) -> Result<Job, Error> {
    let now = resources.clock.now();
    let mut tx = resources.pool.begin().await?;
    let row = sqlx::query!(
        "select state, selection, letters, done from eventing.dead_letter_jobs
         where id = $1 and consumer_group = $2
         for update",
        id,
        group.name,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("group {} has no job {id}", group.name)))?;
    let before = JobState::parse(&row.state).unwrap_or(JobState::Stopped);
    let after = order.on(before).ok_or_else(|| {
        let (state, order) = (before.as_str(), order.name());
        Error::Refused(format!("job {id} is {state}: there is nothing to {order}"))
    })?;
    let entry = audit::Entry {
        group: &group.name,
        action: order.name(),
        by,
        subject: &row.selection,
        letters: u64::try_from(row.letters - row.done).unwrap_or(0),
        job: Some(id),
    };
    audit::write(&mut tx, &entry, now).await?;
    if after == JobState::Cancelled {
        release(&mut tx, id).await?;
    }
    sqlx::query!(
        "update eventing.dead_letter_jobs
         set state = $2, note = null, canary_over = canary_over or $3,
             finished_at = case when $2 = 'cancelled' then $4::timestamptz end
         where id = $1",
        id,
        after.as_str(),
        before == JobState::Stopped,
        now.to_sqlx() as _,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    get(&resources.pool, &group.name, id).await
}

/// Makes the letters new again that a job did not come to. Those that it is sending may be sent, so they count as that.
async fn release(tx: &mut PgTransaction<'_>, job: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with sent as (
             update eventing.dead_letter_job_letters set state = 'sent', done_at = clock_timestamp()
             where job_id = $1 and state = 'sending'
             returning letter_partition, letter_offset
         ), replayed as (
             update eventing.dead_letter_states s set state = 'replayed', changed_at = clock_timestamp()
             from sent, eventing.dead_letter_jobs j
             where j.id = $1 and s.consumer_group = j.consumer_group and s.job_id = j.id
               and s.letter_partition = sent.letter_partition and s.letter_offset = sent.letter_offset
         )
         update eventing.dead_letter_jobs set done = done + (select count(*) from sent) where id = $1",
        job,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "with released as (
             update eventing.dead_letter_job_letters set state = 'released'
             where job_id = $1 and state = 'waiting'
             returning letter_partition, letter_offset
         )
         delete from eventing.dead_letter_states s
         using released r, eventing.dead_letter_jobs j
         where j.id = $1 and s.consumer_group = j.consumer_group and s.job_id = j.id
           and s.letter_partition = r.letter_partition and s.letter_offset = r.letter_offset",
        job,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What was done to a letter, newest first.
pub(crate) async fn done_to(pool: &PgPool, group: &str, id: LetterId) -> Result<Vec<Done>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select j.id, j.action, j.operator, j.reason, coalesce(l.done_at, j.created_at) as "at!",
               l.state, c.outcome as "outcome?"
           from eventing.dead_letter_job_letters l
           join eventing.dead_letter_jobs j on j.id = l.job_id
           left join lateral (
               select c.outcome from eventing.replay_claims c
               where c.consumer_group = $1 and c.job_id = j.id and c.outcome is not null
                 and c.letter = l.letter_partition || '-' || l.letter_offset
               order by c.attempt desc
               limit 1
           ) c on true
           where j.consumer_group = $1 and l.letter_partition = $2 and l.letter_offset = $3
           order by j.id desc"#,
        group,
        id.partition,
        id.offset,
    )
    .fetch_all(pool)
    .await?;
    let done = rows.into_iter().map(|row| Done {
        job: row.id,
        action: action(&row.action),
        outcome: row.outcome.unwrap_or(row.state),
        operator: row.operator,
        reason: row.reason,
        at: Timestamp::from(row.at),
    });
    Ok(done.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_refused_where_it_makes_no_sense() {
        assert_eq!(Order::Pause.on(JobState::Running), Some(JobState::Paused));
        assert_eq!(Order::Resume.on(JobState::Stopped), Some(JobState::Running));
        for ended in [JobState::Cancelled, JobState::Finished] {
            for order in [Order::Pause, Order::Resume, Order::Cancel] {
                assert_eq!(order.on(ended), None, "{order:?} {ended:?}");
            }
        }
        assert_eq!(Order::Resume.on(JobState::Running), None);
    }
}
