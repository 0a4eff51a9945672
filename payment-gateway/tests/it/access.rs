//! Who may ask: signatures, keys, tokens, and what is told to other services.

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use payment_gateway::http;
use schemas::ids::ApiKeyId;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::request::{self, Signer, Unsigned};
use crate::support::world::{AUDIENCE, order};

const NOTHING: Value = Value::Null;

fn unsigned(body: &Value) -> Unsigned<'static> {
    Unsigned {
        method: "POST",
        path: "/api/v1/payments",
        key: None,
        body: body.to_string(),
    }
}

#[tokio::test]
async fn a_request_that_the_merchant_did_not_sign_is_refused() {
    let world = World::new().await;
    let now = world.clock.now();
    let order = unsigned(&order("order-1", Some("pm_card_visa")));
    let signed = || world.merchant.sign(&order, now);
    let (parts, _) = signed().into_parts();
    let tampered = |body: &str, change: &dyn Fn(&mut axum::http::request::Parts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        Request::from_parts(parts, Body::from(body.to_owned()))
    };
    let other = Signer {
        secret: "wrong".to_owned(),
        ..world.merchant.clone()
    };
    let unknown = Signer {
        api_key: ApiKeyId::generate(),
        ..world.merchant.clone()
    };
    let late = SignedDuration::from_secs(301);
    for (request, problem) in [
        (
            tampered(&order.body, &|parts| drop(parts.headers.remove("x-signature"))),
            "signature-missing",
        ),
        (
            tampered(&order.body, &|parts| drop(parts.headers.remove("x-api-key"))),
            "signature-missing",
        ),
        (
            tampered(&order.body, &|parts| {
                drop(parts.headers.insert("x-signature", "v1".parse().unwrap()));
            }),
            "signature-malformed",
        ),
        (
            tampered(&order.body.replace("1000", "9000"), &|_| {}),
            "signature-mismatch",
        ),
        (
            tampered(&order.body, &|parts| {
                parts.uri = "/api/v1/payments?x=1".parse().unwrap();
            }),
            "signature-mismatch",
        ),
        (
            tampered(&order.body, &|parts| {
                drop(parts.headers.insert("idempotency-key", "k".parse().unwrap()));
            }),
            "signature-mismatch",
        ),
        (other.sign(&order, now), "signature-mismatch"),
        (world.merchant.sign(&order, now - late), "signature-stale"),
        (world.merchant.sign(&order, now + late), "signature-stale"),
        (unknown.sign(&order, now), "api-key-unknown"),
    ] {
        world.send(request).await.refused(401, problem);
    }
    assert_eq!(world.rows("payments").await, 0);
    world.send(signed()).await.expect(201);
}

