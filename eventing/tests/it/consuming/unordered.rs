use std::time::Duration;

use eventing::Clock;
use jiff::SignedDuration;
use schemas::{DomainEvent as _, PaymentNo};

use super::script::{Act, Script};
use super::stage::{Stage, unordered};
use crate::support::broker::Record;
use crate::support::events;

#[tokio::test(flavor = "multi_thread")]
async fn an_unordered_group_goes_on_with_a_key_whose_event_failed_and_notes_each_event_once() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::Retry]);
    script.on(&payment_no, 2, &[Act::Dead]);
    for sequence in 1..=4 {
        let event = stage.send_next(payment_no, sequence).await;
        if sequence > 2 {
            stage.send(&event).await;
        }
    }
    let member = stage.start(script);
    stage.until_count("noted", 3).await;
    assert_eq!(stage.letters(1).await[0].sequence(), 2);
    assert_eq!(stage.count("eventing.parked").await, 0);
    assert_eq!(stage.count("eventing.watermarks").await, 0);
    member.stop().await;
}

/// No watermark puts them in order: only that one worker has them all.
#[tokio::test(flavor = "multi_thread")]
async fn an_unordered_group_handles_the_events_of_one_key_in_their_order_as_well() {
    let stage = Stage::new(unordered().workers(8)).await;
    let payments = [(); 4].map(|()| PaymentNo::generate());
    let sent: Vec<_> = (1..=100)
        .flat_map(|sequence| payments.map(|payment_no| events::payment(payment_no, sequence)))
        .collect();
    stage.send_all(&sent).await;
    let script = Script::by_unique_key().taking(Duration::from_millis(1));
    let member = stage.start(script.clone());
    stage.until_count("noted", 400).await;
    member.stop().await;
    for payment_no in payments {
        let key = payment_no.to_string();
        let calls = script.calls().into_iter().filter(|call| call.key == key);
        let sequences: Vec<i64> = calls.map(|call| call.sequence).collect();
        assert_eq!(sequences, (1..=100).collect::<Vec<i64>>(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unordered_group_passes_over_what_is_withheld_or_of_an_unknown_type() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let mut newer = events::payment(payment_no, 1);
    newer.event_type = schemas::payment::PaymentEventType::Unknown;
    stage.send(&newer).await;
    stage.send(&events::payment(payment_no, 2).withheld()).await;
    stage.send_next(payment_no, 3).await;

    let script = Script::by_unique_key();
    let member = stage.start(script.clone());
    stage.until_count("noted", 1).await;
    assert_eq!(script.calls().len(), 1);
    member.stop().await;
    assert!(stage.letters(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_older_than_the_rows_that_would_know_it_is_a_dead_letter_and_not_applied_again() {
    let month = Duration::from_hours(30 * 24);
    let mut stage = Stage::new(unordered().rows_kept_for(month)).await;
    stage.clock = Clock::stopped_at(Clock::system().now() + SignedDuration::from_hours(29 * 24));
    let payment_no = PaymentNo::generate();
    let member = stage.start(Script::by_unique_key());
    let event = stage.send_next(payment_no, 1).await;
    stage.until_count("noted", 1).await;

    // Two days later the month is over, and the service has tidied up.
    stage.clock.advance(SignedDuration::from_hours(48));
    sqlx::query("delete from noted")
        .execute(&stage.pool)
        .await
        .unwrap();
    stage.send(&event).await;
    assert_eq!(classes(&stage.letters(1).await), ["behind_horizon"]);
    assert_eq!(stage.count("noted").await, 0);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_sent_again_is_as_old_as_its_event_was() {
    let month = Duration::from_hours(30 * 24);
    let stage = Stage::new(unordered().rows_kept_for(month)).await;
    let member = stage.start(Script::by_unique_key());
    let event = events::payment(PaymentNo::generate(), 1);
    let sent_at = stage.clock.now() - SignedDuration::from_hours(31 * 24);
    stage.send_as_of(&event, sent_at).await;
    assert_eq!(classes(&stage.letters(1).await), ["behind_horizon"]);

    stage.operate(&["replay", "--all"]).await.unwrap();
    assert_eq!(classes(&stage.letters(2).await), ["behind_horizon"; 2]);
    assert_eq!(stage.count("noted").await, 0);
    member.stop().await;
}

fn classes(letters: &[Record]) -> Vec<&str> {
    let classes = letters
        .iter()
        .map(|letter| letter.headers.text("eventing-error-class"));
    classes.map(Option::unwrap).collect()
}

/// PostgreSQL answers COMMIT in a failed transaction with a rollback, and with no error.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_taken_for_applied_when_its_handler_ignored_a_failed_statement() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::SwallowError]);
    stage.send_next(payment_no, 1).await;

    let member = stage.start(script);
    assert_eq!(
        stage.letters(1).await[0].headers.text("eventing-error-class"),
        Some("database")
    );
    assert_eq!(stage.count("noted").await, 0);
    member.stop().await;
}
