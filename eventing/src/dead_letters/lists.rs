//! Questions to the index.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::id::LetterId;
use super::selection::Filter;
use super::views::{FailureGroup, Page, State, Summary};
use super::{Error, cursor};

/// The most kinds of failure that are shown; those seen last.
const MAX_GROUPS: i64 = 500;

/// Failures by fingerprint, those seen last first.
pub(crate) async fn groups(pool: &PgPool, group: &str) -> Result<Vec<FailureGroup>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with kinds as materialized (
               select fingerprint, count(*) as letters, min(coalesce(first_failed_at, died_at)) as first_seen_at,
                   max(died_at) as last_seen_at
               from eventing.dead_letters
               where consumer_group = $1 and copy_of_partition is null
               group by fingerprint
               order by max(died_at) desc
               limit $2
           ), done as materialized (
               -- Counted by itself: to join letter by letter takes longer than all the rest.
               select fingerprint, count(*) filter (where state = 'taken') as taken,
                   count(*) filter (where state = 'replayed') as replayed,
                   count(*) filter (where state = 'discarded') as discarded
               from eventing.dead_letter_states
               where consumer_group = $1 and fingerprint is not null
               group by fingerprint
           )
           select k.fingerprint, k.letters as "letters!", coalesce(s.taken, 0) as "taken!",
               coalesce(s.replayed, 0) as "replayed!", coalesce(s.discarded, 0) as "discarded!",
               k.first_seen_at as "first_seen_at!", k.last_seen_at as "last_seen_at!",
               e.letter_partition, e.letter_offset, e.error_class, e.message
           from kinds k
           left join done s on s.fingerprint = k.fingerprint
           cross join lateral (
               select letter_partition, letter_offset, error_class, message from eventing.dead_letters d
               where d.consumer_group = $1 and d.fingerprint = k.fingerprint and d.copy_of_partition is null
               order by d.died_at desc
               limit 1
           ) e
           order by k.last_seen_at desc"#,
        group,
        MAX_GROUPS,
    )
    .fetch_all(pool)
    .await?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let groups = rows.into_iter().map(|row| FailureGroup {
        fingerprint: row.fingerprint,
        error_class: row.error_class,
        message: row.message,
        example: LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        },
        letters: count(row.letters),
        new: count(row.letters - row.taken - row.replayed - row.discarded),
        taken: count(row.taken),
        replayed: count(row.replayed),
        discarded: count(row.discarded),
        first_seen_at: row.first_seen_at.into(),
        last_seen_at: row.last_seen_at.into(),
    });
    Ok(groups.collect())
}

/// How many letters there are to which nothing was done. Asked all the time, also while the tables grow: a join planned while one of
/// them was empty would go on scanning it for each letter of the other.
pub(crate) async fn open(pool: &PgPool, group: &str) -> Result<u64, sqlx::Error> {
    let open = sqlx::query_scalar!(
        r#"select (
               select count(*) from eventing.dead_letters where consumer_group = $1 and copy_of_partition is null
           ) - (
               select count(*) from eventing.dead_letter_states where consumer_group = $1 and fingerprint is not null
           ) as "count!""#,
        group,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(open).unwrap_or(0))
}

/// A letter as the queries here answer it.
struct Row {
    letter_partition: i32,
    letter_offset: i64,
    state: String,
    died_at: jiff_sqlx::Timestamp,
    first_failed_at: Option<jiff_sqlx::Timestamp>,
    source_topic: Option<String>,
    source_partition: Option<i32>,
    source_offset: Option<i64>,
    key: String,
    sequence: Option<i64>,
    event_type: Option<String>,
    error_class: String,
    fingerprint: String,
    message: String,
    attempts: Option<i32>,
    state_job: Option<Uuid>,
    earlier_partition: Option<i32>,
    earlier_offset: Option<i64>,
    later_partition: Option<i32>,
    later_offset: Option<i64>,
    copy_of_partition: Option<i32>,
    copy_of_offset: Option<i64>,
}

fn letter_id(partition: Option<i32>, offset: Option<i64>) -> Option<LetterId> {
    Some(LetterId {
        partition: partition?,
        offset: offset?,
    })
}

impl From<Row> for Summary {
    fn from(row: Row) -> Self {
        let source = match (&row.source_topic, row.source_partition, row.source_offset) {
            (Some(topic), Some(partition), Some(offset)) => format!("{topic}/{partition}/{offset}"),
            _ => "-".to_owned(),
        };
        Self {
            id: LetterId {
                partition: row.letter_partition,
                offset: row.letter_offset,
            },
            state: State::parse(&row.state).unwrap_or(State::New),
            died_at: row.died_at.into(),
            first_failed_at: row.first_failed_at.map(Into::into),
            source,
            key: row.key,
            sequence: row.sequence,
            event_type: row.event_type,
            error_class: row.error_class,
            fingerprint: row.fingerprint,
            message: row.message,
            attempts: row.attempts.and_then(|attempts| u32::try_from(attempts).ok()),
            job: row.state_job,
            earlier: letter_id(row.earlier_partition, row.earlier_offset),
            later: letter_id(row.later_partition, row.later_offset),
            copy_of: letter_id(row.copy_of_partition, row.copy_of_offset),
        }
    }
}

