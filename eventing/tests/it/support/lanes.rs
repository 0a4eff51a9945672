//! Who relays which lane, as the database has it.

use sqlx::PgPool;
use uuid::Uuid;

use super::eventually;

/// All lanes in their order: who has them, if anybody, and how often each was taken.
pub(crate) async fn owners(pool: &PgPool) -> Vec<(Option<Uuid>, i64)> {
    sqlx::query_as(
        "select case when expires_at > clock_timestamp() then owner end, epoch
         from eventing.outbox_lanes order by lane",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// How many lanes each relay has, the fewest first.
pub(crate) async fn shares(pool: &PgPool) -> Vec<usize> {
    let owners = owners(pool).await;
    let mut relays: Vec<Uuid> = owners.iter().filter_map(|(owner, _)| *owner).collect();
    relays.sort_unstable();
    let mut shares: Vec<usize> = relays.chunk_by(|a, b| a == b).map(<[Uuid]>::len).collect();
    shares.sort_unstable();
    shares
}

/// Waits until the lanes are shared so.
pub(crate) async fn until_shared(pool: &PgPool, expected: &[usize]) {
    eventually(&format!("the lanes are shared as {expected:?}"), async || {
        shares(pool).await == expected
    })
    .await;
}

/// The only relay there is, once it has all lanes.
pub(crate) async fn until_one_has_all(pool: &PgPool) -> Uuid {
    until_shared(pool, &[8]).await;
    owners(pool).await[0].0.unwrap()
}

/// Waits until every relay sleeps.
pub(crate) async fn until_asleep(pool: &PgPool) {
    eventually("the relays sleep", async || awake(pool).await == 0).await;
}

/// How many lanes are relayed by one that does not sleep.
pub(crate) async fn awake(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from eventing.outbox_lanes where not asleep")
        .fetch_one(pool)
        .await
        .unwrap()
}
