//! The hosted payment page.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{World, answer, eventually, ok, page, snapshot};

fn create(world: &World, more: &[(&str, &str)]) -> RequestBuilder {
    let form = [
        ("mode", "payment"),
        ("line_items[0][price_data][currency]", "eur"),
        ("line_items[0][price_data][unit_amount]", "250"),
        ("line_items[0][price_data][product_data][name]", "Order <7>"),
        ("line_items[0][quantity]", "2"),
        (
            "success_url",
            "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}",
        ),
        ("cancel_url", "https://shop.example/cart"),
        ("metadata[payment_no]", "pay_1"),
        ("payment_intent_data[metadata][payment_no]", "pay_1"),
    ];
    let form: Vec<_> = form.into_iter().chain(more.iter().copied()).collect();
    world.post("/v1/checkout/sessions", &form)
}

async fn look(world: &World, session: &Value) -> Value {
    ok(world.get(&format!(
        "/v1/checkout/sessions/{}",
        session["id"].as_str().unwrap()
    )))
    .await
}

async fn pay(world: &World, session: &Value, method: &str) -> reqwest::Response {
    let url = session["url"].as_str().unwrap();
    world
        .client
        .post(url)
        .form(&[("payment_method", method)])
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_customer_pays_on_the_page_after_a_declined_card() {
    let world = World::start_with_webhooks().await;
    let session = ok(create(&world, &[])).await;
    snapshot("checkout_session", session.clone());
    assert_eq!(
        (&session["status"], &session["payment_intent"]),
        (&"open".into(), &Value::Null)
    );

    let shown = page(
        world
            .client
            .get(session["url"].as_str().unwrap())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert!(
        shown.contains("5.00 EUR") && shown.contains("Order &#60;7&#62;"),
        "{shown}"
    );
    let declined = page(pay(&world, &session, "pm_card_visa_chargeDeclined").await).await;
    assert!(declined.contains("Your card was declined."));
    let thanks = page(pay(&world, &session, "pm_card_visa").await).await;

    let id = session["id"].as_str().unwrap();
    assert!(
        thanks.contains(&format!("https://shop.example/thanks?session={id}")),
        "{thanks}"
    );
    let session = look(&world, &session).await;
    assert_eq!(
        (&session["status"], &session["payment_status"]),
        (&"complete".into(), &"paid".into())
    );
    let book = world.psp_book().await;
    assert_eq!(
        book["payments"].as_array().unwrap().len(),
        1,
        "both tries are one PaymentIntent"
    );
    assert_eq!(
        (
            &book["payments"][0]["payment_no"],
            &book["payments"][0]["amount_charged"]
        ),
        (&"pay_1".into(), &500.into())
    );
    let expected = [
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ];
    world.expect_events("psp", &expected).await;
    let listed = ok(world.get(&format!(
        "/v1/checkout/sessions?payment_intent={}",
        session["payment_intent"].as_str().unwrap()
    )))
    .await;
    assert_eq!(listed["data"][0]["id"], session["id"]);
}

#[tokio::test]
async fn a_confirmation_from_the_page_completes_the_session() {
    let world = World::start().await;
    let session = ok(create(&world, &[])).await;

    let redirect = pay(&world, &session, "pm_card_threeDSecure2Required").await;
    assert_eq!(redirect.status(), 303);
    let question = redirect.headers()["location"].to_str().unwrap();
    assert_eq!(look(&world, &session).await["status"], "open");
    world
        .client
        .post(question)
        .form(&[("outcome", "complete")])
        .send()
        .await
        .unwrap();

    assert_eq!(look(&world, &session).await["payment_status"], "paid");
}

#[tokio::test]
async fn a_delayed_payment_completes_the_session_before_the_money_is_there() {
    let world = World::start_with_webhooks().await;
    let session = ok(create(&world, &[])).await;

    pay(&world, &session, "pm_card_delayed").await;

    let now = look(&world, &session).await;
    assert_eq!(
        (&now["status"], &now["payment_status"]),
        (&"complete".into(), &"unpaid".into())
    );
    eventually("the money arrives", async || {
        look(&world, &session).await["payment_status"] == "paid"
    })
    .await;
    let expected = [
        "payment_intent.processing",
        "checkout.session.completed",
        "payment_intent.succeeded",
        "checkout.session.async_payment_succeeded",
    ];
    world.expect_events("psp", &expected).await;
}

#[tokio::test]
async fn an_expired_session_takes_no_money_and_cancels_its_intent() {
    let world = World::start_with_webhooks().await;
    let session = ok(create(&world, &[])).await;
    pay(&world, &session, "pm_card_visa_chargeDeclined").await;
    let path = format!("/v1/checkout/sessions/{}/expire", session["id"].as_str().unwrap());
    let intent = look(&world, &session).await["payment_intent"]
        .as_str()
        .unwrap()
        .to_owned();
    let direct = answer(world.post(&format!("/v1/payment_intents/{intent}/cancel"), &[])).await;
    assert_eq!(
        direct.0, 400,
        "a session's intent is cancelled by expiring the session"
    );

    let expired = ok(world.post(&path, &[])).await;

    assert_eq!(
        (&expired["status"], &expired["url"]),
        (&"expired".into(), &Value::Null)
    );
    let shown = page(pay(&world, &session, "pm_card_visa").await).await;
    assert!(shown.contains("Too late"), "{shown}");
    assert_eq!(world.psp_book().await["payments"][0]["status"], "canceled");
    assert_eq!(world.psp_book().await["payments"][0]["charges"], 0);
    assert_eq!(answer(world.post(&path, &[])).await.0, 400);
    let expected = [
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "checkout.session.expired",
    ];
    world.expect_events("psp", &expected).await;
}

#[tokio::test]
async fn a_session_lives_between_thirty_minutes_and_a_day_and_needs_its_parts() {
    let world = World::start().await;
    for expires_at in ["1", "99999999999"] {
        let (status, body) = answer(create(&world, &[("expires_at", expires_at)])).await;
        assert_eq!((status, &body["error"]["param"]), (400, &"expires_at".into()));
    }
    let (status, body) = answer(world.post("/v1/checkout/sessions", &[("mode", "payment")])).await;
    assert_eq!((status, &body["error"]["param"]), (400, &"line_items".into()));
}

#[tokio::test]
async fn an_ordered_decline_also_meets_the_page() {
    let world = World::start().await;
    let session = ok(create(&world, &[])).await;
    world
        .order(
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "decline" }),
        )
        .await;

    let declined = page(pay(&world, &session, "pm_card_visa").await).await;

    assert!(declined.contains("Your card was declined."));
    assert_eq!(look(&world, &session).await["status"], "open");
}