#[tokio::test]
async fn staff_let_a_merchant_in_suspend_it_and_let_it_in_again() {
    let world = World::new().await;
    let merchant =
        json!({ "name": "Shop", "email": "shop@example.com", "notify_url": "https://shop.example/hook" });
    let created = world
        .staff("POST", "/api/v1/merchants", &merchant)
        .await
        .expect(201);
    assert!(created.text("webhook_secret").starts_with("whsec_"));
    let path = format!("/api/v1/merchants/{}", created.text("merchant_id"));
    let shown = world.staff("GET", &path, &NOTHING).await.expect(200);
    assert_eq!(
        (&shown.json["status"], shown.json.get("webhook_secret")),
        (&json!("active"), None)
    );

    let key = world
        .staff("POST", &format!("{path}/api-keys"), &NOTHING)
        .await
        .expect(201);
    let signer = Signer {
        merchant_id: created.text("merchant_id").parse().unwrap(),
        api_key: key.text("api_key").parse().unwrap(),
        secret: key.text("api_secret"),
    };
    let pay = async |order_no: &str| {
        let order = order(order_no, Some("pm_card_visa"));
        world
            .call_as(&signer, "POST", "/api/v1/payments", None, &order)
            .await
    };
    pay("order-1").await.expect(201);
    world
        .staff("POST", &format!("{path}/suspend"), &NOTHING)
        .await
        .expect(200);
    pay("order-2").await.refused(403, "merchant-suspended");
    world
        .staff("POST", &format!("{path}/activate"), &NOTHING)
        .await
        .expect(200);
    pay("order-2").await.expect(201);
    // Another merchant neither sees nor changes it.
    world.get(&path).await.refused(404, "not-found");
    assert_eq!(
        world
            .call("POST", "/api/v1/merchants", None, &merchant)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_key_is_rotated_without_a_gap_and_revoked_at_once() {
    let world = World::new().await;
    let keys = format!("/api/v1/merchants/{}/api-keys", world.merchant.merchant_id);
    let old = world.merchant.clone();
    let rotated = world
        .staff("POST", &format!("{keys}/{}/rotate", old.api_key), &NOTHING)
        .await
        .expect(201);
    let new = Signer {
        api_key: rotated.text("api_key").parse().unwrap(),
        secret: rotated.text("api_secret"),
        ..old.clone()
    };
    for signer in [&old, &new] {
        world
            .call_as(signer, "GET", "/api/v1/payments", None, &NOTHING)
            .await
            .expect(200);
    }
    assert_eq!(world.staff("POST", &keys, &NOTHING).await.status, 409);
    world
        .staff("DELETE", &format!("{keys}/{}", old.api_key), &NOTHING)
        .await
        .expect(204);
    world
        .call_as(&old, "GET", "/api/v1/payments", None, &NOTHING)
        .await
        .refused(401, "api-key-revoked");
    world
        .call_as(&new, "GET", "/api/v1/payments", None, &NOTHING)
        .await
        .expect(200);
    world.staff("POST", &keys, &NOTHING).await.expect(201);
    let listed = world.staff("GET", &keys, &NOTHING).await.expect(200);
    let listed = listed.json["data"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|key| key.get("api_secret").is_none()));
    world
        .staff("DELETE", &format!("{keys}/{}", ApiKeyId::generate()), &NOTHING)
        .await
        .refused(404, "not-found");
}

#[tokio::test]
async fn a_merchants_token_names_it_and_verifies_by_the_published_keys() {
    let world = World::new().await;
    let token = world
        .call("POST", "/api/v1/tokens", None, &NOTHING)
        .await
        .expect(200);
    assert_eq!(
        (&token.json["token_type"], &token.json["expires_in"]),
        (&json!("Bearer"), &json!(900))
    );
    assert_eq!(token.headers["cache-control"], "no-store");
    let jwks = world
        .send(
            Request::get("/.well-known/jwks.json")
                .body(Body::empty())
                .unwrap(),
        )
        .await
        .expect(200);
    assert!(
        !jwks.json.to_string().contains("\"d\""),
        "the private key is published"
    );
    let jwks: JwkSet = serde_json::from_value(jwks.json).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["https://gateway.example"]);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(&jwks.keys[0]).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token.text("access_token"), &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], json!(world.merchant.merchant_id));
    assert_eq!(claims["exp"], json!(world.clock.now().as_second() + 900));
}

#[tokio::test]
async fn a_merchants_token_reads_and_does_not_write() {
    let world = World::new().await;
    let payment_no = world.paid("order-1").await;
    let token = world
        .call("POST", "/api/v1/tokens", None, &NOTHING)
        .await
        .expect(200)
        .text("access_token");
    let path = format!("/api/v1/payments/{payment_no}");
    world.bearer(&token, "GET", &path, &NOTHING).await.expect(200);
    world
        .bearer(&token, "GET", "/api/v1/payments", &NOTHING)
        .await
        .expect(200);
    let refund = json!({ "amount": 1 });
    world
        .bearer(&token, "POST", &format!("{path}/refunds"), &refund)
        .await
        .refused(401, "signature-missing");
    world
        .bearer(&token, "POST", "/api/v1/merchants", &NOTHING)
        .await
        .refused(403, "forbidden");
    let stuck = "/api/v1/staff/payments?condition=stuck";
    world
        .bearer(&token, "GET", stuck, &NOTHING)
        .await
        .refused(403, "forbidden");

    let other = world.another_merchant().await;
    let token = world
        .call_as(&other, "POST", "/api/v1/tokens", None, &NOTHING)
        .await
        .expect(200)
        .text("access_token");
    world
        .bearer(&token, "GET", &path, &NOTHING)
        .await
        .refused(404, "not-found");
}

