//! The bank: payouts that arrive, fail, come back, or whose answer is lost.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{World, answer, eventually, ok};

fn payout(world: &World, withdrawal_no: &str) -> RequestBuilder {
    let body = json!({
        "amount": 12_345,
        "currency": "EUR",
        "metadata": { "withdrawal_no": withdrawal_no },
        "beneficiary": { "name": "Merchant" },
    });
    world
        .client
        .post(world.url("/bank/v1/payouts"))
        .bearer_auth("bank_test_simulator")
        .header("idempotency-key", withdrawal_no)
        .json(&body)
}

async fn book(world: &World) -> Vec<Value> {
    world.control("/control/books/bank").await["payouts"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_payout_arrives_and_its_owner_is_told() {
    let world = World::start_with_webhooks().await;

    let (status, created) = answer(payout(&world, "wdr_1")).await;

    assert_eq!((status, &created["status"]), (201, &"processing".into()));
    world.expect_events("bank", &["payout.completed"]).await;
    let event = &world.events("bank").await[0];
    assert_eq!(event["data"]["payout"]["id"], created["id"]);
    assert_eq!(event["data"]["payout"]["metadata"]["withdrawal_no"], "wdr_1");
    let request = &world.control("/control/hooks?path=bank").await["requests"][0];
    assert!(
        request["headers"]["bank-signature"]
            .as_str()
            .unwrap()
            .starts_with("t=")
    );
    let bearer = |path: &str| {
        world
            .client
            .get(world.url(path))
            .bearer_auth("bank_test_simulator")
    };
    let by_id = ok(bearer(&format!(
        "/bank/v1/payouts/{}",
        created["id"].as_str().unwrap()
    )))
    .await;
    assert_eq!(by_id["status"], "completed");
    let by_number = ok(bearer("/bank/v1/payouts?withdrawal_no=wdr_1")).await;
    assert_eq!(by_number["data"], json!([by_id]));
    assert_eq!(
        ok(bearer("/bank/v1/payouts?withdrawal_no=wdr_2")).await["data"],
        json!([])
    );
}

#[tokio::test]
async fn a_key_pays_once_and_a_lost_answer_is_a_payout_that_was_made() {
    let world = World::start().await;
    world
        .order("/control/bank/next", json!({ "behaviour": "drop_answer" }))
        .await;

    assert!(payout(&world, "wdr_1").send().await.is_err());
    let again = payout(&world, "wdr_1").send().await.unwrap();

    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(book(&world).await.len(), 1);
}

#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let world = World::start().await;
    ok(payout(&world, "wdr_1")).await;
    let other = payout(&world, "wdr_1").json(&json!({ "amount": 1, "currency": "EUR" }));
    assert_eq!(answer(other).await.0, 422);
    assert_eq!(book(&world).await.len(), 1);
}

#[tokio::test]
async fn ordered_failures_and_returns_happen_once() {
    let world = World::start_with_webhooks().await;
    world
        .order("/control/bank/next", json!({ "behaviour": "fail" }))
        .await;
    world
        .order("/control/bank/next", json!({ "behaviour": "return" }))
        .await;
    for withdrawal_no in ["wdr_1", "wdr_2", "wdr_3"] {
        ok(payout(&world, withdrawal_no)).await;
    }

    let statuses = async || {
        book(&world)
            .await
            .iter()
            .map(|line| line["status"].clone())
            .collect::<Vec<_>>()
    };
    eventually("all are decided", async || {
        statuses().await == ["failed", "returned", "completed"]
    })
    .await;

    eventually("all are told", async || world.events("bank").await.len() == 4).await;
    let mut types = world.event_types("bank").await;
    types.sort();
    assert_eq!(
        types,
        [
            "payout.completed",
            "payout.completed",
            "payout.failed",
            "payout.returned"
        ]
    );
}

#[tokio::test]
async fn a_completed_payout_can_come_back_later() {
    let world = World::start_with_webhooks().await;
    let come_back = || {
        world
            .client
            .post(world.url("/control/bank/return"))
            .json(&json!({ "withdrawal_no": "wdr_1" }))
    };
    assert_eq!(answer(come_back()).await.0, 404);
    ok(payout(&world, "wdr_1")).await;
    assert_eq!(answer(come_back()).await.0, 409, "it has not arrived yet");
    world.expect_events("bank", &["payout.completed"]).await;

    assert_eq!(ok(come_back()).await["status"], "returned");

    world
        .expect_events("bank", &["payout.completed", "payout.returned"])
        .await;
    assert_eq!(book(&world).await[0]["status"], "returned");
}

#[tokio::test]
async fn what_makes_no_sense_pays_nothing() {
    let world = World::start().await;
    let unsigned = world
        .client
        .post(world.url("/bank/v1/payouts"))
        .json(&json!({ "amount": 5, "currency": "EUR" }));
    assert_eq!(answer(unsigned).await.0, 401);
    for body in [
        json!({ "amount": 0, "currency": "EUR" }),
        json!({ "amount": 1.5, "currency": "EUR" }),
        json!({ "amount": 5, "currency": "EURO" }),
        json!({ "amount": 5, "currency": "EUR", "iban": "x" }),
    ] {
        assert_eq!(answer(payout(&world, "wdr_1").json(&body)).await.0, 400, "{body}");
    }
    assert!(book(&world).await.is_empty());
}
