use schemas::PaymentNo;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered, unordered};

#[tokio::test(flavor = "multi_thread")]
async fn an_undone_discard_holds_its_aggregate_back_again_until_it_is_replayed() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script);
    stage.letters(1).await;
    let id = stage.listed().await[0]["id"].as_str().unwrap().to_owned();
    stage.operate(&["discard", &id]).await.unwrap();

    let said = stage.operate(&["undo", &id]).await.unwrap();
    assert_eq!(said, format!("new again: {id}\n"));
    assert_eq!(stage.listed().await[0]["state"], "new");
    stage.send_next(payment_no, 2).await;
    stage.until_count("eventing.parked", 1).await;
    assert!(stage.applied_of(payment_no).await.is_empty());

    stage.operate(&["replay", &id]).await.unwrap();
    stage.until_applied(payment_no, &[1, 2]).await;
    let refused = stage.operate(&["undo", &id]).await.unwrap_err();
    assert!(refused.to_string().contains("was replayed"), "{refused}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_after_a_later_event_was_applied_is_refused_with_that_reason() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    stage.send_next(payment_no, 2).await;
    let member = stage.start(script);
    stage.letters(1).await;
    stage.until_count("eventing.parked", 1).await;
    stage.operate(&["discard", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[2]).await;

    let job = stage.only_job().await.to_string();
    let refused = stage.operate(&["undo", "--job", &job]).await.unwrap_err();
    let reason =
        format!("its sequence 1 of {payment_no} stays passed over, because sequence 2 was applied since");
    assert!(refused.to_string().ends_with(&reason), "{refused}");
    assert_eq!(stage.listed().await[0]["state"], "discarded");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_in_an_unordered_group_is_possible_at_any_time_and_audited() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script);
    stage.letters(1).await;
    stage.operate(&["discard", "--all"]).await.unwrap();
    let job = stage.only_job().await.to_string();
    stage.operate(&["undo", "--job", &job]).await.unwrap();
    let twice = stage.operate(&["undo", "--job", &job]).await.unwrap_err();
    assert!(twice.to_string().contains("is discarded any more"), "{twice}");

    let audit = stage.dead_letters(&["audit"]).await.unwrap();
    assert!(audit.contains("undo") && audit.contains("alice"), "{audit}");
    let id = stage.listed().await[0]["id"].as_str().unwrap().to_owned();
    let shown = stage.dead_letters(&["show", &id]).await.unwrap();
    assert!(shown.contains("outcome undone"), "{shown}");
    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_count("noted", 1).await;
    member.stop().await;
}

/// While nobody serves, nothing can follow the discarded event, so the discard can still be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_undone_discard_of_the_event_for_which_others_wait_holds_them_back_again() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    for sequence in 1..=3 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script.clone());
    stage.letters(1).await;
    stage.until_count("eventing.parked", 2).await;
    member.stop().await;

    let said = stage.operate(&["discard", "--all"]).await.unwrap();
    assert!(said.contains("1 of 1 letters discarded"), "{said}");
    let job = stage.only_job().await.to_string();
    let said = stage.operate(&["undo", "--job", &job]).await.unwrap();
    assert!(said.starts_with("new again: "), "{said}");

    let member = stage.start(script);
    // Another key's event, sent later, is through: these had their chance.
    let other = PaymentNo::generate();
    for sequence in 1..=20 {
        stage.send_next(other, sequence).await;
    }
    stage.until_applied(other, &(1..=20).collect::<Vec<_>>()).await;
    assert!(stage.applied_of(payment_no).await.is_empty());
    assert_eq!(stage.count("eventing.parked").await, 2);

    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[1, 2, 3]).await;
    stage.until_count("eventing.parked", 0).await;
    member.stop().await;
}
