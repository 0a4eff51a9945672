//! Something that the handler depends on is down, or only looks so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use eventing::Condition;
use eventing::consumer::{ConsumerGroup, Delivery, Failure, Handler};
use schemas::PaymentNo;
use sqlx::PgConnection;
use tokio::task::JoinSet;

use super::script::{Act, Script};
use super::stage::{Stage, ordered, unordered};
use crate::support::eventually;

/// Keys that have to fail alike before the breaker opens.
const KEYS: usize = 6;

fn quick(mut group: ConsumerGroup) -> ConsumerGroup {
    group.breaker.keys = KEYS;
    group.breaker.first_pause = Duration::from_millis(200);
    group.breaker.longest_pause = Duration::from_millis(400);
    group
}

/// Needs another service for each event, and says how often it asked.
#[derive(Clone, Debug, Default)]
struct Dependent {
    script: Script,
    is_up: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    asking: Arc<AtomicUsize>,
    /// The most questions that were under way at once.
    at_once: Arc<AtomicUsize>,
}

impl Dependent {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Handler for Dependent {
    type Prepared = Act;
    type Rows = ();

    async fn prepare(&self, delivery: &Delivery) -> Result<Act, Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asking = self.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(asking, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.asking.fetch_sub(1, Ordering::SeqCst);
        if self.is_up.load(Ordering::SeqCst) {
            self.script.prepare(delivery).await
        } else {
            Err(Failure::retry("the other service does not answer").class("no_answer"))
        }
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        rows: &mut (),
        delivery: &Delivery,
        act: &Act,
    ) -> Result<(), Failure> {
        self.script.apply(tx, rows, delivery, act).await
    }
}

async fn failed_probes(stage: &Stage) -> i32 {
    sqlx::query_scalar("select coalesce(max(failed_probes), 0) from eventing.breakers")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

async fn until_failed_probes(stage: &Stage, count: i32) {
    eventually(&format!("{count} records are tried in vain"), async || {
        failed_probes(stage).await >= count
    })
    .await;
}

async fn send(stage: &Stage, payments: &[PaymentNo], sequences: std::ops::RangeInclusive<i64>) {
    for sequence in sequences {
        for payment_no in payments {
            stage.send_next(*payment_no, sequence).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_holds_the_group_instead_of_pouring_its_topic_into_tiers_and_dead_letters() {
    let stage = Stage::new(quick(ordered())).await;
    let payments: Vec<PaymentNo> = (0..40).map(|_| PaymentNo::generate()).collect();
    let dependent = Dependent::default();
    send(&stage, &payments, 1..=3).await;
    let mut member = stage.start(dependent.clone());

    let reason = member.until_degraded().await;
    assert!(
        reason.contains("breaker") && reason.contains("no_answer"),
        "{reason}"
    );
    // Without a breaker, everything would have died on the way through the tiers long before.
    until_failed_probes(&stage, 5).await;
    assert!(stage.letters(0).await.is_empty());
    let retried = stage.retried(1, 0).await.len() + stage.retried(2, 0).await.len();
    let tried = usize::try_from(failed_probes(&stage).await).unwrap() + 1;
    assert!(
        retried < KEYS + stage.group.workers + tried,
        "{retried} records went to the tiers, {tried} were tried"
    );

    dependent.is_up.store(true, Ordering::SeqCst);
    stage.until_count("applied", 120).await;
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, [1, 2, 3]);
    }
    member.until_up().await;
    assert_eq!(stage.count("eventing.breakers").await, 0);
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_stays_open_over_a_restart_and_all_members_together_try_one_record_at_a_time() {
    let stage = Stage::new(quick(unordered())).await;
    let payments: Vec<PaymentNo> = (0..60).map(|_| PaymentNo::generate()).collect();
    let before = Dependent::default();
    send(&stage, &payments, 1..=1).await;
    let mut member = stage.start(before);
    member.until_degraded().await;
    member.stop().await;

    let after = Dependent {
        script: Script::by_unique_key(),
        ..Dependent::default()
    };
    let (mut one, mut two) = (stage.start(after.clone()), stage.start(after.clone()));
    assert!(one.until_degraded().await.contains("breaker"));
    assert!(two.until_degraded().await.contains("breaker"));
    until_failed_probes(&stage, 6).await;
    assert_eq!(after.at_once.load(Ordering::SeqCst), 1, "tried at once");
    let tried = usize::try_from(failed_probes(&stage).await).unwrap() + 1;
    assert!(
        after.asked() <= tried,
        "{} questions, {tried} tries",
        after.asked()
    );

    after.is_up.store(true, Ordering::SeqCst);
    stage.until_count("noted", 60).await;
    one.until_up().await;
    two.until_up().await;
    assert!(stage.letters(0).await.is_empty());
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_records_among_good_ones_never_open_it_however_many_they_are() {
    let mut group = quick(unordered());
    // At one in three, six in a row do come by chance.
    group.breaker.keys = 20;
    let stage = Stage::new(group).await;
    let script = Script::by_unique_key();
    for _ in 0..60 {
        let poison = PaymentNo::generate();
        // All of one fingerprint, and each of them through every tier, where no good one is among them.
        script.on(&poison, 1, &[Act::Retry; 4]);
        stage.send_next(poison, 1).await;
        for _ in 0..2 {
            stage.send_next(PaymentNo::generate(), 1).await;
        }
    }
    let member = stage.start(script);
    let mut condition = member.condition.clone();
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        let open =
            |condition: &Condition| matches!(condition, Condition::Degraded(why) if why.contains("breaker"));
        condition.wait_for(open).await.is_ok()
    });
    assert_eq!(stage.letters(60).await.len(), 60);
    stage.until_count("noted", 120).await;
    member.stop().await;
    let opened = watching.join_next().await.unwrap().unwrap();
    assert!(!opened, "the breaker opened");
}

/// The record that is tried first may be one that never goes right.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_tried_and_is_poison_does_not_keep_the_breaker_open() {
    let stage = Stage::new(quick(ordered()).workers(1)).await;
    let payments: Vec<PaymentNo> = (0..20).map(|_| PaymentNo::generate()).collect();
    let dependent = Dependent::default();
    for payment_no in payments.iter().take(KEYS + 3) {
        dependent.script.on(payment_no, 1, &[Act::RetryPrepare; 2]);
    }
    send(&stage, &payments, 1..=1).await;
    let mut member = stage.start(dependent.clone());
    member.until_degraded().await;
    until_failed_probes(&stage, 1).await;

    dependent.is_up.store(true, Ordering::SeqCst);
    stage.until_count("applied", 20).await;
    member.until_up().await;
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_about_records_themselves_open_nothing() {
    let stage = Stage::new(quick(unordered())).await;
    let script = Script::by_unique_key();
    for _ in 0..30 {
        let dead = PaymentNo::generate();
        script.on(&dead, 1, &[Act::Dead]);
        stage.send_next(dead, 1).await;
    }
    let member = stage.start(script);
    assert_eq!(stage.letters(30).await.len(), 30);
    assert_eq!(stage.count("eventing.breakers").await, 0);
    member.stop().await;
}
