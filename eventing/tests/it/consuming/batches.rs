//! Many records in one transaction, of which some fail.

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eventing::consumer::{Delivery, Failure, Handler, Resources};
use schemas::PaymentNo;
use sqlx::PgConnection;
use uuid::Uuid;

use super::script::{Act, Script};
use super::stage::{Stage, end_connections, ordered, unordered};
use crate::support::database_proxy::DatabaseProxy;
use crate::support::{events, eventually, metrics};

/// What a flush does when a broken event is among its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breakage {
    /// Fails for good.
    Dead,
    /// Panics.
    Panic,
    /// Never returns.
    Hang,
}

/// Collects rows and writes them in one statement; broken events break the flush that they are in.
#[derive(Clone, Debug)]
struct Collector {
    broken: Arc<Mutex<HashSet<String>>>,
    breakage: Breakage,
    /// How many rows each flush had.
    flushes: Arc<Mutex<Vec<usize>>>,
}

impl Collector {
    fn breaking(breakage: Breakage, broken: &[PaymentNo]) -> Self {
        Self {
            broken: Arc::new(Mutex::new(broken.iter().map(ToString::to_string).collect())),
            breakage,
            flushes: Arc::default(),
        }
    }

    fn sizes(&self) -> Vec<usize> {
        self.flushes.lock().unwrap().clone()
    }
}

impl Handler for Collector {
    type Prepared = ();
    type Rows = Vec<(Uuid, String, i64)>;

    async fn prepare(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _: &mut PgConnection,
        rows: &mut Self::Rows,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        rows.push((
            delivery.event.event_id().uuid(),
            delivery.key.clone(),
            delivery.sequence,
        ));
        Ok(())
    }

    async fn flush(&self, tx: &mut PgConnection, rows: Self::Rows) -> Result<(), Failure> {
        self.flushes.lock().unwrap().push(rows.len());
        let broken = self.broken.lock().unwrap().clone();
        if rows.iter().any(|(_, key, _)| broken.contains(key)) {
            match self.breakage {
                Breakage::Dead => return Err(Failure::dead("broken_row", "a row cannot be written")),
                Breakage::Panic => panic!("a flush's mistake"),
                Breakage::Hang => pending::<()>().await,
            }
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.0).collect();
        let keys: Vec<String> = rows.iter().map(|row| row.1.clone()).collect();
        let sequences: Vec<i64> = rows.iter().map(|row| row.2).collect();
        sqlx::query(
            "insert into applied (event_id, key, sequence) select * from unnest($1::uuid[], $2::text[], $3::bigint[])",
        )
        .bind(ids)
        .bind(keys)
        .bind(sequences)
        .execute(tx)
        .await?;
        Ok(())
    }
}

fn payments(count: usize) -> Vec<PaymentNo> {
    (0..count).map(|_| PaymentNo::generate()).collect()
}

async fn send_first(stage: &Stage, payments: &[PaymentNo]) {
    let events: Vec<_> = payments
        .iter()
        .map(|payment_no| events::payment(*payment_no, 1))
        .collect();
    stage.send_all(&events).await;
}

