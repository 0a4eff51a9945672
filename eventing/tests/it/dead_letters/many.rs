//! Many letters, and a replica that dies while it replays them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eventing::consumer::{Consumer, Resources};
use eventing::dead_letters::{Action, Filter, JobState, Pace, Selection};
use eventing::headers::RecordHeaders;
use eventing::{Clock, KafkaSettings, SchemaRegistry};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use schemas::catalogue::PAYMENTS;
use schemas::{DomainEvent as _, PaymentNo};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::consuming::script::Script;
use crate::consuming::stage::{Stage, TIERS, unordered};
use crate::support::{address, events, eventually};

impl Stage {
    /// Puts letters of as many payments onto the topic, of 20 fingerprints.
    async fn write_letters(&self, count: u32) {
        let mut config = self.kafka.producer("letters");
        config
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000");
        let producer: ThreadedProducer<_> = config
            .create::<ThreadedProducer<rdkafka::producer::DefaultProducerContext>>()
            .unwrap();
        let topic = self.group.dead_letter_topic();
        let topic = self.kafka.topic(&topic);
        for number in 0..count {
            let event = events::payment(PaymentNo::generate(), 1);
            let mut headers = RecordHeaders::new();
            headers.push("ce_type", event.event_type());
            headers.push("ce_sequence", "1");
            for (name, value) in [
                ("topic", PAYMENTS.name.to_owned()),
                ("partition", "0".to_owned()),
                ("offset", number.to_string()),
                ("timestamp", "2026-01-01T00:00:00Z".to_owned()),
            ] {
                headers.push(format!("eventing-original-{name}"), value);
            }
            headers.push("eventing-group", self.group.name.clone());
            headers.push("eventing-attempt", "1");
            headers.push("eventing-error-class", "never");
            headers.push("eventing-fingerprint", format!("fingerprint-{}", number % 20));
            headers.push("eventing-message", "it did not go right");
            let (key, value) = (event.aggregate_key(), self.framed(&event));
            let record = BaseRecord::to(&topic)
                .key(&key)
                .payload(&value)
                .headers(headers.to_kafka());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_mins(1)).unwrap();
        self.desk().refresh().await.unwrap();
    }

    /// Starts a process that serves the group, handles nothing, and dies where `CRASH_AT` says; or else is killed by the caller.
    fn replica(&self, crash_at: &str) -> std::process::Child {
        let options = self.pool.connect_options();
        let (base, _) = address("TEST_DATABASE_URL")
            .rsplit_once('/')
            .map(|(base, name)| (base.to_owned(), name.to_owned()))
            .unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "dead_letters::many::dying_replica",
                "--ignored",
                "--nocapture",
            ])
            .env("CRASH_AT", crash_at)
            .env(
                "DYING_DATABASE_URL",
                format!("{base}/{}", options.get_database().unwrap()),
            )
            .env("DYING_TOPIC_PREFIX", &self.kafka.topic_prefix)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// Not a test of its own: the process that dies. The tests below start it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests as a process of its own"]
async fn dying_replica() {
    let variable = |name| std::env::var(name).unwrap();
    let pool = PgPool::connect(&variable("DYING_DATABASE_URL")).await.unwrap();
    let mut kafka = KafkaSettings::new(address("TEST_KAFKA_BROKERS"));
    kafka.topic_prefix = variable("DYING_TOPIC_PREFIX");
    let registry = SchemaRegistry::new(&address("TEST_SCHEMA_REGISTRY_URL"), pool.clone()).unwrap();
    let resources = Resources {
        pool,
        kafka,
        registry,
        clock: Clock::system(),
    };
    // It only sends: what it would handle waits for a permit that never comes.
    let (script, _gate) = Script::by_unique_key().gated();
    let group = unordered().tiers(TIERS).handler_deadline(Duration::from_mins(5));
    Consumer::new(group, script, resources)
        .run(CancellationToken::new())
        .await
        .unwrap();
}

