use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventing::consumer::{Delivery, Failure, Handler, Resources};
use eventing::{Clock, SchemaRegistry};
use jiff::{SignedDuration, Timestamp};
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::script::{Act, Script};
use super::stage::{Stage, end_connections, ordered, unordered};
use crate::support::database::admin;
use crate::support::proxy::{Fault, Proxy};
use crate::support::{address, events, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_gone_records_are_held_in_place_and_order_is_kept() {
    let stage = Stage::new(ordered()).await;
    let payments: Vec<PaymentNo> = (0..5).map(|_| PaymentNo::generate()).collect();
    let mut member = stage.start(Script::default());
    for payment_no in &payments {
        stage.send_next(*payment_no, 1).await;
    }
    stage.until_count("applied", 5).await;

    lock_out(&stage, false).await;
    for sequence in 2..=6 {
        for payment_no in &payments {
            stage.send_next(*payment_no, sequence).await;
        }
    }
    let reason = member.until_degraded().await;
    assert!(
        reason.contains("database") || reason.contains("postgresql"),
        "{reason}"
    );
    // Long enough for every record to have been tried several times.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;

    lock_out(&stage, true).await;
    stage.until_count("applied", 30).await;
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, [1, 2, 3, 4, 5, 6]);
    }
    member.until_up().await;
    assert_nothing_left_its_place(&stage).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stays_held_over_hours_and_a_restart() {
    let mut stage = Stage::new(ordered()).await;
    stage.clock = Clock::stopped_at(Timestamp::from_second(1_800_000_000).unwrap());
    let payments: Vec<PaymentNo> = (0..5).map(|_| PaymentNo::generate()).collect();
    let mut member = stage.start(Script::default());
    for payment_no in &payments {
        stage.send_next(*payment_no, 1).await;
    }
    stage.until_count("applied", 5).await;

    lock_out(&stage, false).await;
    for sequence in 2..=4 {
        for payment_no in &payments {
            stage.send_next(*payment_no, sequence).await;
        }
    }
    member.until_degraded().await;
    stage.clock.advance(SignedDuration::from_hours(5));
    member.stop().await;
    let mut member = stage.start(Script::default());
    member.until_degraded().await;
    stage.clock.advance(SignedDuration::from_hours(5));

    lock_out(&stage, true).await;
    stage.until_count("applied", 20).await;
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, [1, 2, 3, 4]);
    }
    member.until_up().await;
    assert_nothing_left_its_place(&stage).await;
    member.stop().await;
}

/// Ends every connection to the database once, between a batch and the one behind it.
struct CutsBefore {
    sequence: i64,
    script: Script,
    pool: PgPool,
    cut: Arc<AtomicU64>,
}

impl Handler for CutsBefore {
    type Prepared = Act;
    type Rows = ();

