//! A PSP that loses answers: the books tell what really happened.

use serde_json::{Value, json};

use crate::support::{World, answer, eventually, ok};

async fn misbehave(world: &World, operation: &str, behaviour: &str, count: u32) {
    let order = json!({ "operation": operation, "behaviour": behaviour, "count": count });
    world.order("/control/psp/next", order).await;
}

#[tokio::test]
async fn a_dropped_answer_is_a_charge_that_was_made() {
    let world = World::start_with_webhooks().await;
    misbehave(&world, "payment", "drop_answer", 2).await;
    let charge = || {
        world
            .charge("pay_1", "pm_card_visa")
            .header("idempotency-key", "key-1")
    };

    for _ in 0..2 {
        let error = charge().send().await.unwrap_err();
        assert!(error.is_request(), "the connection was closed: {error:?}");
    }

    let intent = ok(charge()).await;
    assert_eq!(intent["status"], "succeeded");
    let book = world.psp_book().await;
    assert_eq!(
        book["payments"].as_array().unwrap().len(),
        1,
        "the key keeps the repeats from charging"
    );
    assert_eq!(book["payments"][0]["id"], intent["id"]);
    world.expect_events("psp", &["payment_intent.succeeded"]).await;
}

#[tokio::test]
async fn a_dropped_request_and_a_500_leave_nothing_behind() {
    let world = World::start().await;
    misbehave(&world, "payment", "drop_before_charging", 1).await;
    misbehave(&world, "payment", "server_error", 1).await;
    let charge = || {
        world
            .charge("pay_1", "pm_card_visa")
            .header("idempotency-key", "key-1")
    };

    assert!(charge().send().await.is_err());
    let (status, body) = answer(charge()).await;

    assert_eq!((status, &body["error"]["type"]), (500, &"api_error".into()));
    assert!(world.psp_book().await["payments"].as_array().unwrap().is_empty());
    assert_eq!(ok(charge()).await["status"], "succeeded", "the key is still free");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_charged_all_the_same() {
    let world = World::start().await;
    let slow = json!({ "operation": "payment", "behaviour": "delay", "delay_ms": 400 });
    world.order("/control/psp/next", slow).await;
    let impatient = world
        .charge("pay_1", "pm_card_visa")
        .timeout(std::time::Duration::from_millis(100));

    assert!(impatient.send().await.unwrap_err().is_timeout());

    assert!(
        world.psp_book().await["payments"].as_array().unwrap().is_empty(),
        "not yet"
    );
    eventually("the charge is made", async || {
        world.psp_book().await["payments"][0]["amount_charged"] == json!(1000)
    })
    .await;
}

#[tokio::test]
async fn refunds_cancellations_and_lookups_can_be_lost_too() {
    let world = World::start().await;
    let intent = ok(world.charge("pay_1", "pm_card_visa")).await;
    let id = intent["id"].as_str().unwrap();
    misbehave(&world, "refund", "drop_answer", 1).await;
    misbehave(&world, "cancel", "drop_before_charging", 1).await;
    misbehave(&world, "lookup", "server_error", 1).await;

    assert!(
        world
            .post("/v1/refunds", &[("payment_intent", id)])
            .send()
            .await
            .is_err()
    );
    assert!(
        world
            .post(&format!("/v1/payment_intents/{id}/cancel"), &[])
            .send()
            .await
            .is_err()
    );
    assert_eq!(
        answer(world.get(&format!("/v1/payment_intents/{id}"))).await.0,
        500
    );

    assert_eq!(
        ok(world.get(&format!("/v1/payment_intents/{id}"))).await["status"],
        "succeeded"
    );
    assert_eq!(world.psp_book().await["refunds"][0]["status"], "succeeded");
}

#[tokio::test]
async fn an_ordered_decline_is_used_up_by_a_charge_not_by_a_repeat() {
    let world = World::start().await;
    let charge = |key| {
        world
            .charge("pay_1", "pm_card_visa")
            .header("idempotency-key", key)
    };
    let first: Value = ok(charge("key-1")).await;
    misbehave(&world, "payment", "decline", 1).await;

    assert_eq!(ok(charge("key-1")).await, first);
    assert_eq!(answer(charge("key-2")).await.0, 402);
    assert_eq!(answer(charge("key-3")).await.0, 200);
}
