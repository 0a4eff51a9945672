use std::collections::HashMap;
use std::time::{Duration, Instant};

use schemas::PaymentNo;

use super::script::{Act, Script};
use super::stage::{Stage, ordered, unordered};
use crate::support::{events, eventually, metrics};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_finishes_and_commits_what_was_begun_so_nothing_is_handled_twice() {
    let stage = Stage::new(unordered()).await;
    for _ in 0..400 {
        stage.send_next(PaymentNo::generate(), 1).await;
    }
    let script = Script::by_unique_key().taking(Duration::from_millis(20));
    for stop_after in [30, 90, 150] {
        let member = stage.start(script.clone());
        eventually("some are handled", async || script.calls().len() >= stop_after).await;
        let began = Instant::now();
        member.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the shutdown took {:?}",
            began.elapsed()
        );
    }
    let member = stage.start(script.clone());
    stage.until_count("noted", 400).await;
    member.stop().await;
    assert_eq!(script.calls().len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_ever_and_gives_back_what_it_abandons() {
    let group = unordered()
        .drain_deadline(Duration::from_millis(300))
        .handler_deadline(Duration::from_mins(2));
    let stage = Stage::new(group).await;
    stage.send_next(PaymentNo::generate(), 1).await;
    let (script, gate) = Script::by_unique_key().gated();
    let member = stage.start(script.clone());
    eventually("the event is being handled", async || script.calls().len() == 1).await;
    let began = Instant::now();
    member.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the shutdown took {:?}",
        began.elapsed()
    );
    assert_eq!(stage.count("noted").await, 0);

    gate.add_permits(1);
    let member = stage.start(script);
    stage.until_count("noted", 1).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_join_leave_and_die_under_load_lose_nothing_and_apply_nothing_twice() {
    let mut group = ordered();
    group.workers = 4;
    let stage = Stage::new(group).await;
    let payments: Vec<PaymentNo> = (0..40).map(|_| PaymentNo::generate()).collect();
    let script = Script::default().taking(Duration::from_millis(2));

    let first = stage.start(script.clone());
    let sending = async {
        for sequence in 1..=30 {
            for payment_no in &payments {
                stage.send_next(*payment_no, sequence).await;
            }
        }
    };
    let changing = async {
        let at = async |count: i64| {
            eventually("some events are applied", async || {
                stage.count("applied").await >= count
            })
            .await;
        };
        at(50).await;
        let second = stage.start(script.clone());
        at(300).await;
        let third = stage.start(script.clone());
        at(500).await;
        first.stop().await;
        at(700).await;
        drop(second);
        at(900).await;
        third
    };
    let ((), third) = tokio::join!(sending, changing);
    stage.until_count("applied", 1_200).await;

    let mut applied: HashMap<String, Vec<i64>> = HashMap::new();
    for (key, sequence) in stage.applied().await {
        applied.entry(key).or_default().push(sequence);
    }
    let expected: Vec<i64> = (1..=30).collect();
    assert!(applied.values().all(|sequences| *sequences == expected));
    assert!(stage.letters(0).await.is_empty());
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_reads_no_more_than_it_may_have_in_hand_while_its_handler_is_slow() {
    metrics::collect();
    let mut group = unordered().workers(2).batch(10);
    group.name = "hands".into();
    let stage = Stage::new(group).await;
    let sent: Vec<_> = (0..2_000)
        .map(|_| events::payment(PaymentNo::generate(), 1))
        .collect();
    stage.send_all(&sent).await;
    let (slow, gate) = Script::by_unique_key().gated();
    let member = stage.start(slow);

    // Three batches for each worker, and what is taken in at once.
    let bound = 2 * 10 * 3 + 100;
    let in_hand = || metrics::value("eventing_in_hand_records", &["group=\"hands\""]).unwrap_or(0.0);
    eventually("its hands are full", async || in_hand() >= 60.0).await;
    let full_since = Instant::now();
    eventually("they have been for long", async || {
        assert!(in_hand() <= f64::from(bound), "{} records are in hand", in_hand());
        full_since.elapsed() > Duration::from_secs(3)
    })
    .await;

    gate.add_permits(10_000);
    stage.until_count("noted", 2_000).await;
    member.stop().await;
}

/// Kafka's client remembers what it was told to pause, also when the partition has gone away and come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_goes_to_another_member_while_it_waits_and_comes_back_is_read_again() {
    let stage = Stage::new(ordered().tiers([Duration::from_secs(30)])).await;
    // On every partition of the tier, and fewer than open a breaker.
    let payments: Vec<_> = (0..15).map(|_| PaymentNo::generate()).collect();
    let script = Script::default();
    let first = stage.start(script.clone());
    let tier = stage.kafka.topic(&stage.group.retry_topic(1)).into_owned();
    let with_tier = async || {
        let joined = stage.joined().await.into_iter();
        joined.filter(|client| client.has(&tier)).count()
    };
    eventually("the first one has the tier", async || with_tier().await == 1).await;
    for payment_no in &payments {
        script.on(payment_no, 1, &[Act::Retry]);
        stage.send_next(*payment_no, 1).await;
    }
    stage.retried(1, payments.len()).await;

    let second = stage.start(script);
    eventually("the second one has a part of it", async || with_tier().await == 2).await;
    assert_eq!(stage.count("applied").await, 0, "the tier still waits");
    second.stop().await;
    for payment_no in payments {
        stage.until_applied(payment_no, &[1]).await;
    }
    first.stop().await;
}
