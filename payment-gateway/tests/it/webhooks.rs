//! What the PSP tells us, at whatever time, in whatever order, and who says it is the PSP.

use jiff::SignedDuration;
use platform::signature::Signature;
use serde_json::json;

use crate::support::psp::Gate;
use crate::support::world::{WEBHOOK_SECRETS, webhook_body};
use crate::support::{Behaviour, World};

async fn waiting(world: &World) -> (String, String) {
    let reply = world
        .pay("order-1", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201);
    let payment_no = reply.text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    (payment_no, id)
}

#[tokio::test]
async fn a_webhook_that_the_psp_did_not_sign_changes_nothing() {
    let world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    let body = webhook_body(
        "evt_1",
        "payment_intent.succeeded",
        &world.psp.set_intent(&id, "succeeded"),
    );
    let now = world.clock.now();
    let sign = |secret: &str, at, body: &str| {
        Signature::sign_webhook(secret.as_bytes(), at, body.as_bytes()).to_string()
    };
    let foreign = sign("whsec_other", now, &body);
    let stale = sign(WEBHOOK_SECRETS[0], now - SignedDuration::from_secs(301), &body);
    let other_body = sign(WEBHOOK_SECRETS[0], now, "{}");
    for (signature, problem) in [
        (None, "signature-missing"),
        (Some("nonsense"), "signature-malformed"),
        (Some(foreign.as_str()), "signature-mismatch"),
        (Some(other_body.as_str()), "signature-mismatch"),
        (Some(stale.as_str()), "signature-stale"),
    ] {
        world
            .webhook_signed(body.clone(), signature)
            .await
            .refused(401, problem);
    }
    assert_eq!(world.status(&payment_no).await, "requires_action");
    assert_eq!(world.rows("psp_events").await, 0);

    // Either secret will do while one is rolled over, also beside a digest of another.
    let (old, digest) = (
        sign(WEBHOOK_SECRETS[0], now, &body),
        foreign.split_once(",v1=").unwrap().1,
    );
    world
        .webhook_signed(body, Some(&format!("{old},v1={digest}")))
        .await
        .expect(200);
    assert_eq!(world.status(&payment_no).await, "success");
}

#[tokio::test]
async fn a_webhook_that_comes_twice_is_one_event() {
    let world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    let intent = world.psp.set_intent(&id, "succeeded");
    for event in ["evt_1", "evt_1", "evt_2"] {
        world
            .webhook(event, "payment_intent.succeeded", &intent)
            .await
            .expect(200);
    }
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.requires_action", "payment.succeeded"]
    );
    assert_eq!(world.rows("psp_conflicts").await, 0);
}

#[tokio::test]
async fn webhooks_in_the_wrong_order_end_in_the_right_state() {
    let world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    let mut stages = Vec::new();
    for status in [
        "requires_action",
        "processing",
        "requires_payment_method",
        "succeeded",
    ] {
        stages.push((status, world.psp.set_intent(&id, status)));
    }
    for (status, object) in stages.iter().rev() {
        let event = format!("evt_{status}");
        world
            .webhook(&event, "payment_intent.whatever", object)
            .await
            .expect(200);
    }
    assert_eq!(world.status(&payment_no).await, "success");
    assert_eq!(world.rows("psp_conflicts").await, 0);
}

#[tokio::test]
async fn a_webhook_before_the_answer_is_taken_and_the_answer_changes_nothing() {
    let world = World::new().await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let (reply, ()) = tokio::join!(world.pay("order-1", Some("pm_card_visa")), async {
        gate.arrived().await;
        let payment_no: uuid::Uuid = sqlx::query_scalar("select id from payments")
            .fetch_one(world.pool())
            .await
            .unwrap();
        let payment_no = schemas::ids::PaymentNo::from_uuid(payment_no).to_string();
        let intent = world.psp.intents_of(&payment_no).remove(0);
        world
            .webhook("evt_1", "payment_intent.succeeded", &intent)
            .await
            .expect(200);
        assert_eq!(world.status(&payment_no).await, "success");
        gate.open();
    });
    let payment_no = reply.expect(201).text("payment_no");
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.succeeded"]
    );
}

