use eventing::headers::RecordHeaders;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_tells_letters_apart_and_one_letter_shows_its_event_headers_and_attempts() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Retry, Act::Dead]);
    stage.send_next(payment_no, 1).await;
    stage
        .send_record(
            PAYMENTS.name,
            Some(b"\x1b[31mpoison"),
            Some(b"?"),
            &RecordHeaders::new(),
        )
        .await;
    let member = stage.start(script);
    stage.letters(2).await;
    member.stop().await;

    let listed = stage.listed().await;
    assert_eq!(listed.len(), 2);
    let letter = listed
        .iter()
        .find(|letter| letter["error_class"] == "never")
        .unwrap();
    assert_eq!(letter["key"], payment_no.to_string());
    assert_eq!(letter["sequence"], 1);
    assert_eq!(letter["state"], "new");
    assert_eq!(letter["message"], "it will never go right");
    let id = letter["id"].as_str().unwrap();

    let table = stage.dead_letters(&["list"]).await.unwrap();
    assert!(table.starts_with("ID"), "{table}");
    assert!(table.contains("not_framed") && table.contains("never"), "{table}");
    assert!(!table.contains('\x1b'), "a key cannot write to the terminal");

    let fingerprint = letter["fingerprint"].as_str().unwrap();
    let filtered = stage
        .dead_letters(&["list", "--fingerprint", fingerprint])
        .await
        .unwrap();
    assert_eq!(filtered.lines().count(), 2, "{filtered}");

    let shown = stage.dead_letters(&["show", id]).await.unwrap();
    for part in [
        "attempts:",
        "class retry",
        "class never",
        "event_type: payment.processing",
        "traceparent",
        "ce_id",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let missing = stage.dead_letters(&["show", "0-999"]).await.unwrap_err();
    assert_eq!(missing.to_string(), "group group has no dead letter 0-999");
}
