//! One request, however often it comes, is one payment.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::psp::Gate;
use crate::support::world::order;
use crate::support::{Behaviour, World};

const PAYMENTS: &str = "/api/v1/payments";

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let world = World::new().await;
    let order = order("order-1", Some("pm_card_threeDSecure2Required"));
    let first = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert!(!first.is_replayed());
    let payment_no = first.text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .webhook(
            "evt_1",
            "payment_intent.succeeded",
            &world.psp.set_intent(&id, "succeeded"),
        )
        .await
        .expect(200);

    let again = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert!(again.is_replayed());
    assert_eq!(
        again.json, first.json,
        "not the first answer, although the payment went on"
    );
    assert_eq!(world.psp.count("POST /v1/payment_intents"), 1);
}

#[tokio::test]
async fn a_key_that_came_with_other_contents_is_refused() {
    let world = World::new().await;
    world
        .call(
            "POST",
            PAYMENTS,
            Some("key-1"),
            &order("order-1", Some("pm_card_visa")),
        )
        .await
        .expect(201);
    let reply = world
        .call(
            "POST",
            PAYMENTS,
            Some("key-1"),
            &order("order-2", Some("pm_card_visa")),
        )
        .await;
    reply.refused(422, "idempotency-key-reused");
    assert_eq!(world.rows("payments").await, 1);
}

#[tokio::test]
async fn a_key_is_the_merchants_own() {
    let world = World::new().await;
    let other = world.another_merchant().await;
    let order = order("order-1", Some("pm_card_visa"));
    let ours = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    let theirs = world
        .call_as(&other, "POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert!(!theirs.is_replayed());
    assert_ne!(ours.json["payment_no"], theirs.json["payment_no"]);
}

#[tokio::test]
async fn while_the_first_request_is_in_flight_the_second_is_told_to_come_back() {
    let world = World::new().await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let order = order("order-1", Some("pm_card_visa"));
    let first = world.call("POST", PAYMENTS, Some("key-1"), &order);
    let (first, ()) = tokio::join!(first, async {
        gate.arrived().await;
        world
            .call("POST", PAYMENTS, Some("key-1"), &order)
            .await
            .refused(409, "idempotency-key-in-flight");
        gate.open();
    });
    let again = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert_eq!(again.json, first.expect(201).json);
}

#[tokio::test]
async fn a_request_that_died_is_answered_from_its_payment() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropBefore);
    let order = order("order-1", Some("pm_card_visa"));
    let first = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    sqlx::query("update idempotency_keys set answer_status = null, answer_body = null")
        .execute(world.pool())
        .await
        .unwrap();

    // As if the process had died before it answered: for a while somebody may still be at it.
    world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .refused(409, "idempotency-key-in-flight");
    world.clock.advance(SignedDuration::from_secs(16));
    let resumed = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert_eq!(
        (&resumed.json["payment_no"], &resumed.json["status"]),
        (&first.json["payment_no"], &json!("success"))
    );
    let again = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.json, resumed.json);
    assert_eq!(world.psp.intents_of(&first.text("payment_no")).len(), 1);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let world = World::new().await;
    let mut order = order("order-1", Some("pm_card_visa"));
    order["amount"] = json!(0);
    world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .refused(422, "amount-not-positive");
    order["amount"] = json!(1000);
    let reply = world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    assert!(!reply.is_replayed());
}

#[tokio::test]
async fn the_same_order_is_the_same_payment() {
    let world = World::new().await;
    let first = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    let again = world.pay("order-1", Some("pm_card_visa")).await.expect(200);
    assert_eq!(again.json["payment_no"], first.json["payment_no"]);
    // Also under a key that is new, and then under that key.
    for _ in 0..2 {
        let order = order("order-1", Some("pm_card_visa"));
        let keyed = world
            .call("POST", PAYMENTS, Some("key-1"), &order)
            .await
            .expect(200);
        assert_eq!(keyed.json["payment_no"], first.json["payment_no"]);
    }
    let mut other = order("order-1", Some("pm_card_visa"));
    other["amount"] = json!(1001);
    world
        .call("POST", PAYMENTS, None, &other)
        .await
        .refused(422, "order-conflict");
    world
        .call("POST", PAYMENTS, Some("key-2"), &other)
        .await
        .refused(422, "order-conflict");
    assert_eq!(
        (world.rows("payments").await, world.rows("idempotency_keys").await),
        (1, 1)
    );
}

#[tokio::test]
async fn concurrent_requests_for_one_order_make_one_payment() {
    let world = World::new().await;
    let replies = futures::future::join_all((0..12).map(|index| {
        let (world, key) = (&world, format!("key-{}", index % 3));
        async move {
            let key = (index % 4 != 0).then_some(key.as_str());
            world
                .call("POST", PAYMENTS, key, &order("order-1", Some("pm_card_visa")))
                .await
        }
    }))
    .await;
    let mut created = 0;
    for reply in &replies {
        match reply.status.as_u16() {
            201 if reply.is_replayed() => {}
            201 => created += 1,
            200 => {}
            409 => reply.refused(409, "idempotency-key-in-flight"),
            _ => panic!("{reply:?}"),
        }
    }
    assert_eq!((created, world.rows("payments").await), (1, 1));
    assert_eq!(world.psp.count("POST /v1/payment_intents"), 1);
}

#[tokio::test]
async fn answers_are_kept_for_thirty_days() {
    let world = World::new().await;
    let order = order("order-1", Some("pm_card_visa"));
    world
        .call("POST", PAYMENTS, Some("key-1"), &order)
        .await
        .expect(201);
    world.clock.advance(SignedDuration::from_hours(30 * 24 - 1));
    world.charging().prune().await.unwrap();
    assert_eq!(world.rows("idempotency_keys").await, 1);
    world.clock.advance(SignedDuration::from_hours(2));
    world.charging().prune().await.unwrap();
    assert_eq!(world.rows("idempotency_keys").await, 0);
}
