//! What publishing leaves behind.

use std::cell::Cell;
use std::time::Duration;

use eventing::Clock;
use eventing::outbox::set_aside::{self, Decision};
use eventing::relay::RelaySettings;
use schemas::PaymentNo;
use sqlx::{Connection as _, Executor as _};

use crate::support::broker::first_occurrences;
use crate::support::{World, eventually};

/// Commits many events of many aggregates at once, faster than one by one.
async fn commit_many(world: &World, count: i32) {
    let mut tx = world.pool.begin().await.unwrap();
    world.transition(&mut tx, PaymentNo::generate()).await.unwrap();
    let copied = sqlx::query(
        "insert into eventing.outbox (lane, topic, key, sequence, payload, headers, created_at)
         select eventing.outbox_lane(topic, new.key), topic, new.key, 1, payload, headers, now()
         from (select * from eventing.outbox order by seq desc limit 1) as sample,
              (select gen_random_uuid()::text as key from generate_series(1, $1)) as new",
    )
    .bind(count)
    .execute(&mut *tx)
    .await
    .unwrap();
    assert_eq!(copied.rows_affected(), u64::from(count.unsigned_abs()));
    tx.commit().await.unwrap();
}

/// How often a partition was searched through its index, and how many blocks were touched, since the database began.
async fn searches_and_blocks(world: &World) -> (i64, i64) {
    sqlx::query_as(
        "select (select sum(idx_scan)::bigint from pg_stat_user_indexes where indexrelname ~ '^outbox_[0-7]_pkey$'),
                (select sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint
                 from pg_statio_user_tables where schemaname = 'eventing' and relname ~ '^outbox_[0-7]$')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// Blocks that an idle relay touches per search of a partition, over a second or more: asleep, it searches its eight four times a
/// second.
async fn blocks_per_poll(world: &World) -> i64 {
    let before = searches_and_blocks(world).await;
    eventually("the relay has polled", async || {
        searches_and_blocks(world).await.0 - before.0 >= 20
    })
    .await;
    let after = searches_and_blocks(world).await;
    (after.1 - before.1) / (after.0 - before.0)
}

/// Waits until polls are seen to be cheap for seconds: the statistics lag a second behind.
async fn until_polls_are_cheap(world: &World) {
    let cheap_in_a_row = Cell::new(0);
    eventually("polls are cheap", async || {
        let cheap = blocks_per_poll(world).await <= 40;
        cheap_in_a_row.set(if cheap { cheap_in_a_row.get() + 1 } else { 0 });
        cheap_in_a_row.get() == 3
    })
    .await;
}

/// Gives the relay the time to leave low numbers behind, of which it can be seen only that reading gets cheaper.
async fn until_low_numbers_are_left_behind(world: &World) {
    commit_many(world, 5_000).await;
    world.until_published().await;
    for _ in 0..3 {
        blocks_per_poll(world).await;
    }
}

async fn vacuums(world: &World) -> i64 {
    sqlx::query_scalar(
        "select min(vacuum_count) from pg_stat_user_tables where schemaname = 'eventing' and relname ~ '^outbox_[0-7]$'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

async fn table_bytes(world: &World) -> i64 {
    sqlx::query_scalar(
        "select sum(pg_total_relation_size(relid))::bigint from pg_stat_user_tables
         where schemaname = 'eventing' and relname ~ '^outbox_[0-7]$'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn neither_polls_nor_the_table_grow_with_what_was_published() {
    let world = World::new().await;
    let relay = world.start_relay();
    let mut bytes = Vec::new();
    for round in 1..=6 {
        commit_many(&world, 96_000).await;
        world.until_published().await;
        eventually("the table is vacuumed", async || vacuums(&world).await >= round).await;
        bytes.push(table_bytes(&world).await);
    }
    until_polls_are_cheap(&world).await;
    relay.stop().await;
    // Rows that come before vacuum has been there need room of their own, once.
    assert!(bytes[5] <= bytes[0] * 5 / 2, "the table grows: {bytes:?}");
}

#[tokio::test]
async fn a_long_report_in_the_same_database_does_not_make_polls_dear() {
    let world = World::new().await;
    // Given a transaction whose snapshot keeps vacuum from removing anything that is deleted from now on.
    let mut report = world.database.connect().await;
    let mut report = report
        .begin_with("begin isolation level repeatable read")
        .await
        .unwrap();
    report.execute("select from eventing.outbox").await.unwrap();

    let relay = world.start_relay();
    commit_many(&world, 20_000).await;
    world.until_published().await;
    until_polls_are_cheap(&world).await;

    // And what commits late below the numbers that were left behind is still published.
    let (late, early) = (PaymentNo::generate(), PaymentNo::generate());
    let mut slow = world.pool.begin().await.unwrap();
    world.transition(&mut slow, late).await.unwrap();
    world.commit(early).await;
    until_low_numbers_are_left_behind(&world).await;
    slow.commit().await.unwrap();
    world.until_published().await;
    relay.stop().await;
    report.rollback().await.unwrap();
    let sent = first_occurrences(&world.records(25_004).await);
    assert_eq!(
        (&sent[&early.to_string()][..], &sent[&late.to_string()][..]),
        (&[1][..], &[1][..])
    );
}

#[tokio::test]
async fn what_an_operator_brings_back_under_a_low_number_is_published() {
    let world = World::new().await;
    let settings = RelaySettings {
        unknown_topic_grace: Duration::ZERO,
        ..RelaySettings::default()
    };
    let relay = world.start_relay_with(world.kafka.clone(), settings);
    let mut tx = world.pool.begin().await.unwrap();
    let payment_no = PaymentNo::generate();
    world.transition(&mut tx, payment_no).await.unwrap();
    tx.execute("update eventing.outbox set topic = 'payments.elsewhere.v1'")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    until_low_numbers_are_left_behind(&world).await;

    let seq = set_aside::list(&world.pool).await.unwrap()[0].seq;
    sqlx::query("update eventing.outbox_blocked set topic = 'payments.payment.v1'")
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query("update eventing.outbox_set_aside set topic = 'payments.payment.v1'")
        .execute(&world.pool)
        .await
        .unwrap();
    let decision = Decision {
        operator: "alice",
        reason: None,
        at: Clock::system().now(),
    };
    set_aside::retry(&world.pool, seq, &decision).await.unwrap();
    world.until_published().await;
    relay.stop().await;
    assert_eq!(
        first_occurrences(&world.records(5_002).await)[&payment_no.to_string()],
        [1]
    );
}

#[tokio::test]
async fn what_a_crash_of_the_server_brings_back_is_published_once_more() {
    let world = World::new().await;
    let payment_no = PaymentNo::generate();
    world.commit(payment_no).await;
    world
        .pool
        .execute("create table kept as select * from eventing.outbox")
        .await
        .unwrap();
    let relay = world.start_relay();
    until_low_numbers_are_left_behind(&world).await;

    // When the deletion, which did not wait for the disk, is forgotten, and all connections are lost.
    world
        .pool
        .execute("insert into eventing.outbox select * from kept")
        .await
        .unwrap();
    world
        .pool
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name like '% relay'",
        )
        .await
        .unwrap();
    world.until_published().await;
    relay.stop().await;
    let twice = world.records(5_003).await;
    assert_eq!(first_occurrences(&twice)[&payment_no.to_string()], [1]);
}
