//! Owners of lanes that die, stop for a while, or are cut off, each in the middle of its work.

use std::process::Stdio;
use std::time::{Duration, Instant};

use eventing::relay::leases::{self, LEASE, Lease};
use eventing::{Condition, KafkaSettings};
use schemas::PaymentNo;
use sqlx::PgPool;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::doubles;
use crate::support::broker::assert_in_order_without_gap;
use crate::support::lanes::{until_asleep, until_one_has_all, until_shared};
use crate::support::proxy::{Fault, Proxy};
use crate::support::tunnel::Tunnel;
use crate::support::{World, eventually};

const DATABASE: &str = "EVENTING_TEST_CHILD_DATABASE";
const TOPIC_PREFIX: &str = "EVENTING_TEST_CHILD_TOPIC_PREFIX";

/// A dead owner's lanes have another owner after so long.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Starts a relay in a process of its own.
fn start_process(world: &World, kafka: &KafkaSettings) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "outbox::stale::process_that_relays", "--ignored"])
        .env("TEST_KAFKA_BROKERS", &kafka.brokers)
        .env(DATABASE, &world.database.name)
        .env(TOPIC_PREFIX, &kafka.topic_prefix)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "it relays until it is killed; the tests start it as a process of its own"]
async fn process_that_relays() {
    let world = World::join(
        &std::env::var(DATABASE).unwrap(),
        &std::env::var(TOPIC_PREFIX).unwrap(),
    )
    .await;
    let _relay = world.start_relay();
    std::future::pending::<()>().await;
}

/// Sends a signal to a process that we started.
async fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &process.id().unwrap().to_string()])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
}

async fn commit_everywhere(world: &World, payments: &[PaymentNo]) {
    for payment_no in payments {
        world.commit(*payment_no).await;
    }
}

/// So many that every lane has some.
fn payments_of_all_lanes() -> Vec<PaymentNo> {
    std::iter::repeat_with(PaymentNo::generate).take(60).collect()
}

#[tokio::test]
async fn a_dead_owner_s_lanes_are_taken_over_within_five_seconds() {
    let world = World::new().await;
    let payments = payments_of_all_lanes();
    let mut dying = start_process(&world, &world.kafka);
    until_one_has_all(&world.pool).await;
    let other = world.start_relay();
    until_shared(&world.pool, &[4, 4]).await;
    commit_everywhere(&world, &payments).await;

    dying.kill().await.unwrap();
    let died = Instant::now();
    until_one_has_all(&world.pool).await;
    assert!(died.elapsed() < TAKEN_OVER_WITHIN, "{:?}", died.elapsed());
    commit_everywhere(&world, &payments).await;
    world.until_published().await;
    other.stop().await;
    assert_in_order_without_gap(&world.records(120).await);
}

#[tokio::test]
async fn an_owner_that_was_paused_marks_nothing_when_it_goes_on() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    let paused = start_process(&world, &proxy.settings(&world.kafka));
    until_one_has_all(&world.pool).await;

    // Given a relay that has sent a record, and is paused before the acknowledgement comes.
    proxy.set(Fault::LoseProduceAnswers);
    world.commit(PaymentNo::generate()).await;
    eventually("the record was sent", async || proxy.lost() > 0).await;
    signal(&paused, "-STOP").await;

    // When its leases run out, somebody else has the lanes (and sends nothing), and it goes on.
    let successor = Uuid::new_v4();
    eventually("all lanes are taken over", async || {
        leases::take(&world.pool, successor, 8, &[], LEASE * 1_000)
            .await
            .unwrap();
        lanes_of(&world.pool, successor).await == 8
    })
    .await;
    proxy.set(Fault::None);
    signal(&paused, "-CONT").await;

    // Then it learns that it has no lane, and the row is where it was.
    eventually("the relay has let go of its lanes", async || {
        connections(&world.pool).await == 1
    })
    .await;
    assert_eq!(world.depth().await, 1);
    leases::leave(&world.pool, successor).await.unwrap();
    world.until_published().await;
    assert_in_order_without_gap(&world.records(2).await);
}