#[tokio::test]
async fn contacts_are_told_to_services_until_the_customer_is_erased() {
    let world = World::new().await;
    let mut wish = order("order-1", Some("pm_card_visa"));
    wish["customer_phone"] = json!("+4915112345678");
    wish["notify_url"] = json!("https://shop.example/hook");
    let payment = world
        .call("POST", "/api/v1/payments", None, &wish)
        .await
        .expect(201);
    let (payment_no, customer_ref) = (payment.text("payment_no"), payment.text("customer_ref"));
    let contacts = async |merchant_id: &str| {
        let path = format!("/internal/v1/contacts/{merchant_id}?payment_no={payment_no}");
        let request = Request::get(path).body(Body::empty()).unwrap();
        request::send(http::internal(world.app.clone()), request).await
    };
    let merchant_id = world.merchant.merchant_id.to_string();
    let told = contacts(&merchant_id).await.expect(200);
    assert_eq!(
        told.json["customer"],
        json!({ "customer_ref": customer_ref, "email": "ada@example.com", "phone": "+4915112345678", "erased": false })
    );
    assert_eq!(told.json["merchant"]["webhook_secret"], "whsec_x");
    assert_eq!(told.json["payment"]["notify_url"], "https://shop.example/hook");
    let other = world.another_merchant().await;
    contacts(&other.merchant_id.to_string())
        .await
        .refused(404, "not-found");

    let path = format!("/api/v1/customers/{customer_ref}");
    world
        .call_as(&other, "DELETE", &path, None, &NOTHING)
        .await
        .refused(404, "not-found");
    for _ in 0..2 {
        world.call("DELETE", &path, None, &NOTHING).await.expect(204);
        let told = contacts(&merchant_id).await.expect(200);
        assert_eq!(
            told.json["customer"],
            json!({ "customer_ref": customer_ref, "email": null, "phone": null, "erased": true })
        );
    }
    // The payment stays, and the same address is somebody new.
    assert_eq!(world.status(&payment_no).await, "success");
    let again = world.pay("order-2", Some("pm_card_visa")).await.expect(201);
    assert_ne!(again.text("customer_ref"), customer_ref);
}

#[tokio::test]
async fn erasing_a_customer_clears_what_the_merchant_wrote_on_their_payments() {
    let world = World::new().await;
    let order = |order_no: &str, email: &str| {
        json!({
            "order_no": order_no, "amount": 1000, "currency": "EUR", "payment_method": "pm_card_visa",
            "customer_email": email, "description": "a gift for Ada", "metadata": { "name": "Ada Lovelace" },
        })
    };
    let (hers, others) = (
        order("order-1", "ada@example.com"),
        order("order-2", "bob@example.com"),
    );
    let pay = async |order: &Value, key| {
        world
            .call("POST", "/api/v1/payments", Some(key), order)
            .await
            .expect(201)
    };
    let (first, other) = (pay(&hers, "key-1").await, pay(&others, "key-2").await);
    let path = format!("/api/v1/customers/{}", first.text("customer_ref"));
    world.call("DELETE", &path, None, &NOTHING).await.expect(204);

    let (payment_no, other) = (first.text("payment_no"), other.text("payment_no"));
    let read = async |number: &str| {
        world
            .get(&format!("/api/v1/payments/{number}"))
            .await
            .expect(200)
            .json
    };
    let erased = read(&payment_no).await;
    assert_eq!(
        (&erased["description"], &erased["metadata"], &erased["status"]),
        (&NOTHING, &json!({}), &json!("success"))
    );
    assert_eq!(
        read(&other).await["metadata"]["name"],
        "Ada Lovelace",
        "another customer's"
    );
    // The first answer is forgotten too, and the key still makes no second payment.
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    let again = pay(&hers, "key-1").await;
    assert_eq!(
        (again.text("payment_no"), &again.json["description"]),
        (payment_no, &NOTHING)
    );
    assert_eq!(world.rows("payments").await, 2);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let world = World::new().await;
    let document = world
        .send(Request::get("/openapi.json").body(Body::empty()).unwrap())
        .await
        .expect(200);
    for path in [
        "/api/v1/payments",
        "/api/v1/payments/{payment_no}/refunds",
        "/api/v1/merchants",
        "/webhooks/stripe",
    ] {
        assert!(
            document.json["paths"].get(path).is_some(),
            "{path} is not described"
        );
    }
    let page = world
        .send(Request::get("/docs/").body(Body::empty()).unwrap())
        .await;
    assert_eq!(page.status, 200);
}
