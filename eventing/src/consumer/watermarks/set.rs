//! The same for the aggregates of a batch, in a handful of statements however many they are.
//!
//! Each statement looks its rows up one by one (`lateral … offset 0`, `on conflict`): a join planned while the table was small
//! would go on scanning it when it has grown.

use sqlx::{PgConnection, PgPool};

/// A topic and a key.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// Events of an aggregate that follow on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) key: Key<'a>,
    /// How many they are.
    pub(crate) events: i64,
    /// The sequence of the last one.
    pub(crate) to: i64,
}

/// Where an aggregate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) last: i64,
}

/// The last sequence of each, 0 for none. They may be out of date as soon as they are read.
pub(crate) async fn last_of(pool: &PgPool, group: &str, keys: &[Key<'_>]) -> Result<Vec<i64>, sqlx::Error> {
    let (topics, names) = columns(keys.iter().copied());
    let rows = sqlx::query!(
        r#"select k.place as "place!", w.last_sequence as "last_sequence!"
           from unnest($2::text[], $3::text[]) with ordinality as k (topic, key, place)
           cross join lateral (
               select last_sequence from eventing.watermarks
               where consumer_group = $1 and topic = k.topic and key = k.key
               offset 0
           ) w"#,
        group,
        &topics as _,
        &names as _,
    )
    .fetch_all(pool)
    .await?;
    let mut last = vec![0; keys.len()];
    for row in rows {
        put(&mut last, row.place, row.last_sequence);
    }
    Ok(last)
}

/// Locks those that have a row until the transaction ends, in the order given, which must be the same for everyone; answers their
/// last sequences, and none for those without a row.
pub(crate) async fn lock_all(
    tx: &mut PgConnection,
    group: &str,
    keys: &[Key<'_>],
) -> Result<Vec<Option<i64>>, sqlx::Error> {
    let (topics, names) = columns(keys.iter().copied());
    let rows = sqlx::query!(
        r#"select k.place as "place!", w.last_sequence as "last_sequence!"
           from unnest($2::text[], $3::text[]) with ordinality as k (topic, key, place)
           cross join lateral (
               select last_sequence from eventing.watermarks
               where consumer_group = $1 and topic = k.topic and key = k.key
               for update
           ) w"#,
        group,
        &topics as _,
        &names as _,
    )
    .fetch_all(tx)
    .await?;
    let mut last = vec![None; keys.len()];
    for row in rows {
        put(&mut last, row.place, Some(row.last_sequence));
    }
    Ok(last)
}

/// Moves each on by the number of its events, in the order given, which must be the same for everyone, and locks it with that.
/// Answers whether all of them have come where their events lead: then each was just before its first one. If not, the
/// transaction has to be rolled back.
///
/// A parked event's turn may have come with that, which [`take_drains`] has to find out in a later statement: what was
/// parked while this one waited for a lock, it does not see.
pub(crate) async fn move_ahead(
    tx: &mut PgConnection,
    group: &str,
    runs: &[Run<'_>],
) -> Result<bool, sqlx::Error> {
    let (topics, names) = columns(runs.iter().map(|run| run.key));
    let events: Vec<i64> = runs.iter().map(|run| run.events).collect();
    // One row with all of them, in the order in which they are written: a row for each would cost as much as writing it.
    let arrived = sqlx::query_scalar!(
        r#"with moved as (
             insert into eventing.watermarks as w (consumer_group, topic, key, last_sequence)
             select $1, k.topic, k.key, k.events
             from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, events, place)
             order by k.place
             on conflict on constraint watermarks_pkey do update
             set last_sequence = w.last_sequence + excluded.last_sequence, drain_due_at = null
             returning w.last_sequence
         )
         select coalesce(array_agg(last_sequence), '{}') as "last!" from moved"#,
        group,
        &topics as _,
        &names as _,
        &events,
    )
    .fetch_one(tx)
    .await?;
    Ok(arrived.into_iter().eq(runs.iter().map(|run| run.to)))
}

/// Creates the rows of those that had none for [`lock_all`]. `false` when someone else has created one meanwhile: without a row
/// there was nothing to lock, so whoever creates it first decides, and the other begins anew.
pub(crate) async fn create_all(
    tx: &mut PgConnection,
    group: &str,
    marks: &[Mark<'_>],
) -> Result<bool, sqlx::Error> {
    if marks.is_empty() {
        return Ok(true);
    }
    let (topics, names, last) = mark_columns(marks);
    let created = sqlx::query!(
        "insert into eventing.watermarks (consumer_group, topic, key, last_sequence)
         select $1, k.topic, k.key, k.last
         from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, last, place)
         order by k.place
         on conflict on constraint watermarks_pkey do nothing",
        group,
        &topics as _,
        &names as _,
        &last,
    )
    .execute(tx)
    .await?;
    Ok(created.rows_affected() == marks.len() as u64)
}

/// Writes where locked aggregates are, each of which has a row that says something else.
pub(crate) async fn write_all(
    tx: &mut PgConnection,
    group: &str,
    marks: &[Mark<'_>],
) -> Result<(), sqlx::Error> {
    if marks.is_empty() {
        return Ok(());
    }
    let (topics, names, last) = mark_columns(marks);
    let written = sqlx::query!(
        "insert into eventing.watermarks as w (consumer_group, topic, key, last_sequence)
         select $1, k.topic, k.key, k.last
         from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, last, place)
         order by k.place
         on conflict on constraint watermarks_pkey do update
         set last_sequence = excluded.last_sequence, drain_due_at = null
         where w.last_sequence <> excluded.last_sequence",
        group,
        &topics as _,
        &names as _,
        &last,
    )
    .execute(tx)
    .await?;
    let (written, wanted) = (written.rows_affected(), marks.len() as u64);
    if written != wanted {
        let reason = format!("{written} of {wanted} locked watermarks are where they were");
        return Err(sqlx::Error::Protocol(reason));
    }
    Ok(())
}

/// Those of locked aggregates that have moved of which a parked event's turn has come with that. Their drains are the caller's
/// for some seconds.
pub(crate) async fn take_drains(
    tx: &mut PgConnection,
    group: &str,
    marks: &[Mark<'_>],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    // Mostly there are none, and then there is nothing to look up for each.
    let parks = sqlx::query_scalar!(
        r#"select exists (select from eventing.parked where consumer_group = $1) as "parks!""#,
        group,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !parks {
        return Ok(Vec::new());
    }
    let (topics, names, last) = mark_columns(marks);
    let due = sqlx::query!(
        "insert into eventing.watermarks as w (consumer_group, topic, key, last_sequence)
         select $1, k.topic, k.key, k.last
         from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, last, place)
         cross join lateral (
             select from eventing.parked
             where consumer_group = $1 and topic = k.topic and key = k.key and sequence <= k.last + 1
             limit 1
         ) p
         order by k.place
         on conflict on constraint watermarks_pkey do update
         set drain_due_at = clock_timestamp() + interval '5 seconds'
         returning w.topic, w.key",
        group,
        &topics as _,
        &names as _,
        &last,
    )
    .fetch_all(tx)
    .await?;
    Ok(due.into_iter().map(|row| (row.topic, row.key)).collect())
}

fn columns<'a>(keys: impl Iterator<Item = Key<'a>>) -> (Vec<&'a str>, Vec<&'a str>) {
    keys.unzip()
}

fn mark_columns<'a>(marks: &[Mark<'a>]) -> (Vec<&'a str>, Vec<&'a str>, Vec<i64>) {
    let rows = marks.iter().map(|mark| (mark.key.0, mark.key.1, mark.last));
    rows.collect()
}

/// Places count from 1.
fn put<T>(into: &mut [T], place: i64, value: T) {
    let index = usize::try_from(place - 1).ok();
    if let Some(slot) = index.and_then(|index| into.get_mut(index)) {
        *slot = value;
    }
}
