use schemas::DomainEvent as _;
use schemas::PaymentNo;

use super::script::{Act, Script};
use super::stage::{Stage, ordered};
use crate::support::{events, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_applied_once_in_the_order_of_its_aggregate_however_often_it_is_on_the_topic() {
    let stage = Stage::new(ordered()).await;
    let payments: Vec<PaymentNo> = (0..20).map(|_| PaymentNo::generate()).collect();
    for sequence in 1..=5 {
        for payment_no in &payments {
            let event = stage.send_next(*payment_no, sequence).await;
            stage.send(&event).await;
        }
    }
    let member = stage.start(Script::default());
    stage.until_count("applied", 100).await;
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, [1, 2, 3, 4, 5]);
    }
    member.stop().await;
    assert!(stage.letters(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn later_events_of_a_key_wait_for_one_that_is_tried_again_while_other_keys_go_on() {
    let stage = Stage::new(ordered()).await;
    let (failing, other) = (PaymentNo::generate(), PaymentNo::generate());
    let script = Script::default();
    script.on(&failing, 2, &[Act::Retry, Act::RetryPrepare]);
    for sequence in 1..=5 {
        stage.send_next(failing, sequence).await;
    }
    stage.send_next(other, 1).await;

    let member = stage.start(script.clone());
    stage.until_applied(failing, &[1, 2, 3, 4, 5]).await;
    assert_eq!(stage.applied_of(other).await, [1]);
    assert_eq!(stage.count("eventing.parked").await, 0);
    assert_eq!(stage.retried(1, 1).await.len(), 1);
    assert_eq!(stage.retried(2, 1).await.len(), 1);
    assert!(stage.letters(0).await.is_empty());

    let attempts: Vec<u32> = script
        .calls()
        .iter()
        .filter(|call| call.sequence == 2)
        .map(|call| call.attempt)
        .collect();
    assert_eq!(attempts, [1, 3], "the second attempt failed in prepare");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_holds_back_its_own_key_only() {
    let stage = Stage::new(ordered()).await;
    let (dead, other) = (PaymentNo::generate(), PaymentNo::generate());
    let script = Script::default();
    script.on(&dead, 2, &[Act::Dead]);
    for sequence in 1..=4 {
        stage.send_next(dead, sequence).await;
        stage.send_next(other, sequence).await;
    }
    let member = stage.start(script);
    stage.until_applied(other, &[1, 2, 3, 4]).await;
    stage.until_count("eventing.parked", 2).await;
    assert_eq!(stage.applied_of(dead).await, [1]);
    assert_eq!(stage.letters(1).await.len(), 1);
    member.stop().await;
}

/// The second one may be a replay, and whoever sent it has to learn whether it was applied.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_twice_in_a_batch_is_no_duplicate_when_the_first_one_fails() {
    let stage = Stage::new(ordered().workers(1)).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 2, &[Act::Dead]);
    let second = events::payment(payment_no, 2);
    stage
        .send_all(&[events::payment(payment_no, 1), second.clone(), second])
        .await;
    // The first batch takes up one event, the second one both of the others.
    let member = stage.start(script);
    stage.until_applied(payment_no, &[1, 2]).await;
    assert_eq!(stage.letters(1).await.len(), 1);
    member.stop().await;
}

/// The moment in which an event is unblocked is the one in which a newer one must not overtake those that are parked.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_what_is_parked_while_it_is_unblocked() {
    let stage = Stage::new(ordered().tiers([std::time::Duration::from_millis(50)])).await;
    let script = Script::default();
    let payments: Vec<PaymentNo> = (0..10).map(|_| PaymentNo::generate()).collect();
    for payment_no in &payments {
        for sequence in [1, 7, 13, 19] {
            script.on(payment_no, sequence, &[Act::Retry]);
        }
    }
    let one = stage.start(script.clone());
    let two = stage.start(script);
    for sequence in 1..=25 {
        for payment_no in &payments {
            stage.send_next(*payment_no, sequence).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stage.until_count("applied", 250).await;
    let expected: Vec<i64> = (1..=25).collect();
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, expected);
    }
    stage.until_count("eventing.parked", 0).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_while_it_is_drained_goes_to_a_tier_like_any_other() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Retry]);
    script.on(&payment_no, 3, &[Act::Retry, Act::Retry, Act::Retry, Act::Retry]);
    for sequence in 1..=5 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    let letters = stage.letters(1).await;
    assert_eq!(letters[0].sequence(), 3);
    assert_eq!(letters[0].headers.text("eventing-attempt"), Some("4"));
    assert_eq!(stage.applied_of(payment_no).await, [1, 2]);
    assert_eq!(stage.count("eventing.parked").await, 2);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_whose_turn_has_come_is_drained_though_nobody_resolved_the_one_before_it_here() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    for sequence in 1..=4 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    stage.until_count("eventing.parked", 3).await;

    // As a member leaves it behind that dies right after it has applied the first event.
    sqlx::query("update eventing.watermarks set last_sequence = 1, drain_due_at = now()")
        .execute(&stage.pool)
        .await
        .unwrap();
    stage.until_applied(payment_no, &[2, 3, 4]).await;
    stage.until_count("eventing.parked", 0).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_event_is_passed_over_and_an_unknown_one_stops_its_key() {
    let stage = Stage::new(ordered()).await;
    let (withheld, unknown) = (PaymentNo::generate(), PaymentNo::generate());
    stage.send_next(withheld, 1).await;
    stage.send(&events::payment(withheld, 2).withheld()).await;
    stage.send_next(withheld, 3).await;
    let mut newer = events::payment(unknown, 1);
    newer.event_type = schemas::payment::PaymentEventType::Unknown;
    stage.send(&newer).await;
    stage.send_next(unknown, 2).await;

    let member = stage.start(Script::default());
    stage.until_applied(withheld, &[1, 3]).await;
    let letters = stage.letters(1).await;
    assert_eq!(
        letters[0].headers.text("eventing-error-class"),
        Some("unknown_event_type")
    );
    eventually("the event behind the unknown one waits", async || {
        stage.count("eventing.parked").await == 1
    })
    .await;
    assert!(stage.applied_of(unknown).await.is_empty());
    member.stop().await;
}
