//! The same for the aggregates of a batch, in a handful of statements however many they are.
//!
//! Each statement looks its rows up one by one (`lateral … offset 0`, `on conflict`): a join planned while the table was small
//! would go on scanning it when it has grown.

use sqlx::{PgConnection, PgPool};

/// A topic and a key.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// How an aggregate moves in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move<'a> {
    pub(crate) key: Key<'a>,
    /// Its last sequence before; none when it has no row yet.
    pub(crate) from: Option<i64>,
    pub(crate) to: i64,
}

/// The last sequence of each, 0 for none. They may be out of date as soon as they are read.
pub(crate) async fn last_of(pool: &PgPool, group: &str, keys: &[Key<'_>]) -> Result<Vec<i64>, sqlx::Error> {
    let (topics, names) = columns(keys);
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
    let (topics, names) = columns(keys);
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

/// Moves aggregates that were locked with [`lock_all`] on. Answers those of which a parked event's turn has come with that; or
/// none at all, when someone else has created the row of one that had none: then nothing may be committed.
pub(crate) async fn advance_all(
    tx: &mut PgConnection,
    group: &str,
    moves: &[Move<'_>],
) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
    let (old, new): (Vec<Move<'_>>, Vec<Move<'_>>) = moves.iter().partition(|moved| moved.from.is_some());
    let mut drains = Vec::new();
    if !new.is_empty() {
        let Some(due) = create(tx, group, &new).await? else {
            return Ok(None);
        };
        drains.extend(due);
    }
    if !old.is_empty() {
        drains.extend(move_on(tx, group, &old).await?);
    }
    Ok(Some(drains))
}

/// Without a row there was nothing to lock, so whoever creates it first decides, and the other begins anew: its statement would
/// not see what the first has parked.
async fn create(
    tx: &mut PgConnection,
    group: &str,
    moves: &[Move<'_>],
) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
    let (topics, names) = columns(&moves.iter().map(|moved| moved.key).collect::<Vec<_>>());
    let to: Vec<i64> = moves.iter().map(|moved| moved.to).collect();
    let rows = sqlx::query!(
        r#"insert into eventing.watermarks (consumer_group, topic, key, last_sequence, drain_due_at)
           select $1, k.topic, k.key, k.moved_to, case when exists (
               select from eventing.parked p
               where p.consumer_group = $1 and p.topic = k.topic and p.key = k.key and p.sequence <= k.moved_to + 1
           ) then clock_timestamp() + interval '5 seconds' end
           from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, moved_to, place)
           order by k.place
           on conflict on constraint watermarks_pkey do nothing
           returning topic, key, drain_due_at is not null as "drain!""#,
        group,
        &topics as _,
        &names as _,
        &to,
    )
    .fetch_all(tx)
    .await?;
    if rows.len() < moves.len() {
        return Ok(None);
    }
    Ok(Some(
        rows.into_iter()
            .filter(|row| row.drain)
            .map(|row| (row.topic, row.key))
            .collect(),
    ))
}

/// They are locked, so each of them must be found where it was.
async fn move_on(
    tx: &mut PgConnection,
    group: &str,
    moves: &[Move<'_>],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let (topics, names) = columns(&moves.iter().map(|moved| moved.key).collect::<Vec<_>>());
    let to: Vec<i64> = moves.iter().map(|moved| moved.to).collect();
    let rows = sqlx::query!(
        r#"insert into eventing.watermarks as w (consumer_group, topic, key, last_sequence)
           select $1, k.topic, k.key, k.moved_to
           from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as k (topic, key, moved_to, place)
           order by k.place
           on conflict on constraint watermarks_pkey do update
           set last_sequence = excluded.last_sequence,
               drain_due_at = case when exists (
                   select from eventing.parked p
                   where p.consumer_group = w.consumer_group and p.topic = w.topic and p.key = w.key
                     and p.sequence <= excluded.last_sequence + 1
               ) then clock_timestamp() + interval '5 seconds' end
           where w.last_sequence < excluded.last_sequence
           returning w.topic, w.key, w.drain_due_at is not null as "drain!""#,
        group,
        &topics as _,
        &names as _,
        &to,
    )
    .fetch_all(tx)
    .await?;
    if rows.len() != moves.len() {
        let reason = format!(
            "{} of {} locked watermarks have moved",
            moves.len() - rows.len(),
            moves.len()
        );
        return Err(sqlx::Error::Protocol(reason));
    }
    Ok(rows
        .into_iter()
        .filter(|row| row.drain)
        .map(|row| (row.topic, row.key))
        .collect())
}

fn columns<'a>(keys: &[Key<'a>]) -> (Vec<&'a str>, Vec<&'a str>) {
    keys.iter().copied().unzip()
}

/// Places count from 1.
fn put<T>(into: &mut [T], place: i64, value: T) {
    let index = usize::try_from(place - 1).ok();
    if let Some(slot) = index.and_then(|index| into.get_mut(index)) {
        *slot = value;
    }
}