/// Replays letters; a replica dies at a step, and then another goes on.
async fn survives(crash_at: &'static str) {
    let stage = Stage::new(unordered()).await;
    stage.write_letters(500).await;
    let plan = stage
        .plan(Action::Replay, &Selection::all(), Pace::default())
        .await;
    assert_eq!((plan.letters, plan.failures.len()), (500, 20));
    let job = stage.begin(&plan).await.id;
    let mut replica = stage.replica(crash_at);
    let died = tokio::task::spawn_blocking(move || replica.wait().unwrap());
    let died = tokio::time::timeout(Duration::from_mins(1), died)
        .await
        .unwrap()
        .unwrap();
    assert!(!died.success());

    let script = Script::by_unique_key();
    let member = stage.start(script.clone());
    let finished = stage.until_state(job, JobState::Finished).await;
    assert_eq!((finished.letters, finished.done), (500, 500));
    stage.until_count("noted", 500).await;
    eventually("every letter has its outcome", async || {
        stage.desk().job(job).await.unwrap().handled == 500
    })
    .await;
    assert_eq!(script.calls().len(), 500, "each letter once");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_before_it_sends_loses_no_letter() {
    survives("dead_letters.send.before").await;
}

/// What it had sent is sent again, and handled once.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_between_sending_and_noting_it_has_no_letter_handled_twice() {
    survives("dead_letters.send.after").await;
}

/// Run on demand: `cargo test -p eventing --test it -- --ignored --nocapture a_hundred_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; prints figures"]
async fn a_hundred_thousand_letters_are_replayed_once_each_though_a_replica_is_killed() {
    const LETTERS: u64 = 100_000;
    let stage = Stage::new(unordered()).await;
    let timed = |what: &str, began: Instant| eprintln!("{what}: {:?}", began.elapsed());
    let began = Instant::now();
    stage.write_letters(u32::try_from(LETTERS).unwrap()).await;
    timed("written and indexed", began);
    let desk = stage.desk();
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(desk.groups().await.unwrap().len(), 20);
        timed("groups", began);
        let began = Instant::now();
        assert_eq!(
            desk.letters(&Filter::default(), None, 100)
                .await
                .unwrap()
                .rows
                .len(),
            100
        );
        timed("a page of letters", began);
    }
    let began = Instant::now();
    let pace = Pace {
        rate: 10_000,
        canary: 0,
    };
    let plan = stage.plan(Action::Replay, &Selection::all(), pace).await;
    timed("plan", began);
    let began = Instant::now();
    let job = stage.begin(&plan).await.id;
    timed("start", began);

    let replayed = Instant::now();
    let mut replica = stage.replica("nowhere");
    eventually("the first replica has sent some", async || {
        desk.job(job).await.unwrap().done > 1_000
    })
    .await;
    replica.kill().unwrap();
    replica.wait().unwrap();
    let script = Script::by_unique_key();
    let member = stage.start(script.clone());
    let mut reported = Instant::now();
    loop {
        let began = Instant::now();
        let now = desk.job(job).await.unwrap();
        if reported.elapsed() > Duration::from_secs(5) {
            reported = Instant::now();
            timed(
                &format!("{} sent, {} handled; asking took", now.done, now.handled),
                began,
            );
        }
        assert!(now.handled <= LETTERS && now.done <= LETTERS, "{now:?}");
        if now.state == JobState::Finished && now.handled == LETTERS {
            break;
        }
        assert!(replayed.elapsed() < Duration::from_mins(20), "{now:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    timed("replayed", replayed);
    let began = Instant::now();
    desk.groups().await.unwrap();
    timed("groups after that", began);
    assert_eq!(u64::try_from(stage.count("noted").await).unwrap(), LETTERS);
    assert_eq!(script.calls().len() as u64, LETTERS, "each letter once");
    member.stop().await;
}
