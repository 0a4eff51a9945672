use eventing::dead_letters::{Selection, rehearsal};
use schemas::PaymentNo;
use serde_json::Value;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered, unordered};

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_says_how_many_would_pass_now_and_changes_nothing() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    let payments: Vec<PaymentNo> = (0..3).map(|_| PaymentNo::generate()).collect();
    for payment_no in &payments {
        script.on(payment_no, 1, &[Act::Dead]);
        stage.send_next(*payment_no, 1).await;
    }
    let member = stage.start(script.clone());
    stage.letters(3).await;
    member.stop().await;

    // The next handler can do two of them.
    script.on(&payments[0], 1, &[Act::Dead]);
    let rehearsal = rehearsal(&stage.group, script.clone(), &stage.resources());
    stage.desk().refresh().await.unwrap();
    let preflight = stage
        .desk()
        .preflight(&Selection::all(), &*rehearsal)
        .await
        .unwrap();
    assert_eq!((preflight.letters, preflight.pass), (3, 2), "{preflight:?}");
    let dead = preflight
        .outcomes
        .iter()
        .find(|outcome| outcome.outcome == "dead")
        .unwrap();
    assert_eq!((dead.letters, dead.error_class.as_deref()), (1, Some("never")));
    let refused = stage.dead_letters(&["preflight", "--all"]).await.unwrap_err();
    assert!(
        refused.to_string().contains("cannot try the handler"),
        "{refused}"
    );
    // Whoever types it reads the same.
    script.on(&payments[0], 1, &[Act::Dead]);
    let said = stage
        .dead_letters_with(&[rehearsal], &["preflight", "--all", "--json"])
        .await
        .unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["letters"], &said["pass"]),
        (&3.into(), &2.into()),
        "{said}"
    );
    assert_eq!(stage.count("noted").await, 0, "nothing is kept");
    assert_eq!(stage.count("eventing.replay_claims").await, 0);
    assert!(stage.listed().await.iter().all(|letter| letter["state"] == "new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_an_ordered_group_tries_a_keys_letters_in_sequence() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    // The second one is a letter as well, because it cannot be decoded.
    let mut broken = crate::support::events::payment(payment_no, 2);
    broken.order_no = "order-2".into();
    let mut value = stage.framed(&broken);
    value.truncate(30);
    stage.send_cloud_event(&broken, &value).await;
    let member = stage.start(script.clone());
    stage.letters(2).await;
    member.stop().await;

    let rehearsal = rehearsal(&stage.group, script, &stage.resources());
    stage.desk().refresh().await.unwrap();
    let preflight = stage
        .desk()
        .preflight(&Selection::all(), &*rehearsal)
        .await
        .unwrap();
    assert_eq!((preflight.letters, preflight.pass), (2, 1), "{preflight:?}");
    assert!(
        preflight
            .outcomes
            .iter()
            .any(|outcome| outcome.error_class.as_deref() == Some("undecodable")),
        "{preflight:?}"
    );
    assert_eq!(stage.applied_of(payment_no).await, Vec::<i64>::new());
    assert_eq!(
        stage.count("eventing.watermarks where last_sequence > 0").await,
        0
    );
}
