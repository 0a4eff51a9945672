//! A member that dies between any two steps.

use eventing::consumer::Consumer;
use schemas::PaymentNo;

use super::process::{self, Process};
use super::script::{Act, Script};
use super::stage::{Stage, ordered};

/// The events of one aggregate that fail once: the first, and those that are then drained. If the first is read again, because the
/// group rebalances, and is applied thereby, the third takes its part and the fourth is drained.
const FAILING: [i64; 3] = [1, 3, 4];

/// Not a test of its own: the process that dies. The tests below start it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the crash tests as a process of its own"]
async fn dying_member() {
    let script = Script::default();
    let fails_once = std::env::var("FAILS_ONCE").unwrap();
    for sequence in FAILING {
        script.on(&fails_once, sequence, &[Act::Retry]);
    }
    let consumer = Consumer::new(ordered(), script, process::resources().await);
    consumer.run(process::until_asked_to_leave()).await.unwrap();
}

/// Runs a member that dies at a step, and then one that does not.
async fn survives(crash_at: &'static str) {
    let stage = Stage::new(ordered()).await;
    let (failing, other) = (PaymentNo::generate(), PaymentNo::generate());
    for sequence in 1..=4 {
        stage.send_next(failing, sequence).await;
        stage.send_next(other, sequence).await;
    }
    die(&stage, crash_at, &failing.to_string()).await;

    let script = Script::default();
    for sequence in FAILING {
        script.on(&failing, sequence, &[Act::Retry]);
    }
    let member = stage.start(script);
    stage.until_applied(failing, &[1, 2, 3, 4]).await;
    stage.until_applied(other, &[1, 2, 3, 4]).await;
    stage.until_count("eventing.parked", 0).await;
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}

async fn die(stage: &Stage, crash_at: &'static str, fails_once: &str) {
    let variables = [("CRASH_AT", crash_at), ("FAILS_ONCE", fails_once)];
    let dying = Process::start(stage, "consuming::crash::dying_member", &variables);
    let said = dying.until_dead().await;
    assert!(
        said.contains(&format!("crash point {crash_at} reached")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_before_the_commit_of_an_event_applies_it_once() {
    survives("consumer.apply.before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_commit_of_an_event_and_its_offset_applies_it_once() {
    survives("consumer.apply.after_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_the_commit_of_an_offset_loses_nothing() {
    survives("consumer.offset.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_the_block_of_a_failed_event_and_its_way_to_a_tier_loses_nothing() {
    survives("consumer.block.after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_a_failed_event_was_sent_to_a_tier_applies_it_once() {
    survives("consumer.fail.sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_after_a_drained_event_was_sent_to_a_tier_and_is_still_parked_applies_it_once() {
    survives("consumer.unpark.before").await;
}
