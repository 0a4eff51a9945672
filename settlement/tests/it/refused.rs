//! Bad input: each kind has its own problem, and changes nothing.

use axum::body::Body;
use axum::http::{Request, header};
use schemas::ids::MerchantId;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::requests::{ALICE, BOB, number};

const NINTH: &str = "2026-03-09T10:00:00Z";

/// A world with one settlement that waits for approval.
async fn world() -> (World, String) {
    let world = World::new().await;
    world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    let settlement_no = number(&world.settle().await.ok());
    (world, settlement_no)
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn a_settlement_of_nonsense_is_refused() {
    let world = World::new().await;
    world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    let good = json!({
        "merchant_id": world.merchant_id, "cycle": "daily", "currency": "EUR",
        "start_date": "2026-03-09", "end_date": "2026-03-09",
    });
    for (field, value, slug) in [
        ("merchant_id", json!("somebody"), "invalid-request"),
        (
            "merchant_id",
            json!("pay_01h455vb4pex5vsknk084sn02q"),
            "invalid-request",
        ),
        ("merchant_id", json!(MerchantId::generate()), "nothing-to-settle"),
        ("cycle", json!("weekly"), "invalid-request"),
        ("currency", json!("eur"), "unknown-currency"),
        ("currency", json!("XXX"), "unknown-currency"),
        ("currency", json!("USD"), "nothing-to-settle"),
        ("start_date", json!("yesterday"), "invalid-period"),
        ("start_date", json!(20_260_309), "invalid-request"),
        ("start_date", json!("2026-03-10"), "invalid-period"),
        ("end_date", json!("2026-03-09T10:00:00"), "invalid-period"),
        ("end_date", json!("2026-03-08"), "invalid-period"),
        ("amount", json!(1), "unknown-field"),
    ] {
        let body = with(good.clone(), field, value.clone());
        let refused = world.post(ALICE, "/api/v1/settlements", body).await;
        refused.refused(422, slug);
    }
    let request = Request::post("/api/v1/settlements")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.staff(ALICE)))
        .header(header::CONTENT_TYPE, "application/json");
    world
        .send(request.body(Body::from("{")).unwrap())
        .await
        .refused(400, "not-json");
    let huge = with(good, "start_date", json!("2".repeat(300 * 1024)));
    world
        .post(ALICE, "/api/v1/settlements", huge)
        .await
        .refused(413, "too-large");
    assert_eq!(world.count("select count(*) from settlements").await, 0);
    assert_eq!(world.count("select count(*) from eventing.outbox").await, 0);
}

#[tokio::test]
async fn an_approval_needs_a_second_person_who_speaks_for_himself() {
    let (world, settlement_no) = world().await;
    let path = format!("/api/v1/settlements/{settlement_no}/approve");
    let good = json!({"approver_id": BOB, "approver_name": "Bob", "comments": "fine"});
    let own = with(good.clone(), "approver_id", json!(ALICE));
    world
        .post(ALICE, &path, own.clone())
        .await
        .refused(403, "creator-cannot-approve");
    world
        .post(BOB, &path, own)
        .await
        .refused(403, "approver-mismatch");
    for (field, value, slug) in [
        ("approver_name", json!("B".repeat(101)), "text-too-long"),
        ("comments", json!("x".repeat(1_001)), "text-too-long"),
        ("comments", json!("a\u{1b}[2Jb"), "control-characters"),
        ("approver_id", json!(7), "invalid-request"),
        ("approved", json!(true), "unknown-field"),
    ] {
        world
            .post(BOB, &path, with(good.clone(), field, value))
            .await
            .refused(422, slug);
    }
    world
        .post(BOB, &path, json!({}))
        .await
        .refused(422, "invalid-request");
    let nobody = "/api/v1/settlements/stl_01h455vb4pex5vsknk084sn02q/approve";
    world
        .post(BOB, nobody, good.clone())
        .await
        .refused(404, "not-found");
    world
        .post(BOB, "/api/v1/settlements/nonsense/approve", good)
        .await
        .refused(404, "not-found");
    assert_eq!(
        world.settlement(&settlement_no).await["status"],
        "pending_approval"
    );
    assert_eq!(world.told(&settlement_no).await.len(), 1);
}

