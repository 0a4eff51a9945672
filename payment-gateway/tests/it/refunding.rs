//! Giving money back.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::psp::Gate;
use crate::support::{Behaviour, World};

#[tokio::test]
async fn a_payment_is_refunded_in_part_and_then_in_full() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let part = world
        .refund(
            &payment_no,
            "key-1",
            &json!({ "amount": 300, "reason": "broken" }),
        )
        .await
        .expect(201);
    assert_eq!(
        (&part.json["status"], &part.json["amount"]),
        (&json!("succeeded"), &json!(300))
    );
    assert_eq!(world.status(&payment_no).await, "partially_refunded");

    // No body: all that is left.
    let path = format!("/api/v1/payments/{payment_no}/refunds");
    let rest = world
        .call("POST", &path, Some("key-2"), &json!(null))
        .await
        .expect(201);
    assert_eq!(rest.json["amount"], 700);
    let payment = world
        .get(&format!("/api/v1/payments/{payment_no}"))
        .await
        .expect(200);
    assert_eq!(
        (&payment.json["status"], &payment.json["amount_refunded"]),
        (&json!("refunded"), &json!(1000))
    );

    let events = world.events(&payment_no).await;
    let told: Vec<_> = events[2..]
        .iter()
        .map(|event| {
            (
                event.event_type.as_str(),
                event.new_status.as_str(),
                event.amount_refunded,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("refund.created", "success", 0),
            ("refund.succeeded", "partially_refunded", 300),
            ("refund.created", "partially_refunded", 300),
            ("refund.succeeded", "refunded", 1000),
        ]
    );
    let list = world.get(&path).await.expect(200);
    assert_eq!(list.json["data"].as_array().unwrap().len(), 2);
    let one = world
        .get(&format!("{path}/{}", part.text("refund_no")))
        .await
        .expect(200);
    assert_eq!(one.json["reason"], "broken");
}

#[tokio::test]
async fn concurrent_refunds_never_exceed_the_charge() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let replies = futures::future::join_all((0..10).map(|index| {
        let (world, payment_no, key) = (&world, &payment_no, format!("key-{index}"));
        async move { world.refund(payment_no, &key, &json!({ "amount": 300 })).await }
    }))
    .await;
    let succeeded = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(succeeded, 3);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(422, "refund-above-rest");
    }
    assert_eq!(world.psp.refunds().len(), 3);
    let payment = world.get(&format!("/api/v1/payments/{payment_no}")).await;
    assert_eq!(payment.json["amount_refunded"], 900);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_are_one_refund() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let replies = futures::future::join_all((0..6).map(|_| {
        let (world, payment_no) = (&world, &payment_no);
        async move { world.refund(payment_no, "key-1", &json!({ "amount": 100 })).await }
    }))
    .await;
    for reply in &replies {
        assert!(
            reply.status == 201 || reply.problem() == "idempotency-key-in-flight",
            "{reply:?}"
        );
    }
    assert_eq!((world.rows("refunds").await, world.psp.refunds().len()), (1, 1));
    let again = world
        .refund(&payment_no, "key-1", &json!({ "amount": 100 }))
        .await
        .expect(201);
    assert!(again.is_replayed());
    world
        .refund(&payment_no, "key-1", &json!({ "amount": 101 }))
        .await
        .refused(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_refund_is_reserved_before_the_psp_answers() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let wish = json!({ "amount": 900 });
    let (first, ()) = tokio::join!(world.refund(&payment_no, "key-1", &wish), async {
        gate.arrived().await;
        world
            .refund(&payment_no, "key-2", &json!({ "amount": 101 }))
            .await
            .refused(422, "refund-above-rest");
        assert_eq!(world.event_types(&payment_no).await[2..], ["refund.created"]);
        gate.open();
    });
    assert_eq!(first.expect(201).json["status"], "succeeded");
}

#[tokio::test]
async fn a_failed_refund_frees_its_amount() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let failed = world
        .refund(&payment_no, "key-1", &json!({ "amount": 222 }))
        .await
        .expect(201);
    assert_eq!(
        (&failed.json["status"], &failed.json["failure"]["code"]),
        (&json!("failed"), &json!("processing_error"))
    );
    assert_eq!(
        world.event_types(&payment_no).await[2..],
        ["refund.created", "refund.failed"]
    );
    assert_eq!(world.status(&payment_no).await, "success");
    world
        .refund(&payment_no, "key-2", &json!({ "amount": 1000 }))
        .await
        .expect(201);
    assert_eq!(world.status(&payment_no).await, "refunded");
}

