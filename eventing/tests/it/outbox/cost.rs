//! What publishing leaves behind.

use schemas::PaymentNo;

use crate::support::{World, eventually};

/// Commits many events of many aggregates at once, faster than one by one.
async fn commit_many(world: &World, count: i32) {
    world.commit(PaymentNo::generate()).await;
    sqlx::query(
        "insert into eventing.outbox (topic, key, sequence, payload, headers, created_at)
         select topic, gen_random_uuid()::text, 1, payload, headers, now()
         from (select * from eventing.outbox order by seq desc limit 1) as sample, generate_series(1, $1)",
    )
    .bind(count)
    .execute(&world.pool)
    .await
    .unwrap();
}

/// How often the table was searched through its index, and how many blocks were touched, since the database began.
async fn searches_and_blocks(world: &World) -> (i64, i64) {
    sqlx::query_as(
        "select (select idx_scan from pg_stat_user_indexes where indexrelname = 'outbox_pkey'),
                (select heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
                 from pg_statio_user_tables where schemaname = 'eventing' and relname = 'outbox')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// Blocks that an idle relay touches per poll.
async fn blocks_per_poll(world: &World) -> i64 {
    let before = searches_and_blocks(world).await;
    eventually("the relay has polled", async || {
        searches_and_blocks(world).await.0 - before.0 >= 20
    })
    .await;
    let after = searches_and_blocks(world).await;
    (after.1 - before.1) / (after.0 - before.0)
}

async fn table_bytes(world: &World) -> i64 {
    sqlx::query_scalar("select pg_total_relation_size('eventing.outbox')")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn neither_polls_nor_the_table_grow_with_what_was_published() {
    let world = World::new().await;
    let relay = world.start_relay();
    let mut bytes = Vec::new();
    for _ in 0..6 {
        commit_many(&world, 30_000).await;
        world.until_published().await;
        // 30,000 entries of deleted rows are 80 blocks of index, and each round would add as many.
        eventually("a poll is cheap", async || blocks_per_poll(&world).await <= 40).await;
        bytes.push(table_bytes(&world).await);
    }
    relay.stop().await;
    // Rows that come before vacuum has been there need room of their own, once.
    assert!(bytes[5] <= bytes[0] * 5 / 2, "the table grows: {bytes:?}");
}
