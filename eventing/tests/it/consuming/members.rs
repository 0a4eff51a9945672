//! Members that are processes, and come and go under load.

use std::collections::HashMap;
use std::time::Duration;

use eventing::consumer::{Consumer, ConsumerGroup};
use schemas::PaymentNo;

use super::process::{self, Process};
use super::script::Script;
use super::stage::{Stage, ordered};
use crate::support::{events, eventually};

const PAYMENTS: usize = 40;
const EVENTS: i64 = 30;

fn group() -> ConsumerGroup {
    ordered().workers(4)
}

/// Not a test of its own: the processes of the test below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test of the members as a process of its own"]
async fn member() {
    let script = Script::default().taking(Duration::from_millis(30));
    let consumer = Consumer::new(group(), script, process::resources().await);
    consumer.run(process::until_asked_to_leave()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_join_leave_and_are_killed_under_load_lose_nothing_and_apply_nothing_twice() {
    let stage = Stage::new(group()).await;
    let payments: Vec<PaymentNo> = (0..PAYMENTS).map(|_| PaymentNo::generate()).collect();
    let start = || Process::start(&stage, "consuming::members::member", &[]);
    let at = async |count: i64| {
        eventually("so many events are applied", async || {
            stage.count("applied").await >= count
        })
        .await;
    };
    let sending = async {
        for sequence in 1..=EVENTS {
            let round: Vec<_> = payments
                .iter()
                .map(|payment_no| events::payment(*payment_no, sequence))
                .collect();
            stage.send_all(&round).await;
            // There is load until the end, and so much of it that who is killed has seconds of work in hand: more than lies between
            // two commits of offsets, so that what was committed too early is lost.
            at((sequence - 12) * 40).await;
        }
    };
    let changing = async {
        let mut first = start();
        at(100).await;
        let second = start();
        let mut third = start();
        at(300).await;
        first.kill();
        at(600).await;
        second.leave().await;
        let fourth = start();
        at(800).await;
        third.kill();
        fourth
    };
    let ((), last) = tokio::join!(sending, changing);
    let all = i64::try_from(PAYMENTS).unwrap() * EVENTS;
    stage.until_count("applied", all).await;

    let mut applied: HashMap<String, Vec<i64>> = HashMap::new();
    for (key, sequence) in stage.applied().await {
        applied.entry(key).or_default().push(sequence);
    }
    let expected: Vec<i64> = (1..=EVENTS).collect();
    for (key, sequences) in applied {
        assert_eq!(sequences, expected, "{key}");
    }
    stage.until_count("eventing.parked", 0).await;
    assert!(stage.letters(0).await.is_empty());
    last.leave().await;
}
