//! PaymentIntents: charging, declines, confirmation, delay, cancelling, finding.

use serde_json::Value;

use crate::support::{World, answer, charge_form, eventually, ok, page, snapshot};

#[tokio::test]
async fn a_card_that_pays_is_charged_once_and_the_books_say_so() {
    let world = World::start().await;

    let intent = ok(world.charge("pay_1", "pm_card_visa")).await;

    assert_eq!(intent["status"], "succeeded");
    let book = world.psp_book().await;
    assert_eq!(book["payments"].as_array().unwrap().len(), 1);
    let line = &book["payments"][0];
    assert_eq!(line["payment_no"], "pay_1");
    assert_eq!(line["charges"], 1);
    assert_eq!(line["amount_charged"], 1000);
    assert_eq!(line["currency"], "EUR");
    snapshot("payment_intent_succeeded", intent);
}

#[tokio::test]
async fn a_decline_is_a_402_with_the_intent_and_nothing_is_charged() {
    let world = World::start().await;

    let (status, body) = answer(world.charge("pay_1", "pm_card_visa_chargeDeclined")).await;

    assert_eq!(status, 402);
    snapshot("card_error", body.clone());
    let id = body["error"]["payment_intent"]["id"].as_str().unwrap();
    let intent = ok(world.get(&format!("/v1/payment_intents/{id}"))).await;
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["last_payment_error"]["decline_code"], "generic_decline");
    assert_eq!(world.psp_book().await["payments"][0]["amount_charged"], 0);

    let again = world.post(
        &format!("/v1/payment_intents/{id}/confirm"),
        &[("payment_method", "pm_card_visa")],
    );
    assert_eq!(
        ok(again).await["status"],
        "succeeded",
        "another card may be tried"
    );
}

#[tokio::test]
async fn a_confirmation_is_asked_for_and_decides() {
    let world = World::start().await;
    for (payment_no, outcome, status) in [
        ("pay_1", "complete", "succeeded"),
        ("pay_2", "fail", "requires_payment_method"),
    ] {
        let intent = ok(world.charge(payment_no, "pm_card_threeDSecure2Required")).await;
        assert_eq!(intent["status"], "requires_action");
        assert_eq!(intent["next_action"]["type"], "redirect_to_url");
        let url = intent["next_action"]["redirect_to_url"]["url"].as_str().unwrap();

        let question = page(world.client.get(url).send().await.unwrap()).await;
        assert!(question.contains("10.00 EUR") && question.contains("Complete") && question.contains("Fail"));
        let answer = world
            .client
            .post(url)
            .form(&[("outcome", outcome)])
            .send()
            .await
            .unwrap();

        let shown = page(answer).await;
        assert!(
            shown.contains("https://shop.example/back?payment_intent=pi_"),
            "the way back is shown: {shown}"
        );
        let id = intent["id"].as_str().unwrap();
        let intent = ok(world.get(&format!("/v1/payment_intents/{id}"))).await;
        assert_eq!(intent["status"], status);
        assert_eq!(intent["next_action"], Value::Null);
    }
}

#[tokio::test]
async fn a_delayed_payment_is_processing_and_succeeds_by_itself() {
    let world = World::start().await;

    let intent = ok(world.charge("pay_1", "pm_card_delayed")).await;

    assert_eq!(intent["status"], "processing");
    assert_eq!(world.psp_book().await["payments"][0]["amount_charged"], 0);
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    let (status, body) = answer(world.post(&format!("{path}/cancel"), &[])).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &"payment_intent_unexpected_state".into())
    );
    eventually("the money arrives", async || {
        ok(world.get(&path)).await["status"] == "succeeded"
    })
    .await;
    assert_eq!(world.psp_book().await["payments"][0]["amount_charged"], 1000);
}

#[tokio::test]
async fn what_was_not_paid_can_be_cancelled_once() {
    let world = World::start().await;
    let intent = ok(world.post("/v1/payment_intents", &[("amount", "5"), ("currency", "USD")])).await;
    assert_eq!(intent["status"], "requires_payment_method");
    let cancel = format!("/v1/payment_intents/{}/cancel", intent["id"].as_str().unwrap());

    let canceled = ok(world.post(&cancel, &[("cancellation_reason", "abandoned")])).await;
    assert_eq!(
        (&canceled["status"], &canceled["cancellation_reason"]),
        (&"canceled".into(), &"abandoned".into())
    );

    let (status, body) = answer(world.post(&cancel, &[])).await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["payment_intent"]["status"], "canceled");
}

