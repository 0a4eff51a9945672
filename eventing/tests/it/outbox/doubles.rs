//! Relays and writers that get it wrong, each in a way that was once tried. A test shows that they fail where ours does not,
//! and thereby that it would notice if ours did.

use eventing::relay::leases::Lease;
use rdkafka::ClientConfig;
use sqlx::{PgConnection, PgPool, PgTransaction};
use uuid::Uuid;

/// An event as a double would publish it: the aggregate and its sequence.
pub(super) type Sent = (String, i64);

/// Sends only rows of transactions that no running one can precede, in the order of their transactions.
pub(super) async fn gated_by_xmin(pool: &PgPool) -> Vec<Sent> {
    sqlx::query_as(
        "select key, sequence from eventing.outbox
         where xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
         order by xmin::text::bigint, seq",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Remembers the highest number that it has seen and goes on behind it.
#[derive(Default)]
pub(super) struct BareCursor(i64);

impl BareCursor {
    pub(super) async fn poll(&mut self, pool: &PgPool) -> Vec<Sent> {
        let rows: Vec<(i64, String, i64)> =
            sqlx::query_as("select seq, key, sequence from eventing.outbox where seq > $1 order by seq")
                .bind(self.0)
                .fetch_all(pool)
                .await
                .unwrap();
        self.0 = rows.last().map_or(self.0, |row| row.0);
        rows.into_iter()
            .map(|(_, key, sequence)| (key, sequence))
            .collect()
    }
}

/// Takes the first row that nobody else has taken. It is sent by whoever commits.
pub(super) async fn take_skipping_locked(tx: &mut PgTransaction<'_>) -> Sent {
    sqlx::query_as(
        "delete from eventing.outbox
         where seq = (select seq from eventing.outbox order by seq limit 1 for update skip locked)
         returning key, sequence",
    )
    .fetch_one(&mut **tx)
    .await
    .unwrap()
}

/// Makes every insert into the outbox notify whoever listens.
pub(super) async fn notify_at_every_insert(connection: &mut PgConnection) {
    for statement in [
        "create function notify_relay() returns trigger language plpgsql
         as $$ begin notify eventing_outbox; return null; end $$",
        "create trigger notify_relay after insert on eventing.outbox execute function notify_relay()",
    ] {
        sqlx::query(statement).execute(&mut *connection).await.unwrap();
    }
}

/// Marks rows because they were sent, whoever has their lane.
pub(super) async fn mark_without_asking(pool: &PgPool, published: &[i64]) -> u64 {
    sqlx::query("delete from eventing.outbox where seq = any ($1)")
        .bind(published)
        .execute(pool)
        .await
        .unwrap()
        .rows_affected()
}

/// Marks rows of a lane that the relay has, though perhaps by another lease than when it sent them.
pub(super) async fn mark_by_owner(pool: &PgPool, relay: Uuid, lease: Lease, published: &[i64]) -> u64 {
    sqlx::query(
        "delete from eventing.outbox
         where lane = $1 and seq = any ($3)
           and exists (select from eventing.outbox_lanes as lanes where lanes.lane = $1 and owner = $2)",
    )
    .bind(lease.lane.number())
    .bind(relay)
    .bind(published)
    .execute(pool)
    .await
    .unwrap()
    .rows_affected()
}

/// Takes the lanes whose leases have run out by the taker's own clock, which is so far ahead of the database's.
pub(super) async fn take_by_own_clock(
    pool: &PgPool,
    relay: Uuid,
    count: usize,
    ahead_minutes: i32,
) -> Vec<(i16, i64)> {
    sqlx::query_as(
        "update eventing.outbox_lanes as lanes
         set owner = $1, epoch = epoch + 1, expires_at = clock_timestamp() + interval '1 hour'
         from (
             select lane from eventing.outbox_lanes
             where owner is null or expires_at <= clock_timestamp() + make_interval(mins => $3)
             order by lane limit $2 for update skip locked
         ) as free
         where lanes.lane = free.lane
         returning lanes.lane, lanes.epoch",
    )
    .bind(relay)
    .bind(i64::try_from(count).unwrap())
    .bind(ahead_minutes)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A producer that gives up on a record after a while, and goes on with the next.
pub(super) fn giving_up(mut config: ClientConfig) -> ClientConfig {
    config.set("message.timeout.ms", "3000");
    config
}
