//! How far an ordered group has come in each aggregate. Who holds the row's lock decides about the aggregate.

mod set;

use sqlx::{PgConnection, PgPool};

pub(crate) use set::{Key, Mark, Run, create_all, last_of, lock_all, move_ahead, take_drains, write_all};

/// One aggregate, as one group sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aggregate<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) key: &'a str,
}

/// Where an event stands in its aggregate's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was applied, or given up.
    Past,
    /// It is the next one.
    Now,
    /// An earlier one is missing.
    Later,
}

impl Turn {
    pub(crate) fn of(sequence: i64, last: i64) -> Self {
        match sequence - last {
            ..=0 => Self::Past,
            1 => Self::Now,
            2.. => Self::Later,
        }
    }
}

/// The last sequence that was applied; 0 for none. It may be out of date as soon as it is read.
pub(crate) async fn last(pool: &PgPool, aggregate: &Aggregate<'_>) -> Result<i64, sqlx::Error> {
    let last = sqlx::query_scalar!(
        "select last_sequence from eventing.watermarks where consumer_group = $1 and topic = $2 and key = $3",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
    )
    .fetch_optional(pool)
    .await?;
    Ok(last.unwrap_or(0))
}

/// Locks the aggregate until the transaction ends, and answers the last sequence that was applied.
pub(crate) async fn lock(tx: &mut PgConnection, aggregate: &Aggregate<'_>) -> Result<i64, sqlx::Error> {
    loop {
        let locked = sqlx::query_scalar!(
            "select last_sequence from eventing.watermarks
             where consumer_group = $1 and topic = $2 and key = $3 for update",
            aggregate.group,
            aggregate.topic,
            aggregate.key,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(last) = locked {
            return Ok(last);
        }
        let created = sqlx::query!(
            "insert into eventing.watermarks (consumer_group, topic, key, last_sequence) values ($1, $2, $3, 0)
             on conflict on constraint watermarks_pkey do nothing",
            aggregate.group,
            aggregate.topic,
            aggregate.key,
        )
        .execute(&mut *tx)
        .await?;
        if created.rows_affected() == 1 {
            return Ok(0);
        }
        // Someone else created it just now, and it can be locked.
    }
}

/// Moves a locked aggregate on to `sequence`, and answers whether a parked event's turn has come with that.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update eventing.watermarks w
           set last_sequence = $4,
               drain_due_at = case when exists (
                   select from eventing.parked p
                   where p.consumer_group = $1 and p.topic = $2 and p.key = $3 and p.sequence <= $4::bigint + 1
               ) then clock_timestamp() + interval '5 seconds' end
           where w.consumer_group = $1 and w.topic = $2 and w.key = $3 and w.last_sequence = $4::bigint - 1
           returning drain_due_at is not null as "drain!""#,
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .fetch_one(tx)
    .await
}

/// Says anew whether a parked event's turn has come, after parked events of a locked aggregate were changed. The drain is due
/// at once: whoever changed them need not be able to drain.
pub(crate) async fn refresh(tx: &mut PgConnection, aggregate: &Aggregate<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.watermarks w
         set drain_due_at = case when exists (
                 select from eventing.parked p
                 where p.consumer_group = $1 and p.topic = $2 and p.key = $3 and p.sequence <= w.last_sequence + 1
             ) then clock_timestamp() end
         where w.consumer_group = $1 and w.topic = $2 and w.key = $3",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that the events of a locked aggregate behind `before` up to `last`, where it stands now, were given up.
pub(crate) async fn passed_over(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    before: i64,
    last: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.watermarks
         set passed_over_from = case when passed_over_to = $4 then passed_over_from else $4::bigint + 1 end,
             passed_over_to = $5
         where consumer_group = $1 and topic = $2 and key = $3",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        before,
        last,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves a locked aggregate back before `sequence`, if that and everything behind it was given up rather than applied; answers
/// whether it was.
pub(crate) async fn go_back(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "update eventing.watermarks
         set last_sequence = $4::bigint - 1,
             passed_over_from = case when passed_over_from < $4 then passed_over_from end,
             passed_over_to = case when passed_over_from < $4 then $4::bigint - 1 end
         where consumer_group = $1 and topic = $2 and key = $3
             and passed_over_to = last_sequence and $4 between passed_over_from and passed_over_to",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Moves a locked aggregate on to `sequence` though events up to there are missing. The drain behind them is due at once.
pub(crate) async fn skip_to(
    tx: &mut PgConnection,
    aggregate: &Aggregate<'_>,
    sequence: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.watermarks set last_sequence = $4
         where consumer_group = $1 and topic = $2 and key = $3 and last_sequence < $4",
        aggregate.group,
        aggregate.topic,
        aggregate.key,
        sequence,
    )
    .execute(&mut *tx)
    .await?;
    refresh(tx, aggregate).await
}

/// Aggregates whose drain is due: topics and keys. They are the caller's for some seconds.
pub(crate) async fn take_due(
    pool: &PgPool,
    group: &str,
    limit: i64,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let due = sqlx::query!(
        "with due as (
             select topic, key from eventing.watermarks
             where consumer_group = $1 and drain_due_at <= clock_timestamp()
             order by drain_due_at
             limit $2
             for update skip locked
         )
         update eventing.watermarks w
         set drain_due_at = clock_timestamp() + interval '5 seconds'
         from due
         where w.consumer_group = $1 and w.topic = due.topic and w.key = due.key
         returning w.topic, w.key",
        group,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(due.into_iter().map(|row| (row.topic, row.key)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_sequence_has_its_turn() {
        assert_eq!(
            [3, 4, 5, 9].map(|sequence| Turn::of(sequence, 4)),
            [Turn::Past, Turn::Past, Turn::Now, Turn::Later]
        );
        assert_eq!(Turn::of(1, 0), Turn::Now);
    }
}