#[tokio::test]
async fn a_payment_is_found_by_its_metadata_and_later_if_a_lag_was_ordered() {
    let world = World::start().await;
    let intent = ok(world.charge("pay_1", "pm_card_visa")).await;
    ok(world.charge("pay_2", "pm_card_visa")).await;
    let search = || {
        world
            .get("/v1/payment_intents/search")
            .query(&[("query", "metadata['payment_no']:'pay_1'")])
    };

    let found = ok(search()).await;
    assert_eq!(found["object"], "search_result");
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(found["data"][0]["id"], intent["id"]);

    world
        .order("/control/psp/search", serde_json::json!({ "lag_seconds": 60 }))
        .await;
    assert_eq!(ok(search()).await["data"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn lists_are_newest_first_and_paged() {
    let world = World::start().await;
    for payment_no in ["pay_1", "pay_2", "pay_3"] {
        ok(world.charge(payment_no, "pm_card_visa")).await;
    }

    let first = ok(world.get("/v1/payment_intents?limit=2&expand[]=data.latest_charge")).await;
    assert_eq!(
        (&first["has_more"], &first["data"][0]["metadata"]["payment_no"]),
        (&true.into(), &"pay_3".into())
    );
    assert_eq!(first["data"][0]["latest_charge"]["object"], "charge");
    let after = first["data"][1]["id"].as_str().unwrap();
    let second = ok(world.get(&format!("/v1/payment_intents?limit=2&starting_after={after}"))).await;
    assert_eq!(
        (&second["has_more"], &second["data"][0]["metadata"]["payment_no"]),
        (&false.into(), &"pay_1".into())
    );
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_charges_once() {
    let world = World::start().await;
    let charge = |method| world.charge("pay_1", method).header("idempotency-key", "key-1");

    let first = charge("pm_card_visa").send().await.unwrap();
    let request_id = first.headers()["request-id"].clone();
    let first: Value = first.json().await.unwrap();
    let second = charge("pm_card_visa").send().await.unwrap();

    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.headers()["original-request"], request_id);
    assert_eq!(second.json::<Value>().await.unwrap(), first);
    let (status, body) = answer(charge("pm_card_delayed")).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &"idempotency_error".into())
    );
    assert_eq!(world.psp_book().await["payments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_decline_is_replayed_but_a_mistake_leaves_the_key_free() {
    let world = World::start().await;
    let charge = |method| world.charge("pay_1", method).header("idempotency-key", "key-1");
    let mistake = world
        .post("/v1/payment_intents", &[("amount", "0")])
        .header("idempotency-key", "key-1");
    assert_eq!(answer(mistake).await.0, 400);

    let (first, body) = answer(charge("pm_card_visa_chargeDeclined")).await;
    let (second, same) = answer(charge("pm_card_visa_chargeDeclined")).await;

    assert_eq!((first, second), (402, 402));
    assert_eq!(body, same);
    assert_eq!(world.psp_book().await["payments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_whose_first_request_still_runs_is_a_409() {
    let world = World::start().await;
    let slow = serde_json::json!({ "operation": "payment", "behaviour": "delay", "delay_ms": 600 });
    world.order("/control/psp/next", slow).await;
    let charge = || {
        world
            .charge("pay_1", "pm_card_visa")
            .header("idempotency-key", "key-1")
    };
    let first = tokio::task::JoinSet::from_iter([answer(charge())]);
    eventually("the slow request has begun", async || {
        let orders = world.control("/control/state").await;
        orders["psp"]["orders"].as_array().unwrap().is_empty()
    })
    .await;

    let (status, body) = answer(charge()).await;

    assert_eq!(
        (status, &body["error"]["code"]),
        (409, &"idempotency_key_in_use".into())
    );
    assert_eq!(
        first.join_all().await[0].0,
        200,
        "the first is answered all the same"
    );
}

#[tokio::test]
async fn what_stripe_would_refuse_is_refused() {
    let world = World::start().await;
    let no_way_back: Vec<_> = charge_form("pay_1", "pm_card_visa")
        .into_iter()
        .filter(|(name, _)| *name != "return_url")
        .collect();
    for (form, param) in [
        (vec![("currency", "usd")], "amount"),
        (vec![("amount", "0"), ("currency", "usd")], "amount"),
        (vec![("amount", "1.5"), ("currency", "usd")], "amount"),
        (vec![("amount", "100000000"), ("currency", "usd")], "amount"),
        (vec![("amount", "5"), ("currency", "xyz")], "currency"),
        (vec![("amount", "5"), ("currency", "usd"), ("foo", "bar")], "foo"),
        (
            vec![
                ("amount", "5"),
                ("currency", "usd"),
                ("payment_method", "pm_unknown"),
            ],
            "payment_method",
        ),
        (no_way_back, "return_url"),
    ] {
        let (status, body) = answer(world.post("/v1/payment_intents", &form)).await;
        assert_eq!(
            (status, &body["error"]["param"]),
            (400, &param.into()),
            "{form:?}: {body}"
        );
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
    let (status, body) = answer(world.get("/v1/payment_intents/pi_none")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &"resource_missing".into())
    );
    let url = world.url("/stripe/v1/payment_intents");
    assert_eq!(answer(world.client.get(&url)).await.0, 401);
    assert_eq!(
        answer(world.client.get(&url).bearer_auth("sk_test_wrong"))
            .await
            .0,
        401
    );
    assert_eq!(
        answer(world.client.get(&url).basic_auth("sk_test_simulator", Some("")))
            .await
            .0,
        200
    );
    let json = world
        .client
        .post(&url)
        .bearer_auth("sk_test_simulator")
        .json(&serde_json::json!({}));
    assert_eq!(answer(json).await.0, 400, "JSON is no form");
    assert_eq!(answer(world.get("/v1/customers")).await.0, 404);
    assert!(world.psp_book().await["payments"].as_array().unwrap().is_empty());
}
