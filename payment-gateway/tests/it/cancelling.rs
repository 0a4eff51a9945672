//! A payment is cancelled when the PSP says so.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::{Behaviour, Reply, World};

async fn cancel(world: &World, payment_no: &str) -> Reply {
    world
        .call(
            "POST",
            &format!("/api/v1/payments/{payment_no}/cancel"),
            None,
            &json!(null),
        )
        .await
}

#[tokio::test]
async fn the_psp_confirms_and_the_payment_is_cancelled() {
    let world = World::new().await;
    for (order_no, method) in [
        ("order-1", None),
        ("order-2", Some("pm_card_threeDSecure2Required")),
    ] {
        let payment_no = world.pay(order_no, method).await.expect(201).text("payment_no");
        assert_eq!(
            cancel(&world, &payment_no).await.expect(200).json["status"],
            "cancelled"
        );
        // Safe to repeat.
        cancel(&world, &payment_no).await.expect(200);
        let events = world.event_types(&payment_no).await;
        assert_eq!(
            events
                .iter()
                .filter(|event| **event == "payment.cancelled")
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn what_the_psp_has_not_confirmed_is_not_cancelled_yet() {
    let world = World::new().await;
    let payment_no = world
        .pay("order-1", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201)
        .text("payment_no");
    world.psp.next(Behaviour::ServerError);
    assert_eq!(
        cancel(&world, &payment_no).await.expect(202).json["status"],
        "requires_action"
    );
    world.sweep_after(SignedDuration::from_secs(3)).await;
    assert_eq!(world.status(&payment_no).await, "cancelled");
}

#[tokio::test]
async fn what_was_charged_meanwhile_is_a_success() {
    let world = World::new().await;
    let payment_no = world
        .pay("order-1", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201)
        .text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.psp.set_intent(&id, "succeeded");
    cancel(&world, &payment_no)
        .await
        .refused(409, "payment-not-cancellable");
    assert_eq!(world.status(&payment_no).await, "success");
    cancel(&world, &payment_no)
        .await
        .refused(409, "payment-not-cancellable");
}

#[tokio::test]
async fn what_may_have_been_charged_is_not_cancelled_and_not_posted_again() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropBefore);
    let payment_no = world
        .pay("order-1", Some("pm_card_visa"))
        .await
        .expect(201)
        .text("payment_no");
    cancel(&world, &payment_no).await.expect(202);
    world.sweep_after(SignedDuration::from_mins(30)).await;
    assert_eq!(world.status(&payment_no).await, "processing");
    // By now the psp's search would show it.
    world.sweep_after(SignedDuration::from_mins(31)).await;
    assert_eq!(world.status(&payment_no).await, "cancelled");
    assert_eq!(world.psp.count("POST /v1/payment_intents"), 1);
}

#[tokio::test]
async fn another_merchants_payment_is_not_there() {
    let world = World::new().await;
    let other = world.another_merchant().await;
    let payment_no = world.pay("order-1", None).await.expect(201).text("payment_no");
    let path = format!("/api/v1/payments/{payment_no}/cancel");
    world
        .call_as(&other, "POST", &path, None, &json!(null))
        .await
        .refused(404, "not-found");
    assert_eq!(world.status(&payment_no).await, "pending");
}
