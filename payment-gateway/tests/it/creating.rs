//! A payment from the request to its outcome.

use std::time::Duration;

use serde_json::json;

use crate::support::psp::Gate;
use crate::support::request::Unsigned;
use crate::support::world::order;
use crate::support::{Behaviour, World, eventually};

#[tokio::test]
async fn a_payment_is_charged_and_told_of() {
    let world = World::new().await;
    let reply = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    assert_eq!(reply.json["status"], "success");
    assert_eq!(reply.json["amount"], 1000);
    assert_eq!(reply.json["failure"], json!(null));

    let payment_no = reply.text("payment_no");
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.succeeded"]
    );
    let intents = world.psp.intents_of(&payment_no);
    assert_eq!(
        (intents.len(), &intents[0]["amount"], &intents[0]["currency"]),
        (1, &json!(1000), &json!("eur"))
    );
}

#[tokio::test]
async fn the_payment_is_committed_before_the_psp_answers() {
    let world = World::new().await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let (reply, ()) = tokio::join!(world.pay("order-1", Some("pm_card_visa")), async {
        gate.arrived().await;
        let status: String = sqlx::query_scalar("select status from payments")
            .fetch_one(world.pool())
            .await
            .unwrap();
        assert_eq!(
            (status.as_str(), world.rows("eventing.outbox").await),
            ("pending", 1)
        );
        let in_transaction: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'",
        )
        .fetch_one(world.pool())
        .await
        .unwrap();
        assert_eq!(
            in_transaction, 0,
            "the psp is called inside a database transaction"
        );
        gate.open();
    });
    assert_eq!(reply.expect(201).json["status"], "success");
}

#[tokio::test]
async fn a_declined_payment_fails_for_a_reason_in_our_words() {
    let world = World::new().await;
    let reply = world
        .pay("order-1", Some("pm_card_visa_chargeDeclined"))
        .await
        .expect(201);
    assert_eq!(reply.json["status"], "failed");
    assert_eq!(reply.json["failure"]["code"], "insufficient_funds");
    assert!(
        !reply.json.to_string().contains("SECRET TEXT"),
        "the psp's text left: {}",
        reply.json
    );
    let events = world.events(&reply.text("payment_no")).await;
    assert_eq!(events[1].failure_code.unwrap().as_str(), "insufficient_funds");
}

#[tokio::test]
async fn a_payment_method_that_the_psp_does_not_know_is_rejected() {
    let world = World::new().await;
    let reply = world.pay("order-1", Some("pm_unheard_of")).await.expect(201);
    assert_eq!(
        (&reply.json["status"], &reply.json["failure"]["code"]),
        (&json!("failed"), &json!("rejected"))
    );
}

#[tokio::test]
async fn an_authentication_is_asked_for_and_ends_in_success() {
    let world = World::new().await;
    let reply = world
        .pay("order-1", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201);
    assert_eq!(reply.json["status"], "requires_action");
    assert_eq!(
        reply.json["next_action"],
        json!({ "type": "redirect", "redirect_url": "https://psp.example/3ds" })
    );

    let payment_no = reply.text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let intent = world.psp.set_intent(&id, "succeeded");
    world
        .webhook("evt_1", "payment_intent.succeeded", &intent)
        .await
        .expect(200);
    assert_eq!(world.status(&payment_no).await, "success");
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.requires_action", "payment.succeeded"]
    );
}

#[tokio::test]
async fn a_failed_authentication_fails_the_payment() {
    let world = World::new().await;
    let reply = world
        .pay("order-1", Some("pm_card_threeDSecure2Required"))
        .await
        .expect(201);
    let payment_no = reply.text("payment_no");
    let id = world.psp.intents_of(&payment_no)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.psp.set_intent(&id, "requires_payment_method");
    let error = json!({ "code": "payment_intent_authentication_failure" });
    let failed = world.psp.set_intent_field(&id, "last_payment_error", error);
    world
        .webhook("evt_1", "payment_intent.payment_failed", &failed)
        .await
        .expect(200);
    let payment = world
        .get(&format!("/api/v1/payments/{payment_no}"))
        .await
        .expect(200);
    assert_eq!(payment.json["status"], "failed");
    assert_eq!(payment.json["failure"]["code"], "authentication_failed");
    assert_eq!(payment.json["next_action"], json!(null));
}

