use eventing::headers::RecordHeaders;
use schemas::catalogue::PAYMENTS;
use schemas::payment::PaymentEvent;
use schemas::{DomainEvent as _, PaymentNo, codec};
use serde_json::json;
use uuid::Uuid;

use super::script::Script;
use super::stage::{Stage, headers, ordered};
use crate::support::events;

/// Sends a poison record and a good event, and answers the error class under which the poison was dead-lettered.
async fn class_of(stage: &Stage, key: Option<&[u8]>, payload: Option<&[u8]>) -> String {
    stage
        .send_record(PAYMENTS.name, key, payload, &RecordHeaders::new())
        .await;
    let good = PaymentNo::generate();
    stage.send_next(good, 1).await;
    let member = stage.start(Script::default());
    stage.until_applied(good, &[1]).await;
    let letters = stage.letters(1).await;
    member.stop().await;

    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.raw_key.as_deref(), key, "the key is untouched");
    assert_eq!(letter.raw_value.as_deref(), payload, "the value is untouched");
    assert_eq!(stage.count("eventing.parked").await, 0, "it blocks nothing");
    letter.headers.text("eventing-error-class").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_event_are_dead_letters_with_their_bytes_untouched() {
    let stage = Stage::new(ordered()).await;
    assert_eq!(
        class_of(
            &stage,
            Some(b"pay_x"),
            Some(&[0xde, 0xad, 0xbe, 0xef, 0x00, 0xff])
        )
        .await,
        "not_framed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_contradicts_its_schema_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let mut value = stage.framed(&events::payment(PaymentNo::generate(), 1));
    value.truncate(40);
    assert_eq!(
        class_of(&stage, Some(b"pay_x"), Some(&value)).await,
        "undecodable"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_the_registry_does_not_know_makes_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let value = schemas::codec::frame(2_000_000_000, b"whatever");
    assert_eq!(
        class_of(&stage, Some(b"pay_x"), Some(&value)).await,
        "schema_unknown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_value_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    assert_eq!(class_of(&stage, Some(b"pay_x"), None).await, "no_value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_key_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let value = stage.framed(&events::payment(PaymentNo::generate(), 1));
    assert_eq!(class_of(&stage, None, Some(&value)).await, "no_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_under_another_aggregates_key_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let value = stage.framed(&events::payment(PaymentNo::generate(), 1));
    assert_eq!(
        class_of(&stage, Some(&[0xff, 0xfe]), Some(&value)).await,
        "no_key"
    );
    let stage = Stage::new(ordered()).await;
    let value = stage.framed(&events::payment(PaymentNo::generate(), 1));
    assert_eq!(
        class_of(&stage, Some(b"pay_other"), Some(&value)).await,
        "wrong_key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_valid_sequence_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let value = stage.framed(&events::payment(payment_no, 0));
    assert_eq!(
        class_of(&stage, Some(payment_no.to_string().as_bytes()), Some(&value)).await,
        "no_sequence"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_over_the_bound_is_a_dead_letter_before_it_is_decoded() {
    let mut group = ordered();
    group.max_record_bytes = 1_000;
    let stage = Stage::new(group).await;
    assert_eq!(
        class_of(&stage, Some(b"pay_x"), Some(&[0; 1_001])).await,
        "oversized"
    );
}

/// A payment's event as a newer writer could write it, with a list of nulls behind it.
async fn with_nulls(event: &PaymentEvent, count: i64) -> Vec<u8> {
    let mut schema: serde_json::Value = serde_json::from_str(PAYMENTS.schema).unwrap();
    let nulls =
        json!({"name": "nulls", "type": {"type": "array", "items": "null"}, "doc": "Nothing", "default": []});
    schema["fields"].as_array_mut().unwrap().push(nulls);
    let subject = format!("test-{}", Uuid::new_v4().simple());
    let id = events::register(&subject, &schema.to_string()).await;
    let mut body = codec::encode(event).unwrap();
    let mut count = count << 1;
    while count > 0x7f {
        body.push(u8::try_from(count & 0x7f).unwrap() | 0x80);
        count >>= 7;
    }
    body.extend([u8::try_from(count).unwrap(), 0]);
    codec::frame(id, &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_bytes_that_claim_billions_of_items_are_a_dead_letter_before_they_are_decoded() {
    let stage = Stage::new(ordered()).await;
    let event = events::payment(PaymentNo::generate(), 1);
    let key = event.aggregate_key();
    let value = with_nulls(&event, 1 << 40).await;
    assert!(value.len() < 1_000);
    assert_eq!(
        class_of(&stage, Some(key.as_bytes()), Some(&value)).await,
        "oversized"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_within_the_bound_is_none_of_our_business() {
    let stage = Stage::new(ordered()).await;
    let event = events::payment(PaymentNo::generate(), 1);
    let value = with_nulls(&event, 100).await;
    stage.send_cloud_event(&event, &value).await;
    let member = stage.start(Script::default());
    stage.until_applied(event.payment_no, &[1]).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pretends_on_a_tier_to_be_a_retry_is_a_dead_letter() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let event = events::payment(payment_no, 1);
    let key = payment_no.to_string();
    stage
        .send_record(
            &stage.group.retry_topic(1),
            Some(key.as_bytes()),
            Some(&stage.framed(&event)),
            &headers(&event),
        )
        .await;
    let member = stage.start(Script::default());
    let letters = stage.letters(1).await;
    assert_eq!(letters[0].headers.text("eventing-error-class"), Some("envelope"));
    assert_eq!(
        letters[0].headers.text("eventing-original-topic"),
        Some("group.retry.1")
    );
    member.stop().await;
}
