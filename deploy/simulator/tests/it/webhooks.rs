//! How webhooks arrive: signed, in order, until they are accepted, or as badly as ordered.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{World, eventually, ok, snapshot};

async fn requests(world: &World) -> Vec<Value> {
    world.control("/control/hooks?path=psp").await["requests"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn events_are_signed_over_the_raw_body_once_for_each_secret() {
    let world = World::start().await;
    let target = json!({ "url": world.url("/hooks/psp"), "secrets": ["whsec_old", "whsec_new"] });
    world.order("/control/psp/webhook-target", target).await;
    ok(world
        .charge("pay_1", "pm_card_visa")
        .header("idempotency-key", "key-1"))
    .await;
    world.expect_events("psp", &["payment_intent.succeeded"]).await;

    let request = &requests(&world).await[0];

    snapshot("webhook_event", world.events("psp").await[0].clone());
    let body = base64::engine::general_purpose::STANDARD
        .decode(request["body_base64"].as_str().unwrap())
        .unwrap();
    let header = request["headers"]["stripe-signature"].as_str().unwrap();
    let mut parts = header.split(',');
    let time = parts.next().unwrap().strip_prefix("t=").unwrap();
    for secret in ["whsec_old", "whsec_new"] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(&body);
        let signature = parts.next().unwrap().strip_prefix("v1=").unwrap();
        assert_eq!(signature, hex::encode(mac.finalize().into_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn a_refused_event_is_sent_again_until_it_is_accepted() {
    let world = World::start_with_webhooks().await;
    world
        .order(
            "/control/hooks",
            json!({ "mode": "fail", "path": "psp", "count": 3 }),
        )
        .await;
    ok(world.charge("pay_1", "pm_card_visa")).await;

    eventually("the event is accepted", async || {
        world.control("/control/psp/webhooks").await["delivered"] == json!(1)
    })
    .await;

    let requests = requests(&world).await;
    let answered: Vec<_> = requests
        .iter()
        .map(|request| request["answered"].as_u64().unwrap())
        .collect();
    assert_eq!(answered, [500, 500, 500, 200]);
    let ids: Vec<_> = world
        .events("psp")
        .await
        .iter()
        .map(|event| event["id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "a repeat is the same event");
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_everything_later_in_order() {
    let world = World::start().await;
    // Nobody listens on the discard port.
    world
        .order(
            "/control/psp/webhook-target",
            json!({ "url": "http://127.0.0.1:9/" }),
        )
        .await;
    let intent = ok(world.charge("pay_1", "pm_card_delayed")).await;
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    eventually("the payment succeeds", async || {
        ok(world.get(&path)).await["status"] == "succeeded"
    })
    .await;
    assert_eq!(world.control("/control/psp/webhooks").await["pending"], 2);

    world
        .order(
            "/control/psp/webhook-target",
            json!({ "url": world.url("/hooks/psp") }),
        )
        .await;

    world
        .expect_events("psp", &["payment_intent.processing", "payment_intent.succeeded"])
        .await;
}

#[tokio::test]
async fn duplicates_are_the_same_event_twice() {
    let world = World::start_with_webhooks().await;
    world
        .order("/control/psp/webhooks", json!({ "mode": "duplicate" }))
        .await;
    ok(world.charge("pay_1", "pm_card_visa")).await;

    world
        .expect_events("psp", &["payment_intent.succeeded", "payment_intent.succeeded"])
        .await;

    let events = world.events("psp").await;
    assert_eq!(events[0], events[1]);
}

#[tokio::test]
async fn reversed_events_arrive_newest_first() {
    let world = World::start_with_webhooks().await;
    world
        .order(
            "/control/psp/webhooks",
            json!({ "mode": "reversed", "window_ms": 600 }),
        )
        .await;
    ok(world.charge("pay_1", "pm_card_delayed")).await;

    world
        .expect_events("psp", &["payment_intent.succeeded", "payment_intent.processing"])
        .await;
}

#[tokio::test]
async fn held_events_wait_for_their_release() {
    for (order, expected) in [
        ("kept", ["payment_intent.succeeded", "refund.created"]),
        ("reversed", ["refund.created", "payment_intent.succeeded"]),
    ] {
        let world = World::start_with_webhooks().await;
        world
            .order("/control/psp/webhooks", json!({ "mode": "held" }))
            .await;
        let intent = ok(world.charge("pay_1", "pm_card_visa")).await;
        ok(world.post(
            "/v1/refunds",
            &[("payment_intent", intent["id"].as_str().unwrap())],
        ))
        .await;
        assert_eq!(world.control("/control/psp/webhooks").await["pending"], 2);
        assert!(world.events("psp").await.is_empty());

        let released = world
            .order("/control/psp/webhooks/release", json!({ "order": order }))
            .await;

        assert_eq!(released["released"], 2);
        world.expect_events("psp", &expected).await;
    }
}

#[tokio::test]
async fn a_webhook_can_overtake_its_answer() {
    let world = World::start_with_webhooks().await;
    world
        .order("/control/psp/webhooks", json!({ "mode": "before_answer" }))
        .await;
    world
        .order(
            "/control/hooks",
            json!({ "mode": "fail", "path": "psp", "count": 2 }),
        )
        .await;

    ok(world.charge("pay_1", "pm_card_visa")).await;

    let answered: Vec<_> = requests(&world)
        .await
        .iter()
        .map(|request| request["answered"].clone())
        .collect();
    assert_eq!(
        answered,
        [json!(500), json!(500), json!(200)],
        "accepted before the answer came"
    );
}
