//! Refunds: bounded by the charge, found again, and honest when they fail.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{World, answer, eventually, ok, snapshot};

async fn paid(world: &World, method: &str) -> String {
    ok(world.charge("pay_1", method)).await["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_refund_gives_back_what_it_says_and_is_in_the_books() {
    let world = World::start().await;
    let intent = paid(&world, "pm_card_visa").await;

    let form = [
        ("payment_intent", &*intent),
        ("amount", "300"),
        ("metadata[refund_no]", "ref_1"),
    ];
    let refund = ok(world.post("/v1/refunds", &form)).await;
    let rest = ok(world.post("/v1/refunds", &[("payment_intent", &*intent)])).await;

    assert_eq!(
        (&refund["status"], &rest["amount"]),
        (&"succeeded".into(), &700.into())
    );
    snapshot("refund", refund.clone());
    let book = world.psp_book().await;
    assert_eq!(book["payments"][0]["amount_refunded"], 1000);
    assert_eq!(book["refunds"][0]["refund_no"], "ref_1");
    assert_eq!(book["refunds"][0]["payment_no"], "pay_1");
    let (status, body) = answer(world.post("/v1/refunds", &[("payment_intent", &*intent)])).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &"charge_already_refunded".into())
    );
    let listed = ok(world.get(&format!("/v1/refunds?payment_intent={intent}"))).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let id = refund["id"].as_str().unwrap();
    assert_eq!(ok(world.get(&format!("/v1/refunds/{id}"))).await, refund);
}

#[tokio::test]
async fn concurrent_refunds_never_exceed_the_charge() {
    let world = World::start().await;
    let intent = paid(&world, "pm_card_visa").await;
    let form = [("payment_intent", &*intent), ("amount", "300")];

    let answers = join_all((0..10).map(|_| answer(world.post("/v1/refunds", &form)))).await;

    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 3);
    assert_eq!(world.psp_book().await["payments"][0]["amount_refunded"], 900);
}

#[tokio::test]
async fn nothing_is_refunded_that_was_not_charged() {
    let world = World::start().await;
    let (_, body) = answer(world.charge("pay_1", "pm_card_visa_chargeDeclined")).await;
    let intent = body["error"]["payment_intent"]["id"].as_str().unwrap();
    for form in [
        [("payment_intent", intent)],
        [("payment_intent", "pi_none")],
        [("charge", "ch_none")],
        [("amount", "5")],
    ] {
        assert_eq!(answer(world.post("/v1/refunds", &form)).await.0, 400, "{form:?}");
    }
    assert!(world.psp_book().await["refunds"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn refunds_may_take_time_or_fail_in_the_end() {
    for (method, first, last, refunded) in [
        ("pm_card_pendingRefund", "pending", "succeeded", 1000),
        ("pm_card_refundFail", "succeeded", "failed", 0),
    ] {
        let world = World::start_with_webhooks().await;
        let intent = paid(&world, method).await;
        let refund = ok(world.post("/v1/refunds", &[("payment_intent", &*intent)])).await;
        assert_eq!(refund["status"], first);
        let path = format!("/v1/refunds/{}", refund["id"].as_str().unwrap());
        eventually("the refund ends", async || {
            ok(world.get(&path)).await["status"] == last
        })
        .await;
        assert_eq!(world.psp_book().await["payments"][0]["amount_refunded"], refunded);
        let told = if last == "failed" {
            "refund.failed"
        } else {
            "refund.updated"
        };
        world
            .expect_events("psp", &["payment_intent.succeeded", "refund.created", told])
            .await;
    }
}

#[tokio::test]
async fn an_ordered_decline_fails_the_next_refund_only() {
    let world = World::start_with_webhooks().await;
    let intent = paid(&world, "pm_card_visa").await;
    world
        .order(
            "/control/psp/next",
            json!({ "operation": "refund", "behaviour": "decline" }),
        )
        .await;

    let declined = ok(world.post("/v1/refunds", &[("payment_intent", &*intent)])).await;
    let second = ok(world.post("/v1/refunds", &[("payment_intent", &*intent)])).await;

    assert_eq!(
        (&declined["status"], &declined["failure_reason"]),
        (&"failed".into(), &"declined".into())
    );
    assert_eq!(
        (&second["status"], &second["failure_reason"]),
        (&"succeeded".into(), &Value::Null)
    );
    assert_eq!(world.psp_book().await["payments"][0]["amount_refunded"], 1000);
    world
        .expect_events(
            "psp",
            &[
                "payment_intent.succeeded",
                "refund.created",
                "refund.failed",
                "refund.created",
            ],
        )
        .await;
}
