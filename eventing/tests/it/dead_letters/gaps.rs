use eventing::dead_letters::Error;
use schemas::PaymentNo;
use serde_json::Value;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered};

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_shown_and_once_it_is_accepted_what_waits_behind_it_goes_on() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    for sequence in [1, 4, 5] {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(Script::default());
    stage.until_applied(payment_no, &[1]).await;
    stage.until_count("eventing.parked", 2).await;

    let gaps = stage.dead_letters(&["gaps", "--json"]).await.unwrap();
    let gaps: Value = serde_json::from_str(&gaps).unwrap();
    assert_eq!(gaps[0]["key"], payment_no.to_string());
    assert_eq!(
        (
            &gaps[0]["first_missing"],
            &gaps[0]["last_missing"],
            &gaps[0]["parked"]
        ),
        (&2.into(), &3.into(), &2.into())
    );
    let table = stage.dead_letters(&["gaps"]).await.unwrap();
    assert!(table.contains(&payment_no.to_string()), "{table}");

    let key = payment_no.to_string();
    let said = stage.operate(&["accept", &key]).await.unwrap();
    assert_eq!(said, format!("{key} goes on without 2–3\n"));
    stage.until_applied(payment_no, &[1, 4, 5]).await;
    stage.until_count("eventing.parked", 0).await;
    let audit = stage.dead_letters(&["audit"]).await.unwrap();
    for word in ["accept", "alice", "a test", &key] {
        assert!(audit.contains(word), "{audit}");
    }

    let nothing = stage.operate(&["accept", &key]).await.unwrap_err();
    assert!(
        matches!(&nothing, Error::NotFound(reason) if reason.contains("waits for nothing")),
        "{nothing}"
    );
    // What was given up and comes after all is late.
    stage.send_next(payment_no, 2).await;
    stage.send_next(payment_no, 6).await;
    stage.until_applied(payment_no, &[1, 4, 5, 6]).await;
    member.stop().await;
}

/// Behind a dead letter nothing is missing: it is to be replayed or discarded.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_dead_letter_is_no_gap() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 2, &[Act::Dead]);
    for sequence in 1..=3 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script);
    stage.letters(1).await;
    stage.until_count("eventing.parked", 1).await;

    let gaps = stage.dead_letters(&["gaps", "--json"]).await.unwrap();
    assert_eq!(gaps.trim(), "[]");
    let key = payment_no.to_string();
    let refused = stage.operate(&["accept", &key]).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound(_)), "{refused}");
    assert_eq!(stage.applied_of(payment_no).await, [1]);
    assert_eq!(stage.count("eventing.dead_letter_audit").await, 0);
    member.stop().await;
}
