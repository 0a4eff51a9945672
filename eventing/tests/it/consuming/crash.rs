//! A member that dies between any two steps.

use std::process::{Command, Stdio};
use std::time::Duration;

use eventing::consumer::Resources;
use eventing::{Clock, KafkaSettings, SchemaRegistry};
use schemas::PaymentNo;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::script::{Act, Script};
use super::stage::{Stage, ordered};
use crate::support::address;

/// The events of one aggregate that fail once: the first, and one that is then drained.
const FAILING: [i64; 2] = [1, 3];

/// Not a test of its own: the process that dies. The tests below start it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the crash tests as a process of its own"]
async fn dying_member() {
    let variable = |name| std::env::var(name).unwrap();
    let pool = PgPool::connect(&variable("DYING_DATABASE_URL")).await.unwrap();
    let mut kafka = KafkaSettings::new(address("TEST_KAFKA_BROKERS"));
    kafka.topic_prefix = variable("DYING_TOPIC_PREFIX");
    let registry = SchemaRegistry::new(&address("TEST_SCHEMA_REGISTRY_URL"), pool.clone()).unwrap();
    let script = Script::default();
    for sequence in FAILING {
        script.on(&variable("DYING_FAILS_ONCE"), sequence, &[Act::Retry]);
    }
    let resources = Resources {
        pool,
        kafka,
        registry,
        clock: Clock::system(),
    };
    let consumer = eventing::consumer::Consumer::new(ordered(), script, resources);
    consumer.run(CancellationToken::new()).await.unwrap();
}

/// Runs a member that dies at a step, and then one that does not.
async fn survives(crash_at: &'static str) {
    let stage = Stage::new(ordered()).await;
    let (failing, other) = (PaymentNo::generate(), PaymentNo::generate());
    for sequence in 1..=4 {
        stage.send_next(failing, sequence).await;
        stage.send_next(other, sequence).await;
    }
    die(&stage, crash_at, &failing.to_string()).await;

    let script = Script::default();
    for sequence in FAILING {
        script.on(&failing, sequence, &[Act::Retry]);
    }
    let member = stage.start(script);
    stage.until_applied(failing, &[1, 2, 3, 4]).await;
    stage.until_applied(other, &[1, 2, 3, 4]).await;
    stage.until_count("eventing.parked", 0).await;
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

async fn die(stage: &Stage, crash_at: &'static str, fails_once: &str) {
    let options = stage.pool.connect_options();
    let (base, _) = address("TEST_DATABASE_URL")
        .rsplit_once('/')
        .map(|(base, name)| (base.to_owned(), name.to_owned()))
        .unwrap();
    let mut dying = Command::new(std::env::current_exe().unwrap());
    dying
        .args([
            "--exact",
            "consuming::crash::dying_member",
            "--ignored",
            "--nocapture",
        ])
        .env("CRASH_AT", crash_at)
        .env(
            "DYING_DATABASE_URL",
            format!("{base}/{}", options.get_database().unwrap()),
        )
        .env("DYING_TOPIC_PREFIX", &stage.kafka.topic_prefix)
        .env("DYING_FAILS_ONCE", fails_once)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let dead = tokio::task::spawn_blocking(move || dying.output().unwrap());
    let dead = tokio::time::timeout(Duration::from_mins(1), dead)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&dead.stderr);
    assert!(
        said.contains(&format!("crash point {crash_at} reached")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_before_the_commit_of_an_event_applies_it_once() {
    survives("consumer.apply.before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_commit_of_an_event_and_its_offset_applies_it_once() {
    survives("consumer.apply.after_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_the_commit_of_an_offset_loses_nothing() {
    survives("consumer.offset.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_block_of_a_failed_event_and_its_way_to_a_tier_loses_nothing() {
    survives("consumer.block.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_a_failed_event_was_sent_to_a_tier_applies_it_once() {
    survives("consumer.fail.sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_a_drained_event_was_sent_to_a_tier_and_is_still_parked_applies_it_once() {
    survives("consumer.unpark.before").await;
}
