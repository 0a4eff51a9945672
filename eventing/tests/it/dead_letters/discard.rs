use schemas::PaymentNo;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_discarded_letter_goes_on_without_it() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 2, &[Act::Dead]);
    script.on(&payment_no, 4, &[Act::Dead]);
    for sequence in 1..=6 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    stage.letters(1).await;
    stage.until_count("eventing.parked", 4).await;

    let said = stage
        .operate(&["discard", "--key", &payment_no.to_string()])
        .await
        .unwrap();
    assert!(said.contains("discarded"), "{said}");
    stage.until_applied(payment_no, &[1, 3]).await;

    // The drain met another letter, which stops the key again.
    stage.letters(2).await;
    eventually("the others wait", async || {
        stage.count("eventing.parked").await == 2
    })
    .await;
    stage.operate(&["discard", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[1, 3, 5, 6]).await;
    stage.until_count("eventing.parked", 0).await;
    assert!(
        stage
            .listed()
            .await
            .iter()
            .all(|letter| letter["state"] == "discarded")
    );

    let id = stage.listed().await[0]["id"].as_str().unwrap().to_owned();
    let refused = stage.operate(&["replay", &id]).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with(&format!("letter {id} was discarded by job ")),
        "{refused}"
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_many_aggregates_are_discarded_and_what_waits_behind_each_goes_on() {
    const AGGREGATES: i64 = 120;
    let stage = Stage::new(ordered()).await;
    let script = Script::default();
    for _ in 0..AGGREGATES {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        for sequence in 1..=2 {
            stage.send_next(payment_no, sequence).await;
        }
    }
    let member = stage.start(script);
    stage.until_count("eventing.parked", AGGREGATES).await;
    stage.letters(usize::try_from(AGGREGATES).unwrap()).await;

    let said = stage.operate(&["discard", "--all"]).await.unwrap();
    assert!(said.contains("120 of 120 letters discarded"), "{said}");
    stage.until_count("applied", AGGREGATES).await;
    assert!(stage.applied().await.iter().all(|(_, sequence)| *sequence == 2));
    stage.until_count("eventing.parked", 0).await;
    member.stop().await;
}

/// An event that cannot be decoded is dead before it is its turn; giving it up holds until its turn comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_discarded_before_its_turn_is_passed_over_when_it_comes() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    let member = stage.start(script);
    stage.send_next(payment_no, 1).await;
    let mut broken = crate::support::events::payment(payment_no, 2);
    broken.order_no = "order-2".into();
    let mut value = stage.framed(&broken);
    value.truncate(30);
    stage.send_cloud_event(&broken, &value).await;
    stage.send_next(payment_no, 3).await;
    stage.letters(2).await;
    stage.until_count("eventing.parked", 1).await;

    let listed = stage.listed().await;
    let undecodable = listed
        .iter()
        .find(|letter| letter["error_class"] == "undecodable")
        .unwrap();
    stage
        .operate(&["discard", undecodable["id"].as_str().unwrap()])
        .await
        .unwrap();
    assert!(stage.applied_of(payment_no).await.is_empty());
    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[1, 3]).await;
    stage.until_count("eventing.parked", 0).await;
    member.stop().await;
}