#[tokio::test]
async fn without_a_method_the_customer_pays_on_the_hosted_page() {
    let world = World::new().await;
    let reply = world.pay("order-1", None).await.expect(201);
    let payment_no = reply.text("payment_no");
    let session = world.psp.session_of(&payment_no);
    assert_eq!(
        (&reply.json["status"], &reply.json["payment_url"]),
        (&json!("pending"), &session["url"])
    );

    let intent = world.psp.pay_session(session["id"].as_str().unwrap());
    world
        .webhook("evt_1", "payment_intent.succeeded", &intent)
        .await
        .expect(200);
    let paid = world
        .get(&format!("/api/v1/payments/{payment_no}"))
        .await
        .expect(200);
    assert_eq!(
        (&paid.json["status"], &paid.json["payment_url"]),
        (&json!("success"), &json!(null))
    );
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.succeeded"]
    );
}

#[tokio::test]
async fn a_slow_psp_leaves_the_payment_processing_and_the_call_goes_on() {
    let world = World::with_patience(Duration::from_millis(200)).await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let reply = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    assert_eq!(reply.json["status"], "processing");

    // The call still holds its claim, so a sweep leaves it alone.
    assert_eq!(world.sweep_after(jiff::SignedDuration::from_secs(30)).await, 0);
    gate.open();
    let payment_no = reply.text("payment_no");
    eventually("the call's answer is taken in", async || {
        world.status(&payment_no).await == "success"
    })
    .await;
    assert_eq!(
        world.event_types(&payment_no).await,
        ["payment.created", "payment.processing", "payment.succeeded"]
    );
}

#[tokio::test]
async fn the_call_goes_on_when_the_merchant_is_gone() {
    let world = World::new().await;
    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let body = order("order-1", Some("pm_card_visa")).to_string();
    let unsigned = Unsigned {
        method: "POST",
        path: "/api/v1/payments",
        key: Some("key-1"),
        body,
    };
    let request = world.merchant.sign(&unsigned, world.clock.now());
    tokio::select! {
        reply = world.send(request) => panic!("answered before the psp did: {reply:?}"),
        () = gate.arrived() => {}
    }
    gate.open();
    eventually("the answer is kept", async || {
        let answered = "select count(*) from idempotency_keys where answer_status = 201";
        sqlx::query_scalar::<_, i64>(answered)
            .fetch_one(world.pool())
            .await
            .unwrap()
            == 1
    })
    .await;
    let reply = world
        .call(
            "POST",
            "/api/v1/payments",
            Some("key-1"),
            &order("order-1", Some("pm_card_visa")),
        )
        .await;
    assert!(reply.is_replayed());
    assert_eq!(reply.expect(201).json["status"], "success");
}

#[tokio::test]
async fn a_psp_that_was_provably_not_reached_fails_the_payment() {
    let mut world = World::new().await;
    world.psp.url.set_port(Some(1)).unwrap();
    world.app.charging = world.second_replica().await;
    let reply = world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    assert_eq!(
        (&reply.json["status"], &reply.json["failure"]["code"]),
        (&json!("failed"), &json!("processing_error"))
    );
}

#[tokio::test]
async fn while_the_breaker_is_open_nothing_is_created() {
    let world = World::new().await;
    for index in 0..5 {
        world.psp.next(Behaviour::ServerError);
        let reply = world
            .pay(&format!("order-{index}"), Some("pm_card_visa"))
            .await
            .expect(201);
        assert_eq!(reply.json["status"], "processing");
    }
    let before = (world.rows("payments").await, world.rows("eventing.outbox").await);
    let key = Some("key-1");
    let reply = world
        .call(
            "POST",
            "/api/v1/payments",
            key,
            &order("order-9", Some("pm_card_visa")),
        )
        .await;
    reply.refused(503, "psp-unavailable");
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(
        (world.rows("payments").await, world.rows("eventing.outbox").await),
        before
    );
    assert_eq!(world.rows("idempotency_keys").await, 0);
    // What exists can still be asked for.
    world.pay("order-0", Some("pm_card_visa")).await.expect(200);
}