#[tokio::test]
async fn a_pending_refund_ends_by_webhook() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let refund = world
        .refund(&payment_no, "key-1", &json!({ "amount": 111 }))
        .await
        .expect(201);
    assert_eq!(refund.json["status"], "processing");
    let id = world.psp.refunds()[0]["id"].as_str().unwrap().to_owned();
    let object = world.psp.set_refund(&id, "succeeded");
    for event in ["evt_1", "evt_1", "evt_2"] {
        world.webhook(event, "refund.updated", &object).await.expect(200);
    }
    assert_eq!(
        world.event_types(&payment_no).await[2..],
        ["refund.created", "refund.succeeded"]
    );
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_found_and_not_repeated() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    world.psp.next(Behaviour::DropAnswer);
    let refund = world
        .refund(&payment_no, "key-1", &json!({ "amount": 400 }))
        .await
        .expect(201);
    assert_eq!(refund.json["status"], "processing");
    assert_eq!(world.sweep_after(SignedDuration::from_secs(3)).await, 1);
    assert_eq!(world.status(&payment_no).await, "partially_refunded");
    assert_eq!(
        (world.psp.refunds().len(), world.psp.count("POST /v1/refunds")),
        (1, 1)
    );
}

#[tokio::test]
async fn a_refund_that_never_arrived_is_sent_again() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    world.psp.next(Behaviour::DropBefore);
    let refund = world
        .refund(&payment_no, "key-1", &json!({ "amount": 400 }))
        .await
        .expect(201);
    assert_eq!(refund.json["status"], "processing");
    world.sweep_after(SignedDuration::from_secs(3)).await;
    assert_eq!(world.status(&payment_no).await, "partially_refunded");
    assert_eq!(world.psp.refunds().len(), 1);
}

#[tokio::test]
async fn past_the_psps_memory_a_lost_refund_fails_and_is_not_sent_again() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    world.psp.next(Behaviour::DropBefore);
    world
        .refund(&payment_no, "key-1", &json!({ "amount": 400 }))
        .await
        .expect(201);
    assert_eq!(world.sweep_after(SignedDuration::from_hours(20)).await, 1);
    assert_eq!(world.psp.count("POST /v1/refunds"), 1);
    assert_eq!(
        world.event_types(&payment_no).await[2..],
        ["refund.created", "refund.failed"]
    );
}

#[tokio::test]
async fn a_refund_that_fails_after_it_succeeded_alarms_staff() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    world
        .refund(&payment_no, "key-1", &json!({ "amount": 400 }))
        .await
        .expect(201);
    let id = world.psp.refunds()[0]["id"].as_str().unwrap().to_owned();
    let object = world.psp.set_refund(&id, "failed");
    world.webhook("evt_1", "refund.failed", &object).await.expect(200);
    assert_eq!(world.status(&payment_no).await, "partially_refunded");
    let conflicts = world
        .staff("GET", "/api/v1/staff/payments?condition=conflict", &json!(null))
        .await
        .expect(200);
    assert_eq!(
        conflicts.json["data"][0]["conflict"]["kind"],
        "refund_contradicted"
    );
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let path = format!("/api/v1/payments/{payment_no}/refunds");
    world
        .call("POST", &path, None, &json!({ "amount": 1 }))
        .await
        .refused(400, "idempotency-key-missing");
    for (body, status, problem) in [
        (json!({ "amount": 1001 }), 422, "refund-above-rest"),
        (json!({ "amount": 0 }), 422, "amount-not-positive"),
        (json!({ "amount": -1 }), 422, "amount-not-positive"),
        (json!({ "amount": 1.5 }), 422, "amount-not-integer"),
        (json!({ "amount": 1, "currency": "EUR" }), 422, "unknown-field"),
        (json!({ "reason": "x".repeat(501) }), 422, "text-too-long"),
    ] {
        world
            .refund(&payment_no, "key-1", &body)
            .await
            .refused(status, problem);
    }
    let declined = world
        .pay("order-2", Some("pm_card_visa_chargeDeclined"))
        .await
        .expect(201)
        .text("payment_no");
    world
        .refund(&declined, "key-1", &json!({}))
        .await
        .refused(409, "payment-not-refundable");
    let other = world.another_merchant().await;
    world
        .call_as(&other, "POST", &path, Some("key-1"), &json!({}))
        .await
        .refused(404, "not-found");
    world
        .call_as(&other, "GET", &path, None, &json!(null))
        .await
        .refused(404, "not-found");
    assert_eq!(
        (world.rows("refunds").await, world.rows("idempotency_keys").await),
        (0, 0)
    );
    assert_eq!(world.psp.count("POST /v1/refunds"), 0);
}