async fn lanes_of(pool: &PgPool, relay: Uuid) -> i64 {
    sqlx::query_scalar("select count(*) from eventing.outbox_lanes where owner = $1")
        .bind(relay)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// How many connections relays have: one each, and one for each of their lanes.
async fn connections(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and application_name like '% relay'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_owner_cut_off_from_the_database_is_replaced_and_comes_back() {
    let world = World::new().await;
    let payments = payments_of_all_lanes();
    let tunnel = Tunnel::to(&world.pool).await;
    let mut cut_off = world.start_relay_on(tunnel.pool.clone());
    until_one_has_all(&world.pool).await;
    let other = world.start_relay();
    until_shared(&world.pool, &[4, 4]).await;
    commit_everywhere(&world, &payments).await;

    tunnel.block();
    let began = Instant::now();
    until_one_has_all(&world.pool).await;
    assert!(began.elapsed() < TAKEN_OVER_WITHIN, "{:?}", began.elapsed());
    commit_everywhere(&world, &payments).await;
    world.until_published().await;
    // Nothing tells it that its connections are dead, so that it says so shows that it asks.
    cut_off
        .condition
        .wait_for(|condition| *condition != Condition::Up)
        .await
        .unwrap();

    tunnel.clear();
    until_shared(&world.pool, &[4, 4]).await;
    commit_everywhere(&world, &payments).await;
    world.until_published().await;
    cut_off
        .condition
        .wait_for(|condition| *condition == Condition::Up)
        .await
        .unwrap();
    cut_off.stop().await;
    other.stop().await;
    assert_in_order_without_gap(&world.records(180).await);
}

/// A lane that one relay has taken, sent a row of, and lost, and the row.
async fn a_lost_lane(pool: &PgPool, relay: Uuid, lost_to: Uuid) -> (Lease, i64) {
    let lease = leases::take(pool, relay, 1, &[], LEASE).await.unwrap()[0];
    let seq = sqlx::query_scalar(
        "insert into eventing.outbox (lane, topic, key, sequence, payload, headers, created_at)
         values ($1, 'payments.payment.v1', 'a', 1, '', '', now()) returning seq",
    )
    .bind(lease.lane.number())
    .fetch_one(pool)
    .await
    .unwrap();
    leases::give_back(pool, relay, lease).await.unwrap();
    assert_eq!(
        leases::take(pool, lost_to, 1, &[], LEASE).await.unwrap()[0].lane,
        lease.lane
    );
    (lease, seq)
}

#[tokio::test]
async fn a_mark_that_comes_late_is_refused_even_if_the_relay_has_the_lane_again() {
    let world = World::without_topic().await;
    let relay = Uuid::new_v4();

    // Somebody else has it.
    let (lease, seq) = a_lost_lane(&world.pool, relay, Uuid::new_v4()).await;
    assert_eq!(leases::mark(&world.pool, relay, lease, &[seq]).await.unwrap(), 0);
    // The wrong design does not ask, and marks a row that its owner may just be setting aside.
    assert_eq!(doubles::mark_without_asking(&world.pool, &[seq]).await, 1);

    // It has the lane again, by another lease.
    let (lease, seq) = a_lost_lane(&world.pool, relay, relay).await;
    assert_eq!(leases::mark(&world.pool, relay, lease, &[seq]).await.unwrap(), 0);
    assert_eq!(doubles::mark_by_owner(&world.pool, relay, lease, &[seq]).await, 1);
}

#[tokio::test]
async fn a_lane_is_not_taken_in_the_middle_of_a_mark_and_is_renewed_meanwhile() {
    let world = World::without_topic().await;
    let [relay, other] = [Uuid::new_v4(), Uuid::new_v4()];
    let all = leases::take(&world.pool, relay, 8, &[], Duration::ZERO)
        .await
        .unwrap();

    let mut marking = world.pool.begin().await.unwrap();
    leases::mark(&mut *marking, relay, all[0], &[1]).await.unwrap();
    // All leases have run out.
    let taken = leases::take(&world.pool, other, 8, &[], LEASE).await.unwrap();
    assert_eq!(
        (taken.len(), taken.iter().any(|lease| lease.lane == all[0].lane)),
        (7, false)
    );
    assert_eq!(
        leases::renew(&world.pool, relay, &all, LEASE).await.unwrap(),
        all[..1]
    );
    marking.commit().await.unwrap();
}

#[tokio::test]
async fn a_dropped_listening_connection_is_noticed_although_nothing_is_sent_on_it() {
    let world = World::new().await;
    let tunnel = Tunnel::to(&world.pool).await;
    let mut relay = world.start_relay_on(tunnel.pool.clone());
    until_one_has_all(&world.pool).await;
    until_asleep(&world.pool).await;
    let before = listeners(&world.pool).await;

    // The connection hangs without being closed, and the way is free again for new ones only.
    tunnel.block();
    relay
        .condition
        .wait_for(|condition| *condition != Condition::Up)
        .await
        .unwrap();
    tunnel.clear();
    eventually("the relay listens on another connection", async || {
        listeners(&world.pool)
            .await
            .iter()
            .any(|pid| !before.contains(pid))
    })
    .await;
    relay
        .condition
        .wait_for(|condition| *condition == Condition::Up)
        .await
        .unwrap();
    relay.stop().await;
}

/// The connections on which relays listen, by the statement that each ran last.
async fn listeners(pool: &PgPool) -> Vec<i32> {
    sqlx::query_scalar(
        "select pid from pg_stat_activity
         where datname = current_database() and application_name like '% relay'
           and (query ilike 'listen%' or query ilike '%outbox_relays%' or query ilike '%unnest%')",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}