#[tokio::test]
async fn terms_of_nonsense_are_refused() {
    let world = World::new().await;
    let path = format!("/api/v1/merchants/{}/terms", world.merchant_id);
    let good = json!({"basis_points": 100, "fixed_minor": 10});
    for (field, value, slug) in [
        ("basis_points", json!(-1), "invalid-terms"),
        ("basis_points", json!(10_001), "invalid-terms"),
        ("basis_points", json!(1.5), "invalid-request"),
        (
            "basis_points",
            json!(9_223_372_036_854_775_808_u64),
            "invalid-request",
        ),
        ("fixed_minor", json!(-1), "invalid-terms"),
        ("valid_from", json!("2026-03-10T11:59:59Z"), "terms-in-the-past"),
        ("valid_from", json!("soon"), "invalid-request"),
        ("percent", json!(1), "unknown-field"),
    ] {
        world
            .put(ALICE, &path, with(good.clone(), field, value))
            .await
            .refused(422, slug);
    }
    assert_eq!(world.count("select count(*) from merchant_terms").await, 0);
}

#[tokio::test]
async fn only_staff_with_the_role_write() {
    let (world, settlement_no) = world().await;
    let merchant = world.outside.issuers.merchant(world.merchant_id, &world.clock);
    let clerk = world.outside.issuers.staff("staff_clerk", &[], &world.clock);
    let paths =
        ["approve", "reject", "execute"].map(|step| format!("/api/v1/settlements/{settlement_no}/{step}"));
    for token in [&merchant, &clerk] {
        for path in &paths {
            let body = json!({"approver_id": "staff_clerk"});
            world.post_with(token, path, body).await.refused(403, "forbidden");
        }
        let body = json!({
            "merchant_id": world.merchant_id, "cycle": "daily", "start_date": "2026-03-09", "end_date": "2026-03-09",
        });
        world
            .post_with(token, "/api/v1/settlements", body)
            .await
            .refused(403, "forbidden");
    }
    world
        .get_as_merchant(world.merchant_id, "/api/v1/trial-balance")
        .await
        .refused(403, "forbidden");
    for path in [
        "/api/v1/settlements",
        "/api/v1/withdrawals",
        "/api/v1/balances",
        "/api/v1/trial-balance",
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        world.send(request).await.refused(401, "unauthenticated");
    }
    assert_eq!(
        world.settlement(&settlement_no).await["status"],
        "pending_approval"
    );
}

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let (world, settlement_no) = world().await;
    world.approve(&settlement_no).await.ok();
    let executed = world.execute(&settlement_no).await.ok();
    let withdrawal_no = executed["withdrawal_no"].as_str().unwrap();
    let other = MerchantId::generate();
    for path in [
        format!("/api/v1/settlements/{settlement_no}"),
        format!("/api/v1/settlements/{settlement_no}/entries"),
        format!("/api/v1/withdrawals/{withdrawal_no}"),
        format!("/api/v1/merchants/{}/terms", world.merchant_id),
        format!("/api/v1/balances?merchant_id={}", world.merchant_id),
        format!("/api/v1/settlements?merchant_id={}", world.merchant_id),
        format!("/api/v1/withdrawals?merchant_id={}", world.merchant_id),
    ] {
        world
            .get_as_merchant(other, &path)
            .await
            .refused(404, "not-found");
        world.get_as_merchant(world.merchant_id, &path).await.ok();
    }
    for path in ["/api/v1/settlements", "/api/v1/withdrawals", "/api/v1/balances"] {
        assert_eq!(
            world.get_as_merchant(other, path).await.ok()["data"],
            json!([]),
            "{path}"
        );
    }
    let own = world
        .get_as_merchant(world.merchant_id, &format!("/api/v1/settlements/{settlement_no}"))
        .await
        .ok();
    assert_eq!(
        (&own["comments"], &own["approver_name"]),
        (&Value::Null, &Value::Null),
        "internal"
    );
    assert_eq!(world.settlement(&settlement_no).await["comments"], "fine");
}

#[tokio::test]
async fn a_question_of_nonsense_is_refused() {
    let (world, settlement_no) = world().await;
    for (path, slug) in [
        ("/api/v1/settlements?limit=0", "invalid-request"),
        ("/api/v1/settlements?limit=101", "invalid-request"),
        ("/api/v1/settlements?cursor=%00", "invalid-request"),
        ("/api/v1/settlements?state=approved", "unknown-field"),
        ("/api/v1/withdrawals?condition=lost", "invalid-request"),
        ("/api/v1/balances", "merchant-missing"),
    ] {
        world.get(path).await.refused(422, slug);
    }
    world.get("/api/v1/nothing").await.refused(404, "not-found");
    world
        .get(&format!("/api/v1/settlements/{settlement_no}x"))
        .await
        .refused(404, "not-found");
}

#[tokio::test]
async fn the_page_and_the_document_of_the_api_are_there() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/api/v1/settlements",
        "/api/v1/settlements/{settlement_no}/approve",
        "/webhooks/bank",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(world.get("/docs/").await.status.is_success());
}
