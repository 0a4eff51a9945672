use eventing::dead_letters::Plan;
use eventing::headers::RecordHeaders;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, unordered};

impl Stage {
    /// What a replay of these letters would do.
    async fn would_replay(&self, chosen: &[&str]) -> Plan {
        let arguments = [&["replay", "--dry-run", "--json"], chosen].concat();
        serde_json::from_str(&self.dead_letters(&arguments).await.unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_takes_the_letters_that_it_describes_and_no_others() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    let payments: Vec<PaymentNo> = (0..3).map(|_| PaymentNo::generate()).collect();
    for payment_no in &payments {
        script.on(payment_no, 1, &[Act::Dead]);
        stage.send_next(*payment_no, 1).await;
    }
    let member = stage.start(script);
    stage.letters(3).await;
    let since = eventing::Clock::system().now().to_string();
    let poison = (Some(&b"poison"[..]), Some(&b"?"[..]));
    stage
        .send_record(PAYMENTS.name, poison.0, poison.1, &RecordHeaders::new())
        .await;
    stage.letters(4).await;
    member.stop().await;

    let listed = stage.listed().await;
    let fingerprint = |class: &str| {
        let letter = listed
            .iter()
            .find(|letter| letter["error_class"] == class)
            .unwrap();
        letter["fingerprint"].as_str().unwrap().to_owned()
    };
    let (never, not_framed) = (fingerprint("never"), fingerprint("not_framed"));
    let key = payments[1].to_string();
    let ids = [&listed[0], &listed[2]].map(|letter| letter["id"].as_str().unwrap());
    for (chosen, letters) in [
        (&["--all"][..], 4),
        (&["--fingerprint", &never], 3),
        (&["--fingerprint", &not_framed], 1),
        (&["--error-class", "not_framed"], 1),
        (&["--event-type", "payment.processing"], 3),
        (&["--key", &key], 1),
        (&["--since", &since], 1),
        (&["--until", &since], 3),
        (&["--until", &since, "--fingerprint", &not_framed], 0),
        (&ids, 2),
    ] {
        let plan = stage.would_replay(chosen).await;
        assert_eq!(plan.letters, letters, "{chosen:?}");
    }
    assert_eq!(stage.count("eventing.dead_letter_jobs").await, 0);
}
