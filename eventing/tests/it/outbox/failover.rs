//! Several relays: they share the lanes, one takes over from another, and who was taken over can do no harm.

use std::time::{Duration, Instant};

use eventing::Condition;
use eventing::relay::RelaySettings;
use eventing::relay::leases::LEASE;
use schemas::PaymentNo;
use tokio_util::sync::CancellationToken;

use crate::support::broker::assert_in_order_without_gap;
use crate::support::lanes::{owners, until_one_has_all, until_shared};
use crate::support::proxy::{Fault, Proxy};
use crate::support::{World, eventually};

/// Ends some of the relays' connections.
async fn terminate(world: &World, which: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name like '% relay' and {which}"
    )))
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// Gives all lanes to somebody else, as if their leases had run out.
async fn take_all_lanes(world: &World) {
    sqlx::query(
        "update eventing.outbox_lanes
         set owner = gen_random_uuid(), epoch = epoch + 1, expires_at = clock_timestamp() + interval '1 hour'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
}

async fn free_all_lanes(world: &World) {
    sqlx::query("update eventing.outbox_lanes set owner = null")
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn relays_share_the_lanes_and_one_that_stops_hands_its_own_over_at_once() {
    let world = World::new().await;
    let first = world.start_relay();
    until_shared(&world.pool, &[8]).await;
    let began = Instant::now();
    let second = world.start_relay();
    until_shared(&world.pool, &[4, 4]).await;
    let third = world.start_relay();
    until_shared(&world.pool, &[2, 3, 3]).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let before = owners(&world.pool).await;

    for _ in 0..30 {
        world.commit(PaymentNo::generate()).await;
    }
    world.until_published().await;
    assert_eq!(
        owners(&world.pool).await,
        before,
        "lanes do not move without a reason"
    );

    let began = Instant::now();
    first.stop().await;
    until_shared(&world.pool, &[4, 4]).await;
    // Nobody had to wait for a lease to run out.
    assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
    second.stop().await;
    third.stop().await;
    assert!(owners(&world.pool).await.iter().all(|(owner, _)| owner.is_none()));
    assert_eq!(world.records(30).await.len(), 30, "a handover repeats nothing");
}

#[tokio::test]
async fn relays_that_come_and_go_under_load_repeat_lose_and_invert_nothing() {
    let world = World::new().await;
    let payments: Vec<PaymentNo> = std::iter::repeat_with(PaymentNo::generate).take(20).collect();
    let done = CancellationToken::new();
    let write = async {
        for step in 0..600 {
            world.commit(payments[step % payments.len()]).await;
        }
        done.cancel();
    };
    let come_and_go = async {
        let mut relays = vec![world.start_relay()];
        while !done.is_cancelled() {
            relays.push(world.start_relay());
            tokio::time::sleep(Duration::from_millis(400)).await;
            relays.remove(0).stop().await;
        }
        relays
    };
    let ((), relays) = tokio::join!(write, come_and_go);
    world.until_published().await;
    for relay in relays {
        relay.stop().await;
    }
    let records = world.records(600).await;
    assert_in_order_without_gap(&records);
    assert_eq!(records.len(), 600);
}

#[tokio::test]
async fn killed_connections_under_load_lose_and_invert_nothing() {
    let world = World::new().await;
    let relays = [world.start_relay(), world.start_relay()];
    let payments: Vec<PaymentNo> = std::iter::repeat_with(PaymentNo::generate).take(10).collect();
    let done = CancellationToken::new();

    let write = async {
        for step in 0..600 {
            world.commit(payments[step % payments.len()]).await;
        }
        done.cancel();
    };
    let kill = async {
        let mut kills = 0;
        while !done.is_cancelled() {
            kills += terminate(&world, "random() < 0.3").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        kills
    };
    let ((), kills) = tokio::join!(write, kill);
    assert!(kills > 0);
    world.until_published().await;
    for relay in relays {
        relay.stop().await;
    }

    let records = world.records(600).await;
    assert_in_order_without_gap(&records);
    let distinct: std::collections::HashSet<(&str, i64)> = records
        .iter()
        .map(|record| (record.key.as_str(), record.sequence()))
        .collect();
    assert_eq!(distinct.len(), 600);
}

#[tokio::test]
async fn a_relay_that_lost_its_lanes_cannot_mark_what_it_sent() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    let relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;
    let name = until_one_has_all(&world.pool).await;

    // Given a relay that has sent a record and waits for the acknowledgement, and cannot learn that its lanes are gone.
    proxy.set(Fault::LoseProduceAnswers);
    world.commit(PaymentNo::generate()).await;
    eventually("the record was sent", async || proxy.lost() > 0).await;
    terminate(&world, "query ilike '%eventing_outbox_lanes%'").await;

    // When somebody else gets them, and the acknowledgement comes only then.
    take_all_lanes(&world).await;
    proxy.set(Fault::None);
    eventually("the relay has given up its lanes", async || {
        sqlx::query_scalar("select count(*) = 1 from pg_stat_activity where datname = current_database() and application_name like '% relay'")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    })
    .await;

    // Then the row is still there, and is sent by the next one to have the lane.
    assert_eq!(world.depth().await, 1);
    free_all_lanes(&world).await;
    world.until_published().await;
    assert_eq!(until_one_has_all(&world.pool).await, name);
    relay.stop().await;
    assert_in_order_without_gap(&world.records(3).await);
}

#[tokio::test]
async fn a_lost_connection_to_the_database_is_said_and_made_good() {
    let world = World::new().await;
    let mut relay = world.start_relay();
    until_one_has_all(&world.pool).await;
    let taken = owners(&world.pool).await;
    terminate(&world, "true").await;
    let mut seen = relay.condition.clone();
    seen.wait_for(|condition| *condition != Condition::Up)
        .await
        .unwrap();
    relay
        .condition
        .wait_for(|condition| *condition == Condition::Up)
        .await
        .unwrap();
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;
    assert_eq!(owners(&world.pool).await, taken, "a lease outlives a connection");
    relay.stop().await;
}