#[tokio::test]
async fn a_breaker_that_opens_after_the_payment_was_accepted_fails_nothing() {
    let world = World::new().await;
    // Between the breaker's leave and the post: the new customer cannot be written yet.
    let mut tx = world.pool().begin().await.unwrap();
    sqlx::query("lock table customers in share mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    let (reply, ()) = tokio::join!(world.pay("order-1", Some("pm_card_visa")), async {
        eventually("the payment waits for its customer", async || {
            let waiting =
                "select exists (select from pg_locks join pg_database on pg_database.oid = pg_locks.database
                           where not granted and datname = current_database())";
            sqlx::query_scalar(waiting).fetch_one(world.pool()).await.unwrap()
        })
        .await;
        open_breaker(&world).await;
        tx.rollback().await.unwrap();
    });
    assert_eq!(reply.expect(201).json["status"], "success");
}

/// Half-open, the breaker lets one request through: it is the payment's that was promised to be posted.
#[tokio::test]
async fn what_the_breaker_tries_the_psp_with_is_one_payment_and_the_next_is_refused() {
    let world = World::new().await;
    open_breaker(&world).await;
    tokio::time::pause();
    tokio::time::advance(platform::breaker::machine::OPEN_FOR + Duration::from_secs(1)).await;
    tokio::time::resume();

    let gate = Gate::new();
    world.psp.next(Behaviour::Hold(gate.clone()));
    let (first, ()) = tokio::join!(world.pay("order-1", Some("pm_card_visa")), async {
        gate.arrived().await;
        let second = world.pay("order-2", Some("pm_card_visa")).await;
        second.refused(503, "psp-unavailable");
        assert_eq!(world.rows("payments").await, 1);
        gate.open();
    });
    assert_eq!(first.expect(201).json["status"], "success");
    let reply = world.pay("order-2", Some("pm_card_visa")).await.expect(201);
    assert_eq!(reply.json["status"], "success");
}

async fn open_breaker(world: &World) {
    for _ in 0..platform::breaker::machine::MIN_REQUESTS {
        world.psp.next(Behaviour::ServerError);
        world.charging().stripe.cancel_intent("pi_unheard_of").await;
    }
    assert!(world.charging().stripe.is_refusing());
}

#[tokio::test]
async fn no_personal_data_is_on_the_topic_or_readable_in_the_database() {
    let world = World::new().await;
    let order = json!({
        "order_no": "order-1", "amount": 1000, "currency": "EUR", "payment_method": "pm_card_visa",
        "customer_email": "ada@lovelace.example", "customer_phone": "+4915112345678",
        "description": "a gift for Ada", "metadata": { "name": "Ada Lovelace" }, "notify_url": "https://ada.example/hook",
    });
    let reply = world
        .call("POST", "/api/v1/payments", None, &order)
        .await
        .expect(201);
    assert_eq!(reply.json["metadata"]["name"], "Ada Lovelace");
    let outbox: Vec<Vec<u8>> = sqlx::query_scalar("select payload || headers from eventing.outbox")
        .fetch_all(world.pool())
        .await
        .unwrap();
    let customers: Vec<Vec<u8>> = sqlx::query_scalar("select email || phone || email_digest from customers")
        .fetch_all(world.pool())
        .await
        .unwrap();
    let (outbox, customers) = (outbox.concat(), customers.concat());
    for secret in ["lovelace", "Lovelace", "15112345678", "gift", "ada.example"] {
        let contains = |bytes: &[u8]| {
            bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        };
        assert!(!contains(&outbox), "{secret} is in the outbox");
        assert!(!contains(&customers), "{secret} is readable");
    }
    // The same person is the same customer, at this merchant.
    let again = world.pay("order-2", Some("pm_card_visa")).await.expect(201);
    assert_ne!(again.json["customer_ref"], reply.json["customer_ref"]);
    let mut same = order.clone();
    same["order_no"] = json!("order-3");
    let same = world
        .call("POST", "/api/v1/payments", None, &same)
        .await
        .expect(201);
    assert_eq!(same.json["customer_ref"], reply.json["customer_ref"]);
}
