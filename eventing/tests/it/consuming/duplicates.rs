//! Events that come again while they, or others of their aggregate, wait.

use schemas::PaymentNo;

use super::script::{Act, Script};
use super::stage::{Stage, ordered};
use crate::support::{events, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_of_a_parked_event_neither_adds_to_what_waits_nor_is_applied_twice() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    let member = stage.start(script.clone());
    stage.send_next(payment_no, 1).await;
    let parked = [2, 3].map(|sequence| events::payment(payment_no, sequence));
    // In turn, out of turn, and after each other.
    for index in [0, 1, 0, 1, 1] {
        stage.send(&parked[index]).await;
    }
    stage.send_next(payment_no, 4).await;
    stage.until_count("eventing.parked", 3).await;

    let replayed = stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[1, 2, 3, 4]).await;
    assert!(!replayed.is_empty());
    // Again, now that they are applied; the fifth shows that those before it were read.
    stage.send(&parked[0]).await;
    stage.send(&parked[1]).await;
    stage.send_next(payment_no, 5).await;
    stage.until_applied(payment_no, &[1, 2, 3, 4, 5]).await;
    eventually("nothing waits", async || {
        stage.count("eventing.parked").await == 0
    })
    .await;
    member.stop().await;
    assert_eq!(stage.letters(1).await.len(), 1);
}

/// A duplicate of the event that failed must not take its place in the order while it is in a tier.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_of_the_failed_event_may_resolve_it_and_then_the_retry_is_the_duplicate() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Retry]);
    let member = stage.start(script);
    let first = stage.send_next(payment_no, 1).await;
    stage.send_next(payment_no, 2).await;
    stage.until_count("eventing.blocks", 1).await;
    stage.send(&first).await;
    stage.until_applied(payment_no, &[1, 2]).await;

    // The retry has come, and was nothing new.
    stage.retried(1, 1).await;
    stage.send_next(payment_no, 3).await;
    stage.until_applied(payment_no, &[1, 2, 3]).await;
    assert!(stage.letters(0).await.is_empty());
    member.stop().await;
}
