//! Many letters, and a replica that dies while it replays them.

use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use eventing::consumer::{Consumer, ConsumerGroup, Resources};
use eventing::dead_letters::{Action, Job, JobState, Pace, Selection};
use eventing::headers::RecordHeaders;
use eventing::{Clock, KafkaSettings, SchemaRegistry};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use schemas::catalogue::PAYMENTS;
use schemas::{DomainEvent as _, PaymentNo};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::jobs::by;
use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, unordered};
use crate::support::{address, events, eventually};

/// A process that serves the group; dropping it is `kill -9`.
struct Replica(Child);

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The payment of a letter.
fn payment_no(number: u32) -> PaymentNo {
    PaymentNo::from_uuid(Uuid::from_u128(u128::from(number)))
}

/// Serves on both sides of a death.
fn group() -> ConsumerGroup {
    unordered().handler_deadline(Duration::from_mins(1))
}

impl Stage {
    /// Puts letters of so many payments onto the topic, of 20 fingerprints.
    async fn write_letters(&self, numbers: Range<u32>) {
        let mut config = self.kafka.producer("letters");
        config
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000");
        let producer: ThreadedProducer<_> = config
            .create::<ThreadedProducer<rdkafka::producer::DefaultProducerContext>>()
            .unwrap();
        let topic = self.group.dead_letter_topic();
        let topic = self.kafka.topic(&topic);
        for number in numbers {
            let event = events::payment(payment_no(number), 1);
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

    /// Starts a process that serves the group, until it dies where `crash_at` says, or is killed.
    fn replica(&self, crash_at: &str) -> Replica {
        let options = self.pool.connect_options();
        let (base, _) = address("TEST_DATABASE_URL")
            .rsplit_once('/')
            .map(|(base, name)| (base.to_owned(), name.to_owned()))
            .unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
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
            .unwrap();
        Replica(process)
    }

    /// Watches a job until it is as far as that. What it says on the way only ever grows, and never beyond its letters.
    async fn watched(&self, job: Uuid, is_there: impl Fn(&Job) -> bool) -> Job {
        let desk = self.desk();
        let before = Mutex::new(desk.job(job).await.unwrap());
        eventually("the job is as far as that", async || {
            let now = desk.job(job).await.unwrap();
            let before = &mut *before.lock().unwrap();
            assert!(before.done <= now.done && now.done <= now.letters, "{now:?}");
            assert!(
                before.handled <= now.handled && now.handled <= now.letters,
                "{now:?}"
            );
            *before = now;
            is_there(before)
        })
        .await;
        before.into_inner().unwrap()
    }

    /// Each letter's event was applied once, though nothing in the table would refuse a second time.
    async fn assert_each_applied_once(&self, letters: i64) {
        assert_eq!(self.count("applied").await, letters);
        assert_eq!(
            self.count("(select distinct event_id from applied) events").await,
            letters
        );
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
    let script = Script::default();
    script.on(&payment_no(FAILS_AGAIN), 1, &[Act::Retry]);
    Consumer::new(group(), script, resources)
        .run(CancellationToken::new())
        .await
        .unwrap();
}

/// The letter that fails once more in the process that dies. Beyond those of most tests.
const FAILS_AGAIN: u32 = 1_000_000;

/// Replays letters; a replica dies at a step, and then another goes on.
async fn survives(crash_at: &'static str) {
    let stage = Stage::new(group()).await;
    stage.write_letters(0..500).await;
    let plan = stage
        .plan(Action::Replay, &Selection::all(), Pace::default())
        .await;
    assert_eq!((plan.letters, plan.failures.len()), (500, 20));
    let job = stage.begin(&plan).await.id;
    until_dead(stage.replica(crash_at)).await;

    let member = stage.start(Script::default());
    let finished = stage.until_state(job, JobState::Finished).await;
    assert_eq!((finished.letters, finished.done), (500, 500));
    stage.watched(job, |job| job.handled == 500).await;
    stage.assert_each_applied_once(500).await;
    member.stop().await;
}

async fn until_dead(replica: Replica) {
    let replica = Mutex::new(replica);
    eventually("the replica dies", async || {
        let died = replica.lock().unwrap().0.try_wait().unwrap();
        died.inspect(|status| assert!(!status.success())).is_some()
    })
    .await;
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

/// What it had claimed is its copies', which are read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_between_claiming_letters_and_applying_them_loses_none() {
    survives("consumer.claim.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_before_it_commits_letters_loses_none() {
    survives("consumer.apply.before_commit").await;
}

/// They are read again, and their outcome is known already.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_after_it_committed_letters_has_none_applied_twice() {
    survives("consumer.apply.after_commit").await;
}

/// A letter that fails again is on its tier, and the job does not know it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_before_it_notes_that_a_letter_failed_again_loses_no_letter() {
    let stage = Stage::new(group()).await;
    stage.write_letters(FAILS_AGAIN..FAILS_AGAIN + 1).await;
    let plan = stage
        .plan(Action::Replay, &Selection::all(), Pace::default())
        .await;
    let job = stage.begin(&plan).await.id;
    until_dead(stage.replica("consumer.outcome.before")).await;
    assert_eq!(stage.retried(2, 1).await.len(), 1);

    let member = stage.start(Script::by_unique_key());
    // It is read again and handled, and so is what was sent to the tier; the job counts letters.
    stage
        .until_count("eventing.replay_claims where outcome = 'handled'", 2)
        .await;
    stage.watched(job, |job| job.handled == 1).await;
    assert_eq!(stage.count("noted").await, 1);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_while_it_discards_leaves_the_rest_to_another() {
    let stage = Stage::new(group()).await;
    stage.write_letters(0..1_500).await;
    let plan = stage
        .plan(Action::Discard, &Selection::all(), Pace::default())
        .await;
    let job = stage.begin(&plan).await.id;
    until_dead(stage.replica("dead_letters.discard.before_commit")).await;
    assert_eq!(stage.desk().job(job).await.unwrap().done, 0);

    let member = stage.start(Script::default());
    let finished = stage.watched(job, |job| job.state == JobState::Finished).await;
    assert_eq!((finished.letters, finished.done), (1_500, 1_500));
    let groups = stage.desk().groups().await.unwrap();
    assert!(groups.iter().all(|group| group.discarded == group.letters));
    member.stop().await;
}

/// The same with 100,000 letters, and with figures: `bench dead-letters`.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_letters_are_replayed_once_each_though_a_replica_is_killed_and_operators_intervene() {
    const LETTERS: u64 = 5_000;
    let stage = Stage::new(group()).await;
    stage.write_letters(0..5_000).await;
    let desk = stage.desk();
    let pace = Pace {
        rate: 1_000,
        canary: 0,
    };
    let all = Selection::all();
    let replica = stage.replica("nowhere");
    // It sends from its first moment on, and would have sent all before it has joined the group and handles any.
    let tier = stage.kafka.topic(&stage.group.retry_topic(1)).into_owned();
    eventually("the replica reads what is replayed", async || {
        stage.joined().await.iter().any(|joined| joined.has(&tier))
    })
    .await;
    let plan = stage.plan(Action::Replay, &all, pace).await;
    let job = stage.begin(&plan).await.id;
    stage
        .watched(job, |job| job.done >= 500 && job.handled >= 200)
        .await;
    drop(replica);
    let died_at = desk.job(job).await.unwrap().done;

    let member = stage.start(Script::default());
    // The next one begins with what the dead one may have sent and did not write down. From there on all is written down.
    stage.watched(job, |job| job.done >= died_at + 500).await;
    desk.pause(job, &by("bob")).await.unwrap();
    let paused = stage
        .watched(job, |job| job.owner.is_none() && job.in_flight == 0)
        .await;
    assert_eq!(paused.state, JobState::Paused);
    assert!(paused.done < LETTERS, "{paused:?}");
    assert_eq!(paused.handled, paused.done);
    stage
        .assert_each_applied_once(i64::try_from(paused.done).unwrap())
        .await;

    desk.resume(job, &by("bob")).await.unwrap();
    stage.watched(job, |job| job.done >= paused.done + 500).await;
    desk.cancel(job, &by("bob")).await.unwrap();
    let cancelled = stage.watched(job, |job| job.in_flight == 0).await;
    assert!(cancelled.done < LETTERS, "{cancelled:?}");
    stage
        .assert_each_applied_once(i64::try_from(cancelled.done).unwrap())
        .await;

    let rest = stage.plan(Action::Replay, &all, pace).await;
    assert_eq!(rest.letters, LETTERS - cancelled.done);
    let job = stage.begin(&rest).await.id;
    let rest = stage.watched(job, |job| job.handled == rest.letters).await;
    assert_eq!(rest.failed_again, 0);
    stage
        .assert_each_applied_once(i64::try_from(LETTERS).unwrap())
        .await;
    assert!(desk.groups().await.unwrap().iter().all(|group| group.new == 0));
    member.stop().await;
}
