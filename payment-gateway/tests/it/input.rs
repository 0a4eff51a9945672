//! Bad input: each kind has its own problem, and changes nothing.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::request::Unsigned;
use crate::support::world::order;

async fn create(world: &World, body: String) -> crate::support::Reply {
    let unsigned = Unsigned {
        method: "POST",
        path: "/api/v1/payments",
        key: None,
        body,
    };
    world
        .send(world.merchant.sign(&unsigned, world.clock.now()))
        .await
}

#[tokio::test]
async fn each_kind_of_bad_input_has_its_own_problem_and_changes_nothing() {
    let world = World::new().await;
    let with = |field: &str, value: Value| {
        let mut order = order("order-1", Some("pm_card_visa"));
        order[field] = value;
        order.to_string()
    };
    let amount =
        |literal: &str| with("amount", json!(1)).replace("\"amount\":1,", &format!("\"amount\":{literal},"));
    let entries: serde_json::Map<String, Value> =
        (0..21).map(|index| (format!("k{index}"), json!("v"))).collect();
    for (body, status, problem) in [
        ("not json".to_owned(), 400, "not-json"),
        ("{\"order_no\":".to_owned(), 400, "not-json"),
        ("[]".to_owned(), 422, "invalid-request"),
        (with("surprise", json!(1)), 422, "unknown-field"),
        (amount("0"), 422, "amount-not-positive"),
        (amount("-5"), 422, "amount-not-positive"),
        (amount("9223372036854775808"), 422, "amount-out-of-range"),
        (amount("1e300"), 422, "amount-out-of-range"),
        (amount("9223372036854775807"), 422, "amount-out-of-range"),
        (amount("10.5"), 422, "amount-not-integer"),
        (amount("10.0"), 422, "amount-not-integer"),
        (amount("\"10\""), 422, "invalid-request"),
        (with("currency", json!("XXX")), 422, "unknown-currency"),
        (with("currency", json!("eur")), 422, "unknown-currency"),
        (with("currency", json!("IQD")), 422, "unsupported-currency"),
        (
            with("currency", json!("KWD")).replace("1000", "1001"),
            422,
            "amount-too-precise",
        ),
        (with("order_no", json!("a".repeat(65))), 422, "text-too-long"),
        (with("order_no", json!("a b")), 422, "invalid-request"),
        (with("order_no", json!("a\u{0}b")), 422, "control-characters"),
        (with("description", json!("a".repeat(501))), 422, "text-too-long"),
        (with("description", json!("line\u{7}")), 422, "control-characters"),
        (
            with("metadata", json!({ "key": "\u{1b}[31m" })),
            422,
            "control-characters",
        ),
        (
            with("metadata", json!({ "key": "v".repeat(501) })),
            422,
            "text-too-long",
        ),
        (with("metadata", Value::Object(entries)), 422, "too-many-entries"),
        (with("customer_email", json!("ada")), 422, "invalid-request"),
        (
            with("customer_email", json!(format!("{}@x.de", "a".repeat(250)))),
            422,
            "text-too-long",
        ),
        (with("customer_phone", json!("0151")), 422, "invalid-request"),
        (with("notify_url", json!("ftp://x.de")), 422, "invalid-request"),
        (
            with("notify_url", json!("https://user:pass@x.de")),
            422,
            "invalid-request",
        ),
        (with("payment_method", json!("card")), 422, "invalid-request"),
        (
            with("merchant_id", json!("mer_01h455vb4pex5vsknk084sn02q")),
            403,
            "other-merchant",
        ),
        (with("description", json!("a".repeat(300_000))), 413, "too-large"),
    ] {
        let reply = create(&world, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (status, problem),
            "{} -> {}",
            &body[..body.len().min(200)],
            reply.json
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    for table in ["payments", "customers", "idempotency_keys", "eventing.outbox"] {
        assert_eq!(world.rows(table).await, 0, "{table} has rows");
    }
    assert_eq!(world.psp.count("POST"), 0);
}

#[tokio::test]
async fn what_is_unusual_but_right_is_taken() {
    let world = World::new().await;
    let own = json!(world.merchant.merchant_id);
    for (index, (field, value)) in [
        ("merchant_id", own),
        ("description", json!("Grüße, 你好 🎉")),
        ("metadata", json!({ "empty": "" })),
        ("currency", json!("JPY")),
        ("amount", json!(99_999_999)),
        ("customer_phone", json!("+4915112345678")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut order = order(&format!("order-{index}"), Some("pm_card_visa"));
        order[field] = value.clone();
        let reply = create(&world, order.to_string()).await.expect(201);
        assert_eq!(reply.json["status"], "success");
        if reply.json.get(field).is_some() {
            assert_eq!(reply.json[field], value);
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_has_a_form() {
    let world = World::new().await;
    let order = order("order-1", Some("pm_card_visa"));
    for (key, problem) in [("a b", "invalid-request"), (&*"k".repeat(256), "text-too-long")] {
        world
            .call("POST", "/api/v1/payments", Some(key), &order)
            .await
            .refused(422, problem);
    }
    assert_eq!(world.rows("payments").await, 0);
}