    async fn prepare(&self, delivery: &Delivery) -> Result<Act, Failure> {
        if delivery.sequence == self.sequence && self.cut.load(Ordering::Acquire) == 0 {
            let ended = end_connections(&self.pool).await?;
            self.cut.store(ended, Ordering::Release);
        }
        self.script.prepare(delivery).await
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        (): &mut (),
        delivery: &Delivery,
        act: &Act,
    ) -> Result<(), Failure> {
        self.script.apply(tx, &mut (), delivery, act).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_from_batch_to_batch_may_be_cut_between_them() {
    for group in [ordered(), unordered()] {
        let is_ordered = group.ordering == eventing::consumer::Ordering::PerKey;
        // One batch follows another, so the worker keeps its connection.
        let stage = Stage::new(group.workers(1).batch(1)).await;
        let payment_no = PaymentNo::generate();
        let events: Vec<_> = (1..=20)
            .map(|sequence| events::payment(payment_no, sequence))
            .collect();
        stage.send_all(&events).await;
        let (script, table) = if is_ordered {
            (Script::default(), "applied")
        } else {
            (Script::by_unique_key(), "noted")
        };
        let cut = Arc::new(AtomicU64::new(0));
        let member = stage.start(CutsBefore {
            sequence: 10,
            script: script.clone(),
            pool: stage.pool.clone(),
            cut: Arc::clone(&cut),
        });
        stage.until_count(table, 20).await;
        assert!(cut.load(Ordering::Acquire) > 0, "no connection was cut");
        let applied: Vec<i64> = script.calls().iter().map(|call| call.sequence).collect();
        assert_eq!(applied, (1..=20).collect::<Vec<i64>>());
        assert_nothing_left_its_place(&stage).await;
        member.stop().await;
    }
}

/// Lets nobody connect to the database any more and ends all connections, or lets them in again.
async fn lock_out(stage: &Stage, allow: bool) {
    let options = stage.pool.connect_options();
    let name = options.get_database().unwrap();
    let mut admin = admin().await;
    admin
        .execute(AssertSqlSafe(format!(
            "alter database {name} allow_connections {allow}"
        )))
        .await
        .unwrap();
    if !allow {
        let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        sqlx::query(terminate)
            .bind(name)
            .execute(&mut admin)
            .await
            .unwrap();
    }
}

async fn assert_nothing_left_its_place(stage: &Stage) {
    assert!(stage.letters(0).await.is_empty(), "dead letters");
    for tier in (1..).take(stage.group.tiers.len()) {
        assert!(stage.retried(tier, 0).await.is_empty(), "tier {tier}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_registry_is_gone_records_are_held_and_once_a_schema_is_known_none_is_needed() {
    let stage = Stage::new(ordered()).await;
    stage
        .pool
        .execute("truncate eventing.schemas, eventing.subject_schemas")
        .await
        .unwrap();
    let registry = Switched::new().await;
    let resources = || Resources {
        registry: registry.client(&stage),
        ..stage.resources()
    };
    let payment_no = PaymentNo::generate();
    stage.send_next(payment_no, 1).await;
    stage.send_next(payment_no, 2).await;

    let mut member = stage.start_with(Script::default(), resources());
    let reason = member.until_degraded().await;
    assert!(reason.contains("registry"), "{reason}");
    let serving = registry.serve();
    stage.until_applied(payment_no, &[1, 2]).await;
    member.stop().await;
    drop(serving);

    let member = stage.start_with(Script::default(), resources());
    stage.send_next(payment_no, 3).await;
    stage.until_applied(payment_no, &[1, 2, 3]).await;
    member.stop().await;
    assert_nothing_left_its_place(&stage).await;
}

/// The registry's address, where it answers only while it is told to.
struct Switched(std::sync::Arc<TcpListener>);

impl Switched {
    async fn new() -> Self {
        Self(std::sync::Arc::new(
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ))
    }

    fn client(&self, stage: &Stage) -> SchemaRegistry {
        let path = address("TEST_SCHEMA_REGISTRY_URL");
        let path = path.splitn(4, '/').nth(3).unwrap().to_owned();
        let url = format!("http://{}/{path}", self.0.local_addr().unwrap());
        SchemaRegistry::new(&url, stage.pool.clone()).unwrap()
    }

    /// Forwards to the real one until the answer is dropped. Until then, connections are not accepted.
    fn serve(&self) -> JoinSet<()> {
        let listener = std::sync::Arc::clone(&self.0);
        let real = address("TEST_SCHEMA_REGISTRY_URL")
            .split('/')
            .nth(2)
            .unwrap()
            .to_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let real = real.clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(real).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        serving
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_takes_no_record_a_failed_one_is_held_and_then_sent_on_once() {
    let stage = Stage::new(ordered()).await;
    let proxy = Proxy::start(&stage.kafka).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    proxy.set(Fault::LoseProduceRequests);
    let resources = Resources {
        kafka: proxy.settings(&stage.kafka),
        ..stage.resources()
    };
    let mut member = stage.start_with(script.clone(), resources);
    stage.send_next(payment_no, 1).await;

    let reason = member.until_degraded().await;
    assert!(reason.contains("kafka"), "{reason}");
    assert!(stage.letters(0).await.is_empty());
    proxy.set(Fault::None);
    assert_eq!(stage.letters(1).await.len(), 1);
    member.until_up().await;
    assert_eq!(script.calls().len(), 1, "the handler is not asked again");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_said_and_read_once_it_exists() {
    let stage = Stage::new(ordered()).await;
    let mut kafka = stage.kafka.clone();
    kafka.topic_prefix.push_str("elsewhere.");
    let mut member = stage.start_with(
        Script::default(),
        Resources {
            kafka: kafka.clone(),
            ..stage.resources()
        },
    );
    let reason = member.until_degraded().await;
    assert!(
        reason.contains(PAYMENTS.name) || reason.contains("nknown"),
        "{reason}"
    );
    for name in [PAYMENTS.name, "group.retry.1", "group.retry.2", "group.retry.3"] {
        crate::support::broker::create_topic(&kafka, name, &[]).await;
    }
    eventually("the consumer is up", async || {
        *member.condition.borrow() == eventing::Condition::Up
    })
    .await;
    member.stop().await;
}
