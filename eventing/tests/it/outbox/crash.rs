//! A process that dies between any two steps of the relay.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use eventing::outbox::Lane;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use tokio::process::Command;

use crate::support::World;
use crate::support::broker::assert_in_order_without_gap;

/// What a process gets that called `abort`.
const SIGABRT: i32 = 6;

const DATABASE: &str = "EVENTING_TEST_CHILD_DATABASE";
const TOPIC_PREFIX: &str = "EVENTING_TEST_CHILD_TOPIC_PREFIX";

#[tokio::test]
async fn a_relay_that_dies_at_any_step_loses_and_inverts_nothing() {
    for (crash_point, records_expected) in [
        ("relay.produce.before", 30),
        // The first of each of the three aggregates had been sent.
        ("relay.produce.after", 33),
        ("relay.mark.after", 30),
    ] {
        let world = World::new().await;
        let payments = three_of_one_lane();
        for step in 0..30 {
            world.commit(payments[step % payments.len()]).await;
        }

        let died = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "outbox::crash::process_that_dies", "--ignored"])
            .env("CRASH_AT", crash_point)
            .env(DATABASE, &world.database.name)
            .env(TOPIC_PREFIX, &world.kafka.topic_prefix)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .unwrap();
        assert_eq!(died.signal(), Some(SIGABRT), "{crash_point}: {died}");

        let relay = world.start_relay();
        world.until_published().await;
        relay.stop().await;
        let records = world.records(records_expected).await;
        assert_in_order_without_gap(&records);
        let distinct: HashSet<(&str, i64)> = records
            .iter()
            .map(|record| (record.key.as_str(), record.sequence()))
            .collect();
        assert_eq!(
            (distinct.len(), records.len()),
            (30, records_expected),
            "{crash_point}"
        );
    }
}

/// A crash in the middle of one lane's batch says nothing about other lanes, so there is one.
fn three_of_one_lane() -> Vec<PaymentNo> {
    std::iter::repeat_with(PaymentNo::generate)
        .filter(|payment_no| Lane::of(PAYMENTS.name, &payment_no.to_string()).number() == 3)
        .take(3)
        .collect()
}

#[tokio::test]
#[ignore = "it dies; the test above starts it as a process of its own"]
async fn process_that_dies() {
    let world = World::join(
        &std::env::var(DATABASE).unwrap(),
        &std::env::var(TOPIC_PREFIX).unwrap(),
    )
    .await;
    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;
}
