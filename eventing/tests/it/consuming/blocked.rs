//! What holds aggregates back, and how that is seen.

use std::time::Duration;

use eventing::consumer::ConsumerGroup;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use uuid::Uuid;

use super::script::{Act, Script};
use super::stage::Stage;
use crate::support::{eventually, metrics};

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_that_wait_are_counted_by_what_they_wait_for() {
    metrics::collect();
    let name = format!("group-{}", Uuid::new_v4().simple());
    let group = ConsumerGroup::ordered(&name, [PAYMENTS.name]).tiers([Duration::from_hours(1)]);
    let stage = Stage::new(group).await;
    let script = Script::default();
    let [retried, dead, gap, alone] = [(); 4].map(|()| PaymentNo::generate());
    script.on(&retried, 1, &[Act::Retry]);
    script.on(&dead, 2, &[Act::Dead]);
    script.on(&alone, 1, &[Act::Dead]);
    for (payment_no, sequences) in [
        (retried, &[1, 2][..]),
        (dead, &[1, 2, 3]),
        (gap, &[1, 3, 4]),
        (alone, &[1]),
    ] {
        for sequence in sequences {
            stage.send_next(payment_no, *sequence).await;
        }
    }
    let member = stage.start(script);
    stage.until_count("eventing.parked", 4).await;
    stage.until_count("eventing.blocks", 3).await;

    let group = format!("group=\"{name}\"");
    for (reason, count) in [("retry", "1"), ("dead_letter", "2"), ("gap", "1")] {
        let reason = format!("reason=\"{reason}\"");
        eventually(&format!("{reason} is shown as {count}"), async || {
            metrics::shows("eventing_blocked_keys", &[&group, &reason], count)
        })
        .await;
    }
    eventually("parked events are counted", async || {
        metrics::shows("eventing_parked_events", &[&group], "4")
    })
    .await;

    // Resolved, it is counted no more.
    stage.send_next(gap, 2).await;
    stage.until_applied(gap, &[1, 2, 3, 4]).await;
    eventually("the gap is shown no more", async || {
        metrics::shows("eventing_blocked_keys", &[&group, "reason=\"gap\""], "0")
    })
    .await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_held_an_aggregate_back_is_forgotten_once_it_is_resolved() {
    let stage = Stage::new(super::stage::ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Retry]);
    for sequence in 1..=3 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    stage.until_applied(payment_no, &[1, 2, 3]).await;
    eventually("no block is left", async || {
        stage.count("eventing.blocks").await == 0
    })
    .await;
    member.stop().await;
}
