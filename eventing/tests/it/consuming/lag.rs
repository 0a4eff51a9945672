//! How far a group is behind, as operators and alerts see it.

use std::time::Duration;

use eventing::consumer::ConsumerGroup;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use uuid::Uuid;

use super::script::Script;
use super::stage::Stage;
use crate::support::{eventually, metrics};

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_not_completed_are_told_as_lag_until_they_are() {
    metrics::collect();
    let name = format!("group-{}", Uuid::new_v4().simple());
    let group = ConsumerGroup::ordered(&name, [PAYMENTS.name]).tiers([Duration::from_hours(1)]);
    let stage = Stage::new(group).await;
    let payment_no = PaymentNo::generate();
    for sequence in 1..=3 {
        stage.send_next(payment_no, sequence).await;
    }
    let (script, gate) = Script::default().gated();
    let member = stage.start(script);
    // All are on one partition; every other one is empty.
    let lag_is = async |what: &str, records: &str| {
        eventually(what, async || {
            metrics::shows(
                "kafka_consumergroup_lag",
                &[&format!("group=\"{name}\"")],
                records,
            )
        })
        .await;
    };
    lag_is("what waits is told", "3").await;
    gate.add_permits(3);
    stage.until_applied(payment_no, &[1, 2, 3]).await;
    eventually("nothing is behind any more", async || {
        !metrics::shows("kafka_consumergroup_lag", &[&format!("group=\"{name}\"")], "3")
    })
    .await;
    lag_is("the partitions are told as read", "0").await;
    member.stop().await;
}
