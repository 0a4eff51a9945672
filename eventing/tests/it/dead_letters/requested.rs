use eventing::dead_letters::{Source, append};
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;

use crate::consuming::script::Script;
use crate::consuming::stage::{Stage, unordered};

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_event_becomes_a_letter_when_its_work_fails_later_and_can_be_replayed() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let event = stage.send_next(payment_no, 1).await;
    let script = Script::by_unique_key();
    let member = stage.start(script.clone());
    stage.until_count("noted", 1).await;
    let call = script.calls().remove(0);
    let source = Source {
        topic: PAYMENTS.name.into(),
        partition: call.partition,
        offset: call.offset,
    };

    let mut rolled_back = stage.pool.begin().await.unwrap();
    append(
        &mut rolled_back,
        "group",
        &source,
        "never_happened",
        "rolled back",
    )
    .await
    .unwrap();
    rolled_back.rollback().await.unwrap();
    let mut tx = stage.pool.begin().await.unwrap();
    append(
        &mut tx,
        "group",
        &source,
        "delivery_failed",
        "given up after 5 attempts",
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();

    let letters = stage.letters(1).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, stage.framed(&event));
    assert_eq!(
        letters[0].headers.text("eventing-error-class"),
        Some("delivery_failed")
    );
    stage.until_count("eventing.dead_letter_requests", 0).await;

    stage.operate(&["replay", "--all"]).await.unwrap();
    crate::support::eventually("it is delivered again", async || script.calls().len() == 2).await;
    assert!(script.calls()[1].replay.is_some());
    member.stop().await;
}
