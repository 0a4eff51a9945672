//! Which replicas serve a group now.

use sqlx::{PgConnection, PgPool};

use super::views::Replica;

/// A replica that was not seen for so long is gone.
const GONE_AFTER_SECS: f64 = 10.0;

/// Says that a replica is there.
pub(crate) async fn seen(
    pool: &PgPool,
    group: &str,
    owner: &str,
    handler_version: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into eventing.dead_letter_replicas (consumer_group, owner, handler_version, seen_at)
         values ($1, $2, $3, clock_timestamp())
         on conflict on constraint dead_letter_replicas_pkey do update set seen_at = excluded.seen_at",
        group,
        owner,
        handler_version,
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "delete from eventing.dead_letter_replicas
         where consumer_group = $1 and seen_at < clock_timestamp() - interval '1 hour'",
        group,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A replica leaves.
pub(crate) async fn left(pool: &PgPool, group: &str, owner: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from eventing.dead_letter_replicas where consumer_group = $1 and owner = $2",
        group,
        owner,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The replicas that are there.
pub(crate) async fn list(connection: &mut PgConnection, group: &str) -> Result<Vec<Replica>, sqlx::Error> {
    let rows = sqlx::query!(
        "select owner, handler_version, seen_at from eventing.dead_letter_replicas
         where consumer_group = $1 and seen_at > clock_timestamp() - make_interval(secs => $2)
         order by owner",
        group,
        GONE_AFTER_SECS,
    )
    .fetch_all(connection)
    .await?;
    let replicas = rows.into_iter().map(|row| Replica {
        owner: row.owner,
        handler_version: row.handler_version,
        seen_at: row.seen_at.into(),
    });
    Ok(replicas.collect())
}