async fn assert_applied_once_but(stage: &Stage, payments: &[PaymentNo], broken: &[PaymentNo]) {
    let good = payments.len() - broken.len();
    stage.until_count("applied", i64::try_from(good).unwrap()).await;
    let applied: HashSet<String> = stage.applied().await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(applied.len(), good, "an event was applied twice");
    assert!(
        broken
            .iter()
            .all(|payment_no| !applied.contains(&payment_no.to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_that_break_flushes_among_a_thousand_are_found_and_the_others_applied_once() {
    let stage = Stage::new(ordered().workers(1)).await;
    let payments = payments(1_000);
    let broken = [payments[700], payments[950]];
    send_first(&stage, &payments).await;
    let collector = Collector::breaking(Breakage::Dead, &broken);
    let member = stage.start(collector.clone());
    assert_applied_once_but(&stage, &payments, &broken).await;

    let letters = stage.letters(2).await;
    let keys: HashSet<&str> = letters.iter().map(|letter| letter.key.as_str()).collect();
    assert_eq!(
        keys,
        broken
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect()
    );
    assert_eq!(
        letters[0].headers.text("eventing-error-class"),
        Some("broken_row")
    );
    assert_eq!(letters[0].headers.text("eventing-attempt"), Some("1"));
    let sizes = collector.sizes();
    assert!(sizes.iter().any(|rows| *rows > 100), "no batch: {sizes:?}");
    assert!(sizes.len() < 80, "{} flushes: {sizes:?}", sizes.len());
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_thousand_costs_a_handful_of_statements() {
    let stage = Stage::new(ordered().workers(1).batch(1_000)).await;
    let proxy = DatabaseProxy::start(&stage.pool).await;
    let payments = payments(3_900);
    send_first(&stage, &payments).await;
    let collector = Collector::breaking(Breakage::Dead, &[]);
    let resources = Resources {
        pool: proxy.pool.clone(),
        ..stage.resources()
    };
    let member = stage.start_with(collector.clone(), resources);
    assert_applied_once_but(&stage, &payments, &[]).await;
    member.stop().await;

    let (rows, statements) = (collector.sizes(), proxy.committed());
    let (largest, costliest) = (rows.iter().max().unwrap(), statements.iter().max().unwrap());
    assert!(*largest >= 500, "the largest batch had {largest} rows");
    // Begin, move ahead, flush, drains, commit; what a member sends every second or so is not more either.
    assert!(
        *costliest <= 5,
        "up to {largest} rows cost up to {costliest} statements"
    );
    // With the look-ups before the transactions: none of it is done for each record.
    let all = proxy.statements();
    assert!(
        all < payments.len() / 4,
        "{} events cost {all} statements",
        payments.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_behind_failed_ones_of_their_keys_wait_and_follow_in_order_while_the_rest_of_the_batch_goes_on()
 {
    metrics::collect();
    let mut group = ordered().workers(1).handler_deadline(Duration::from_mins(2));
    group.name = "behind".into();
    let stage = Stage::new(group).await;
    stage.send_next(PaymentNo::generate(), 1).await;
    let payments = payments(12);
    let (one, two) = (payments[5], payments[9]);
    let mut sent = Vec::new();
    for sequence in 1..=5 {
        sent.extend(
            payments
                .iter()
                .map(|payment_no| events::payment(*payment_no, sequence)),
        );
    }
    let script = Script::default();
    script.on(&one, 4, &[Act::Retry]);
    script.on(&two, 3, &[Act::RetryPrepare, Act::Retry]);
    let (script, gate) = script.gated();
    let member = stage.start(script.clone());
    eventually("the first is being applied", async || script.calls().len() == 1).await;
    stage.send_all(&sent).await;
    let in_hand = || metrics::value("eventing_in_hand_records", &["group=\"behind\""]).unwrap_or(0.0);
    eventually("the others are a batch", async || in_hand() >= 61.0).await;
    gate.add_permits(1_000);
    stage.until_count("applied", 61).await;
    for payment_no in &payments {
        assert_eq!(stage.applied_of(*payment_no).await, [1, 2, 3, 4, 5]);
    }
    stage.until_count("eventing.parked", 0).await;
    assert_eq!(
        stage.retried(1, 2).await.len(),
        2,
        "each failed once, and was blamed once"
    );
    assert!(
        script.calls().len() > 63,
        "nothing was rolled back, so there was no batch"
    );
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_handler_that_never_returns_cost_their_neighbours_nothing() {
    let stage = Stage::new(unordered().workers(1).handler_deadline(Duration::from_secs(1))).await;
    let payments = payments(60);
    let script = Script::by_unique_key();
    script.on(&payments[40], 1, &[Act::Panic]);
    script.on(&payments[50], 1, &[Act::Hang]);
    script.on(&payments[55], 1, &[Act::SwallowError]);
    send_first(&stage, &payments).await;
    let began = Instant::now();
    let member = stage.start(script);
    stage.until_count("noted", 58).await;
    let classes: HashSet<String> = stage
        .letters(2)
        .await
        .iter()
        .map(|letter| letter.headers.text("eventing-error-class").unwrap().to_owned())
        .collect();
    assert_eq!(
        classes,
        HashSet::from(["panic".to_owned(), "database".to_owned()])
    );
    assert_eq!(
        stage.retried(1, 1).await.len(),
        1,
        "the one that never returned is tried again"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_panics_or_never_returns_is_cornered_within_a_few_deadlines() {
    for breakage in [Breakage::Panic, Breakage::Hang] {
        let stage = Stage::new(unordered().workers(1).handler_deadline(Duration::from_secs(2))).await;
        let payments = payments(200);
        let broken = [payments[190]];
        send_first(&stage, &payments).await;
        let began = Instant::now();
        let member = stage.start(Collector::breaking(breakage, &broken));
        assert_applied_once_but(&stage, &payments, &broken).await;
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it took {:?}",
            began.elapsed()
        );
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_outcome_is_not_applied_again() {
    for group in [ordered(), unordered()] {
        let stage = Stage::new(group.workers(1)).await;
        let proxy = DatabaseProxy::start(&stage.pool).await;
        let first = PaymentNo::generate();
        stage.send_next(first, 1).await;
        let resources = Resources {
            pool: proxy.pool.clone(),
            ..stage.resources()
        };
        let ordered = stage.group.ordering == eventing::consumer::Ordering::PerKey;
        let script = if ordered {
            Script::default()
        } else {
            Script::by_unique_key()
        };
        let table = if ordered { "applied" } else { "noted" };
        let (script, gate) = script.gated();
        let member = stage.start_with(script.clone(), resources);
        eventually("the first is being applied", async || script.calls().len() == 1).await;
        let payments = payments(40);
        send_first(&stage, &payments).await;
        proxy.cut_at_commit();
        gate.add_permits(200);
        stage.until_count(table, 41).await;
        assert_eq!(proxy.cuts(), 1);
        member.stop().await;
        assert_eq!(stage.count(table).await, 41);
        assert!(stage.letters(0).await.is_empty());
        assert!(stage.retried(1, 0).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_database_goes_away_in_the_middle_is_held_and_applied_once() {
    let stage = Stage::new(ordered().workers(1)).await;
    let payments = payments(50);
    send_first(&stage, &payments).await;
    let (script, gate) = Script::default().gated();
    gate.add_permits(40);
    let mut member = stage.start(script.clone());
    eventually("a batch is in its middle", async || script.calls().len() == 41).await;
    end_connections(&stage.pool).await.unwrap();
    gate.add_permits(1_000);
    let reason = member.until_degraded().await;
    assert!(
        reason.contains("postgresql") || reason.contains("database") || reason.contains("closed"),
        "{reason}"
    );
    assert_applied_once_but(&stage, &payments, &[]).await;
    member.until_up().await;
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}