/// Letters that match, newest first.
pub(crate) async fn letters(
    pool: &PgPool,
    group: &str,
    filter: &Filter,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<Summary>, Error> {
    let after = after.map(cursor::letter).transpose()?;
    let rows = page(pool, group, filter, None, after, i64::from(limit) + 1).await?;
    let rows: Vec<Summary> = rows.into_iter().map(Summary::from).collect();
    Ok(cursor::page(rows, limit, |letter| {
        cursor::of_letter(letter.died_at, letter.id)
    }))
}

/// One letter.
pub(crate) async fn letter(pool: &PgPool, group: &str, id: LetterId) -> Result<Option<Summary>, sqlx::Error> {
    let rows = page(pool, group, &Filter::default(), Some(id), None, 1).await?;
    Ok(rows.into_iter().next().map(Summary::from))
}

async fn page(
    pool: &PgPool,
    group: &str,
    filter: &Filter,
    id: Option<LetterId>,
    after: Option<(Timestamp, LetterId)>,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select d.letter_partition, d.letter_offset, d.died_at, d.first_failed_at, d.source_topic, d.source_partition,
               d.source_offset, d.key, d.sequence, d.event_type, d.error_class, d.fingerprint, d.message, d.attempts,
               d.earlier_partition, d.earlier_offset, d.copy_of_partition, d.copy_of_offset,
               case when d.copy_of_partition is not null then 'copy' else coalesce(s.state, 'new') end as "state!",
               s.job_id as "state_job?", l.letter_partition as "later_partition?", l.letter_offset as "later_offset?"
           from eventing.dead_letters d
           left join eventing.dead_letter_states s
               on s.consumer_group = d.consumer_group and s.letter_partition = d.letter_partition
                  and s.letter_offset = d.letter_offset
           left join lateral (
               select n.letter_partition, n.letter_offset from eventing.dead_letters n
               where n.consumer_group = d.consumer_group and n.earlier_partition = d.letter_partition
                 and n.earlier_offset = d.letter_offset and n.copy_of_partition is null
               order by n.died_at desc
               limit 1
           ) l on true
           where d.consumer_group = $1
             and ($2::integer is null or (d.letter_partition = $2 and d.letter_offset = $3))
             and ($4::text is null or d.fingerprint = $4)
             and ($5::text is null or d.error_class = $5)
             and ($6::text is null or d.key = $6)
             and ($7::text is null or d.event_type = $7)
             and ($8::timestamptz is null or d.died_at >= $8)
             and ($9::timestamptz is null or d.died_at < $9)
             and ($10::text is null
                  or case when d.copy_of_partition is not null then 'copy' else coalesce(s.state, 'new') end = $10)
             and ($11::timestamptz is null or (d.died_at, d.letter_partition, d.letter_offset) < ($11, $12, $13))
           order by d.died_at desc, d.letter_partition desc, d.letter_offset desc
           limit $14"#,
        group,
        id.map(|id| id.partition),
        id.map(|id| id.offset),
        filter.fingerprint,
        filter.error_class,
        filter.key,
        filter.event_type,
        filter.since.map(Timestamp::to_sqlx) as _,
        filter.until.map(Timestamp::to_sqlx) as _,
        filter.state.map(State::as_str),
        after.map(|(at, _)| at.to_sqlx()) as _,
        after.map(|(_, id)| id.partition),
        after.map(|(_, id)| id.offset),
        limit,
    )
    .fetch_all(pool)
    .await
}

/// The letters that a letter became, oldest first.
pub(crate) async fn later(pool: &PgPool, group: &str, id: LetterId) -> Result<Vec<LetterId>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with recursive later as (
               select letter_partition, letter_offset, died_at, 1 as life from eventing.dead_letters
               where consumer_group = $1 and earlier_partition = $2 and earlier_offset = $3
                 and copy_of_partition is null
               union all
               select d.letter_partition, d.letter_offset, d.died_at, later.life + 1
               from eventing.dead_letters d
               join later on d.earlier_partition = later.letter_partition and d.earlier_offset = later.letter_offset
               where d.consumer_group = $1 and d.copy_of_partition is null and later.life < 100
           )
           select letter_partition as "letter_partition!", letter_offset as "letter_offset!" from later
           order by died_at, letter_partition, letter_offset
           limit 100"#,
        group,
        id.partition,
        id.offset,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        })
        .collect())
}