#[tokio::test]
async fn a_success_for_a_payment_that_was_cancelled_is_a_recorded_conflict() {
    let world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    world
        .call(
            "POST",
            &format!("/api/v1/payments/{payment_no}/cancel"),
            None,
            &json!(null),
        )
        .await
        .expect(200);
    let intent = world.psp.set_intent(&id, "succeeded");
    for event in ["evt_1", "evt_2"] {
        world
            .webhook(event, "payment_intent.succeeded", &intent)
            .await
            .expect(200);
    }
    assert_eq!(world.status(&payment_no).await, "cancelled");
    assert_eq!(
        world.event_types(&payment_no).await.last(),
        Some(&"payment.cancelled")
    );
    let conflicts = world
        .staff("GET", "/api/v1/staff/payments?condition=conflict", &json!(null))
        .await
        .expect(200);
    let conflicts = conflicts.json["data"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0]["payment_no"], json!(payment_no));
    assert_eq!(conflicts[0]["conflict"]["kind"], "late_success");
    assert_eq!(conflicts[0]["conflict"]["psp_reference"], json!(id));
}

#[tokio::test]
async fn an_object_that_is_not_what_we_asked_for_is_not_applied() {
    let world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    let mut less = world.psp.set_intent(&id, "succeeded");
    less["amount_received"] = json!(999);
    let mut dollars = world.psp.set_intent(&id, "succeeded");
    dollars["currency"] = json!("usd");
    let mut nobodys = world.psp.set_intent(&id, "succeeded");
    nobodys["metadata"] = json!({});
    for (event, object) in [("evt_1", less), ("evt_2", dollars), ("evt_3", nobodys)] {
        world
            .webhook(event, "payment_intent.succeeded", &object)
            .await
            .expect(200);
        assert_eq!(world.status(&payment_no).await, "requires_action");
    }
    let kinds: Vec<String> = sqlx::query_scalar("select kind from psp_conflicts order by kind")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(kinds, ["wrong_amount", "wrong_payment"]);
}

#[tokio::test]
async fn what_is_not_final_is_asked_for_and_comes_again_while_the_psp_is_away() {
    let mut world = World::new().await;
    let (payment_no, id) = waiting(&world).await;
    let processing = world.psp.set_intent(&id, "processing");
    world.psp.set_intent(&id, "succeeded");

    let port = world.psp.url.port();
    let here = world.app.charging.clone();
    world.psp.url.set_port(Some(1)).unwrap();
    world.app.charging = world.second_replica().await;
    world
        .webhook("evt_1", "payment_intent.processing", &processing)
        .await
        .refused(503, "psp-unavailable");
    assert_eq!(world.rows("psp_events").await, 0);

    world.psp.url.set_port(port).unwrap();
    world.app.charging = here;
    world
        .webhook("evt_1", "payment_intent.processing", &processing)
        .await
        .expect(200);
    assert_eq!(world.status(&payment_no).await, "success");
}

#[tokio::test]
async fn what_is_not_ours_is_accepted_and_ignored() {
    let world = World::new().await;
    let foreign = json!({
        "id": "pi_x", "object": "payment_intent", "status": "succeeded", "amount": 5, "currency": "eur", "metadata": {},
    });
    world
        .webhook("evt_1", "payment_intent.succeeded", &foreign)
        .await
        .expect(200);
    world
        .webhook(
            "evt_2",
            "customer.created",
            &json!({ "id": "cus_1", "object": "customer" }),
        )
        .await
        .expect(200);
    let body = "{\"id\":1}".to_owned();
    let signature =
        Signature::sign_webhook(WEBHOOK_SECRETS[0].as_bytes(), world.clock.now(), body.as_bytes());
    world
        .webhook_signed(body, Some(&signature.to_string()))
        .await
        .refused(422, "event-unreadable");
    assert_eq!(world.rows("eventing.outbox").await, 0);
}

#[tokio::test]
async fn the_hosted_pages_own_end_expires_the_payment() {
    let world = World::new().await;
    let payment_no = world.pay("order-1", None).await.expect(201).text("payment_no");
    let mut session = world.psp.session_of(&payment_no);
    session["status"] = json!("expired");
    world
        .webhook("evt_1", "checkout.session.expired", &session)
        .await
        .expect(200);
    assert_eq!(world.status(&payment_no).await, "expired");
}
