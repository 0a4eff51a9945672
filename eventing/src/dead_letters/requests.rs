//! Records that become dead letters after they were applied.

use jiff::SignedDuration;
use sqlx::{PgConnection, PgPool};

use super::Source;

/// Asks for a letter, from inside the caller's transaction.
pub(super) async fn append(
    tx: &mut PgConnection,
    group: &str,
    source: &Source,
    class: &str,
    message: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into eventing.dead_letter_requests
             (consumer_group, topic, record_partition, record_offset, class, message, requested_at)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp())",
        group,
        source.topic,
        source.partition,
        source.offset,
        class,
        message,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A letter that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: i64,
    pub(crate) source: Source,
    pub(crate) class: String,
    pub(crate) message: String,
}

/// How long a member has for the requests that it took; then another one may take them.
const LEASE: SignedDuration = SignedDuration::from_mins(1);

/// Takes some requests of a group.
pub(crate) async fn take_requests(pool: &PgPool, group: &str) -> Result<Vec<Request>, sqlx::Error> {
    let rows = sqlx::query!(
        "update eventing.dead_letter_requests
         set leased_until = clock_timestamp() + make_interval(secs => $2)
         where id in (
             select id from eventing.dead_letter_requests
             where consumer_group = $1 and (leased_until is null or leased_until < clock_timestamp())
             order by id
             limit 20
             for update skip locked
         )
         returning id, topic, record_partition, record_offset, class, message",
        group,
        LEASE.as_secs_f64(),
    )
    .fetch_all(pool)
    .await?;
    let requests = rows.into_iter().map(|row| Request {
        id: row.id,
        source: Source {
            topic: row.topic,
            partition: row.record_partition,
            offset: row.record_offset,
        },
        class: row.class,
        message: row.message,
    });
    Ok(requests.collect())
}

/// A requested letter is written.
pub(crate) async fn remove_request(pool: &PgPool, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from eventing.dead_letter_requests where id = $1", id)
        .execute(pool)
        .await?;
    Ok(())
}
