//! What is open is asked about, by whoever is there.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::{Behaviour, World};

const SOON: SignedDuration = SignedDuration::from_secs(3);

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_found_and_not_repeated() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropAnswer);
    let reply = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    assert_eq!(reply.json["status"], "processing");
    assert_eq!(world.sweep_after(SOON).await, 1);
    let payment_no = reply.text("payment_no");
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.processing", "payment.succeeded"]
    );
    assert_eq!(world.psp.count("POST /v1/payment_intents"), 1);
    assert_eq!(
        world.sweep_after(SignedDuration::from_hours(1)).await,
        0,
        "a final payment is asked about"
    );
}

#[tokio::test]
async fn a_charge_that_never_arrived_is_posted_again_under_the_same_key() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropBefore);
    let reply = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    world.sweep_after(SOON).await;
    let payment_no = reply.text("payment_no");
    assert_eq!(world.status(&payment_no).await, "success");
    assert_eq!(world.psp.intents_of(&payment_no).len(), 1);
}

#[tokio::test]
async fn a_lost_hosted_page_is_found_by_its_key() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropAnswer);
    let reply = world.pay("order-1", None).await.expect(201);
    assert_eq!(
        (&reply.json["status"], &reply.json["payment_url"]),
        (&json!("processing"), &json!(null))
    );
    world.sweep_after(SOON).await;
    let payment_no = reply.text("payment_no");
    let payment = world
        .get(&format!("/api/v1/payments/{payment_no}"))
        .await
        .expect(200);
    assert_eq!(
        payment.json["payment_url"],
        world.psp.session_of(&payment_no)["url"]
    );
    assert_eq!(world.psp.books().sessions_len(), 1);
}

#[tokio::test]
async fn an_answer_that_proves_nothing_fails_nothing() {
    let world = World::new().await;
    for (index, behaviour) in [Behaviour::ServerError, Behaviour::Unauthorized]
        .into_iter()
        .enumerate()
    {
        world.psp.next(behaviour);
        let reply = world
            .pay(&format!("order-{index}"), Some("pm_card_visa"))
            .await
            .expect(201);
        assert_eq!(reply.json["status"], "processing");
        world.sweep_after(SOON).await;
        assert_eq!(world.status(&reply.text("payment_no")).await, "success");
    }
}

#[tokio::test]
async fn past_the_psps_memory_nothing_is_posted_again() {
    let world = World::new().await;
    world.psp.next(Behaviour::DropBefore);
    let payment_no = world
        .pay("order-1", Some("pm_card_visa"))
        .await
        .expect(201)
        .text("payment_no");
    // Nobody was there for almost a day.
    world.sweep_after(SignedDuration::from_hours(20)).await;
    assert_eq!(world.psp.count("POST /v1/payment_intents"), 1);
    assert_eq!(
        world.event_types(&payment_no).await.last(),
        Some(&"payment.expired")
    );
}

#[tokio::test]
async fn two_replicas_ask_once() {
    let world = World::new().await;
    let other = world.second_replica().await;
    for index in 0..10 {
        world
            .pay(&format!("order-{index}"), Some("pm_card_delayed"))
            .await
            .expect(201);
    }
    world.clock.advance(SOON);
    let (ours, theirs) = tokio::join!(world.charging().sweep(), other.sweep());
    let tasks: Vec<_> = ours.unwrap().into_iter().chain(theirs.unwrap()).collect();
    assert_eq!(tasks.len(), 10);
    assert!(
        other.sweep().await.unwrap().is_empty(),
        "what is claimed is claimed again"
    );
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(world.psp.count("GET /v1/payment_intents/pi_"), 10);
}

#[tokio::test]
async fn what_a_dead_replica_had_claimed_is_asked_about_by_another() {
    let world = World::new().await;
    let reply = world.pay("order-1", Some("pm_card_delayed")).await.expect(201);
    world.clock.advance(SOON);
    // Claimed, and then nothing.
    let now = world.clock.now();
    let until = world.charging().claimed_until(now);
    let claimed = payment_gateway::store::work::claim_payments(world.pool(), now, until, 10)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(world.sweep_after(SignedDuration::from_secs(39)).await, 0);
    let payment_no = reply.text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.psp.set_intent(&id, "succeeded");
    assert_eq!(world.sweep_after(SignedDuration::from_secs(2)).await, 1);
    assert_eq!(world.status(&payment_no).await, "success");
}

#[tokio::test]
async fn what_takes_too_long_expires_once_the_psp_confirms() {
    let world = World::new().await;
    let hosted = world.pay("order-1", None).await.expect(201).text("payment_no");
    let direct = world
        .pay("order-2", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201)
        .text("payment_no");
    let paid = world.pay("order-3", None).await.expect(201).text("payment_no");
    // Paid, but no webhook came.
    world
        .psp
        .pay_session(world.psp.session_of(&paid)["id"].as_str().unwrap());
    let processing = world
        .pay("order-4", Some("pm_card_delayed"))
        .await
        .expect(201)
        .text("payment_no");
    world.sweep_after(SignedDuration::from_hours(6)).await;

    assert_eq!(world.status(&hosted).await, "expired");
    assert_eq!(world.psp.session_of(&hosted)["status"], "expired");
    assert_eq!(world.status(&direct).await, "expired");
    assert_eq!(world.psp.intents_of(&direct)[0]["status"], "canceled");
    assert_eq!(
        world.status(&paid).await,
        "success",
        "expired although it was paid"
    );
    // What is being charged cannot be cancelled, so it is waited for.
    assert_eq!(world.status(&processing).await, "processing");
    let id = world.psp.intents_of(&processing)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.psp.set_intent(&id, "succeeded");
    world.sweep_after(SignedDuration::from_mins(6)).await;
    assert_eq!(world.status(&processing).await, "success");
}

#[tokio::test]
async fn staff_see_what_stays_open() {
    let world = World::new().await;
    let payment_no = world
        .pay("order-1", Some("pm_card_delayed"))
        .await
        .expect(201)
        .text("payment_no");
    world.pay("order-2", None).await.expect(201);
    let paid = world.paid("order-3").await;
    let refund = world
        .refund(&paid, "key-1", &json!({ "amount": 111 }))
        .await
        .expect(201)
        .text("refund_no");
    let stuck = "/api/v1/staff/payments?condition=stuck";
    assert_eq!(
        world.staff("GET", stuck, &json!(null)).await.expect(200).json["data"],
        json!([])
    );

    world.clock.advance(SignedDuration::from_mins(16));
    let page = world
        .staff("GET", &format!("{stuck}&limit=1"), &json!(null))
        .await
        .expect(200);
    assert_eq!(page.json["data"][0]["payment_no"], json!(payment_no));
    let next = page.text("next_cursor");
    let page = world
        .staff("GET", &format!("{stuck}&limit=1&cursor={next}"), &json!(null))
        .await
        .expect(200);
    assert_eq!(page.json["data"][0]["refund_no"], json!(refund));
    assert_eq!(page.json["next_cursor"], json!(null));
    world.get(stuck).await.refused(401, "unauthenticated");
}
