//! With a state folder a restart changes nothing for anybody.

use serde_json::{Value, json};

use crate::support::{World, eventually, ok};

#[tokio::test]
async fn books_keys_delays_and_undelivered_webhooks_outlive_the_process() {
    let dir = std::env::temp_dir().join(format!("simulator-state-{}", uuid::Uuid::now_v7()));
    let state = format!("--state={}", dir.display());
    let nowhere = "--stripe-webhook-url=http://127.0.0.1:9/";
    let world = World::start_with(&[&state, nowhere, "--delayed-payment-ms=700"]).await;
    let charge = |world: &World| {
        world
            .charge("pay_1", "pm_card_visa")
            .header("idempotency-key", "key-1")
    };
    let paid = ok(charge(&world)).await;
    ok(world.post(
        "/v1/refunds",
        &[("payment_intent", paid["id"].as_str().unwrap()), ("amount", "1")],
    ))
    .await;
    let delayed = ok(world.charge("pay_2", "pm_card_delayed")).await;
    let payout = world
        .client
        .post(world.url("/bank/v1/payouts"))
        .bearer_auth("bank_test_simulator");
    ok(payout.json(&json!({ "amount": 5, "currency": "EUR", "metadata": { "withdrawal_no": "wdr_1" } })))
        .await;
    let book = world.psp_book().await;
    world.simulator.stop().await;

    let world = World::start_with(&[&state, nowhere]).await;
    world
        .order(
            "/control/psp/webhook-target",
            json!({ "url": world.url("/hooks/psp") }),
        )
        .await;

    let now = world.psp_book().await;
    assert_eq!(
        (&now["refunds"], &now["payments"][0]),
        (&book["refunds"], &book["payments"][0])
    );
    let again = charge(&world).send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), paid);
    let path = format!("/v1/payment_intents/{}", delayed["id"].as_str().unwrap());
    eventually("the delayed payment arrives", async || {
        ok(world.get(&path)).await["status"] == "succeeded"
    })
    .await;
    eventually("the payout arrives", async || {
        world.control("/control/books/bank").await["payouts"][0]["status"] == "completed"
    })
    .await;
    eventually("all webhooks are delivered", async || {
        world.events("psp").await.len() == 4
    })
    .await;
    let of = async |payment: &Value| {
        let events = world.events("psp").await;
        let concerning = events
            .into_iter()
            .filter(|event| event.to_string().contains(payment["id"].as_str().unwrap()));
        concerning
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&paid).await, ["payment_intent.succeeded", "refund.created"]);
    assert_eq!(
        of(&delayed).await,
        ["payment_intent.processing", "payment_intent.succeeded"]
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::start().await;
    let taken = world.simulator.url().trim_start_matches("http://").to_owned();
    let mut settings = crate::support::settings(&[]);
    settings.listen = taken.parse().unwrap();
    let error = simulator::Simulator::start(settings).await.unwrap_err();
    assert!(error.to_string().contains(&taken), "{error}");
}

#[tokio::test]
async fn a_stopped_simulator_lets_go_of_its_ports_even_if_someone_hangs() {
    let world = World::start().await;
    world.order("/control/hooks", json!({ "mode": "hang" })).await;
    let hanging = tokio::task::JoinSet::from_iter([world.client.post(world.url("/hooks/x")).send()]);
    eventually("the request hangs", async || {
        world.control("/control/hooks").await["requests"]
            .as_array()
            .unwrap()
            .len()
            == 1
    })
    .await;
    let url = world.url("/health");

    tokio::time::timeout(std::time::Duration::from_secs(3), world.simulator.stop())
        .await
        .unwrap();

    assert!(world.client.get(&url).send().await.is_err());
    assert!(hanging.join_all().await[0].is_err());
}
