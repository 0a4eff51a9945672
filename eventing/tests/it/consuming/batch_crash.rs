//! A member that dies in the middle of a batch of many records, between any two of its steps.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventing::consumer::{Consumer, ConsumerGroup, Delivery, Failure, Handler};
use eventing::crash_point;
use schemas::PaymentNo;
use sqlx::PgConnection;
use uuid::Uuid;

use super::process::{self, Process};
use super::stage::{Stage, ordered};
use crate::support::events;

/// Events that wait when the member starts, so that its batches soon are large.
const PAYMENTS: usize = 500;
const EVENTS: i64 = 3;
/// What is a batch of many records.
const MANY: usize = 60;
/// The aggregates of which an event fails once lie so far behind the beginning that it happens in such a batch.
const FAILING: [usize; 3] = [300, 340, 480];

/// One worker, so that all records are in its batches.
fn group() -> ConsumerGroup {
    ordered().workers(1)
}

/// Collects its rows, as handlers of large batches do, and has points at which it dies.
#[derive(Debug, Default)]
struct Collector {
    fails_once: Vec<String>,
    /// A batch of many was flushed.
    was_large: AtomicBool,
}

impl Handler for Collector {
    type Prepared = ();
    type Rows = Vec<(Uuid, String, i64)>;

    async fn prepare(&self, _: &Delivery) -> Result<(), Failure> {
        if self.was_large.load(Ordering::SeqCst) {
            crash_point("test.batch.committed");
        }
        Ok(())
    }

    async fn apply(
        &self,
        _: &mut PgConnection,
        rows: &mut Self::Rows,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        if delivery.attempt == 1 && delivery.sequence == 1 && self.fails_once.contains(&delivery.key) {
            return Err(Failure::retry("not yet"));
        }
        rows.push((
            delivery.event.event_id().uuid(),
            delivery.key.clone(),
            delivery.sequence,
        ));
        if rows.len() == MANY {
            crash_point("test.batch.applying");
        }
        Ok(())
    }

    async fn flush(&self, tx: &mut PgConnection, rows: Self::Rows) -> Result<(), Failure> {
        let (mut ids, mut keys, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for (id, key, sequence) in rows {
            ids.push(id);
            keys.push(key);
            sequences.push(sequence);
        }
        let is_large = ids.len() >= MANY;
        sqlx::query(
            "insert into applied (event_id, key, sequence)
             select * from unnest($1::uuid[], $2::text[], $3::bigint[])",
        )
        .bind(ids)
        .bind(keys)
        .bind(sequences)
        .execute(tx)
        .await?;
        if is_large {
            crash_point("test.batch.flushed");
            self.was_large.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Not a test of its own: the process that dies.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests below as a process of its own"]
async fn dying_member() {
    let fails_once = std::env::var("FAILS_ONCE").unwrap();
    let collector = Collector {
        fails_once: fails_once.split(',').map(str::to_owned).collect(),
        ..Collector::default()
    };
    let consumer = Consumer::new(group(), collector, process::resources().await);
    consumer.run(process::until_asked_to_leave()).await.unwrap();
}

async fn survives(crash_at: &str) {
    let stage = Stage::new(group()).await;
    let payments: Vec<PaymentNo> = (0..PAYMENTS).map(|_| PaymentNo::generate()).collect();
    let all: Vec<_> = (1..=EVENTS)
        .flat_map(|sequence| {
            payments
                .iter()
                .map(move |payment_no| events::payment(*payment_no, sequence))
        })
        .collect();
    stage.send_all(&all).await;
    let fails_once = FAILING.map(|index| payments[index].to_string());

    let variables = [("CRASH_AT", crash_at), ("FAILS_ONCE", &fails_once.join(","))];
    let dying = Process::start(&stage, "consuming::batch_crash::dying_member", &variables);
    let said = dying.until_dead().await;
    assert!(
        said.contains(&format!("crash point {crash_at} reached")),
        "{said}"
    );
    let applied = stage.count("applied").await;
    assert!(
        applied < i64::try_from(all.len()).unwrap(),
        "it died with {applied} events applied"
    );

    let member = stage.start(Collector {
        fails_once: fails_once.into(),
        ..Collector::default()
    });
    stage
        .until_count("applied", i64::try_from(all.len()).unwrap())
        .await;
    let mut applied: HashMap<String, Vec<i64>> = HashMap::new();
    for (key, sequence) in stage.applied().await {
        applied.entry(key).or_default().push(sequence);
    }
    for (key, sequences) in applied {
        assert_eq!(sequences, [1, 2, 3], "{key}");
    }
    stage.until_count("eventing.parked", 0).await;
    // Longer than the tiers take: nothing comes again.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(stage.count("applied").await, i64::try_from(all.len()).unwrap());
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_while_a_large_batch_is_applied_applies_each_event_once() {
    survives("test.batch.applying").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_flush_of_a_large_batch_and_its_commit_applies_each_event_once() {
    survives("test.batch.flushed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_the_commit_of_a_large_batch_applies_each_event_once() {
    survives("test.batch.committed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_block_of_an_event_of_a_large_batch_and_its_way_to_a_tier_loses_nothing() {
    survives("consumer.block.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_two_failed_events_of_a_large_batch_applies_each_event_once() {
    survives("consumer.fail.sent").await;
}
