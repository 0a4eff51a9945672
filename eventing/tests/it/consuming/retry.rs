use std::time::Duration;

use eventing::Clock;
use jiff::{SignedDuration, Timestamp};
use schemas::PaymentNo;

use super::script::{Act, Script};
use super::stage::{Stage, ordered, unordered};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_its_time_and_holds_up_no_other_tier() {
    let mut stage = Stage::new(unordered().tiers([Duration::from_secs(10), Duration::from_secs(100)])).await;
    stage.clock = Clock::stopped_at(Timestamp::from_second(1_800_000_000).unwrap());
    let (once, twice) = (PaymentNo::generate(), PaymentNo::generate());
    let script = Script::by_unique_key();
    script.on(&once, 1, &[Act::Retry]);
    script.on(&twice, 1, &[Act::Retry, Act::Retry]);
    let member = stage.start(script.clone());

    stage.send_next(twice, 1).await;
    assert_due(&stage, 1, 1, 10).await;
    stage.clock.advance(SignedDuration::from_secs(12));
    assert_due(&stage, 2, 1, 100).await;

    // The second tier's head is due in 100 s; a later record of the first tier is not behind it.
    stage.send_next(once, 1).await;
    assert_due(&stage, 1, 2, 10).await;
    stage.clock.advance(SignedDuration::from_secs(9));
    until_read(&stage, 1, 2).await;
    assert_eq!(stage.count("noted").await, 0, "9 s are less than 10 s");
    stage.clock.advance(SignedDuration::from_secs(3));
    stage.until_count("noted", 1).await;

    stage.clock.advance(SignedDuration::from_secs(120));
    stage.until_count("noted", 2).await;
    assert_eq!(script.calls().len(), 6, "three, two, and the probe");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_its_time_also_over_a_restart_and_a_rebalance() {
    let mut stage = Stage::new(unordered().tiers([Duration::from_secs(10)])).await;
    stage.clock = Clock::stopped_at(Timestamp::from_second(1_800_000_000).unwrap());
    let script = Script::by_unique_key();
    for _ in 0..6 {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Retry]);
        stage.send_next(payment_no, 1).await;
    }
    let member = stage.start(script.clone());
    assert_eq!(stage.retried(1, 6).await.len(), 6);
    eventually("all were tried once", async || script.calls().len() == 6).await;
    member.stop().await;

    let first = stage.start(script.clone());
    stage.clock.advance(SignedDuration::from_secs(9));
    until_read(&stage, 1, 6).await;
    let second = stage.start(script.clone());
    until_read(&stage, 1, 6).await;
    assert_eq!(script.calls().len(), 8, "none but the probes before its time");
    first.stop().await;

    stage.clock.advance(SignedDuration::from_secs(3));
    stage.until_count("noted", 6).await;
    assert_eq!(script.calls().len(), 14, "each was tried once more");
    assert!(stage.letters(0).await.is_empty());
    second.stop().await;
}

/// The newest record of a tier is due after the tier's delay, and at most a fifth later.
async fn assert_due(stage: &Stage, tier: u32, count: usize, delay_seconds: i64) {
    let mut due: Vec<Timestamp> = stage
        .retried(tier, count)
        .await
        .iter()
        .map(|record| {
            record
                .headers
                .text("eventing-not-before")
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    due.sort();
    let wait = due.last().unwrap().duration_since(stage.clock.now()).as_secs();
    assert!(
        (delay_seconds..=delay_seconds * 6 / 5).contains(&wait),
        "due in {wait} s"
    );
}

/// Waits until the group has nothing of a tier left to read: it would have applied what is due.
async fn until_read(stage: &Stage, tier: u32, records: usize) {
    assert_eq!(stage.retried(tier, records).await.len(), records);
    // A record on the domain topic behind it is handled within this time.
    let probe = PaymentNo::generate();
    stage.send_next(probe, 1).await;
    stage.until_count("noted", 1).await;
    sqlx::query("delete from noted")
        .execute(&stage.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_tier_an_event_is_a_dead_letter_that_tells_its_whole_story() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(
        &payment_no,
        1,
        &[Act::Retry, Act::RetryPrepare, Act::Hang, Act::Panic],
    );
    let event = stage.send_next(payment_no, 1).await;
    let member = stage.start(script);

    let letters = stage.letters(1).await;
    let letter = &letters[0];
    assert_eq!(letter.value, stage.framed(&event));
    assert_eq!(letter.key, payment_no.to_string());
    let text = |name| letter.headers.text(name).unwrap_or_default();
    assert_eq!(text("ce_id"), event.event_id.to_string());
    assert_eq!(
        text("traceparent"),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    );
    assert_eq!(text("eventing-original-topic"), "payments.payment.v1");
    assert_eq!(text("eventing-original-offset"), "0");
    assert_eq!(text("eventing-group"), "group");
    assert_eq!(text("eventing-attempt"), "4");
    assert_eq!(text("eventing-error-class"), "panic");
    assert_eq!(
        text("eventing-message"),
        "the handler panicked: a handler's mistake"
    );
    assert_eq!(text("eventing-not-before"), "");
    let story: Vec<Vec<&str>> = text("eventing-history")
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let classes: Vec<(&str, &str, &str)> = story
        .iter()
        .map(|attempt| (attempt[0], attempt[2], attempt[3]))
        .collect();
    assert_eq!(
        classes,
        [
            ("1", "0", "retry"),
            ("2", "1", "no_answer"),
            ("3", "2", "deadline"),
            ("4", "3", "panic")
        ]
    );
    assert_eq!(text("eventing-first-failed-at"), story[0][1]);
    assert_eq!(
        stage.count("applied").await,
        0,
        "what a failed attempt wrote is rolled back"
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_handler_that_never_returns_do_not_take_the_group_along() {
    let stage = Stage::new(
        unordered()
            .workers(1)
            .handler_deadline(Duration::from_millis(500)),
    )
    .await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::Panic]);
    script.on(&payment_no, 2, &[Act::Hang]);
    for sequence in 1..=3 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    stage.until_count("noted", 2).await;
    assert_eq!(stage.letters(1).await[0].sequence(), 1);
    assert_eq!(
        stage.retried(1, 1).await[0].headers.text("eventing-error-class"),
        Some("deadline")
    );
    eventually("the worker is free again", async || {
        stage.count("noted").await == 2
    })
    .await;
    member.stop().await;
}
