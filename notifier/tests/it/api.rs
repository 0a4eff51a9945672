//! What merchants and staff ask.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use notifier::domain::notice::{Channel, Recipient, Status};
use notifier::http::{AppState, routes};
use platform::config::Limits;
use schemas::MerchantId;
use schemas::settlement::SettlementEventType;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::receiver::{Behaviour, Receiver};
use crate::support::world::World;
use crate::support::{events, tokens};

struct Api(Router);

impl Api {
    async fn of(world: &World) -> Self {
        let state = AppState {
            pool: world.database.pool.clone(),
            clock: world.clock.clone(),
            tokens: tokens::verifier(world.clock.clone()).await,
        };
        Self(platform::http::guard(routes(state), Limits::default()))
    }

    async fn get(&self, token: &str, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, token, path).await
    }

    async fn call(&self, method: Method, token: &str, path: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn count(page: &Value) -> usize {
    page["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_merchant_sees_its_own_notifications_and_nobody_elses() {
    let world = World::new().await;
    let (own, other) = (MerchantId::generate(), MerchantId::generate());
    for merchant_id in [own, other] {
        world.consume(&events::succeeded(merchant_id)).await;
        world
            .consume(&events::settlement(merchant_id, SettlementEventType::Created))
            .await;
    }
    let (api, token) = (Api::of(&world).await, tokens::merchant(own));
    let all = world.notices().await;
    let anothers = all
        .iter()
        .find(|it| it.merchant_id == other)
        .unwrap()
        .notification_no;
    let internal = all
        .iter()
        .find(|it| it.recipient == Recipient::Approver(1))
        .unwrap()
        .notification_no;

    let (status, page) = api.get(&token, "/api/v1/notifications").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(count(&page), 3, "{page:#}");
    assert!(
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["merchant_id"] == own.to_string())
    );
    let (status, problem) = api
        .get(&token, &format!("/api/v1/notifications?merchant_id={other}"))
        .await;
    assert_eq!((status, &problem["status"]), (StatusCode::NOT_FOUND, &404.into()));
    for hidden in [anothers, internal] {
        let path = format!("/api/v1/notifications/{hidden}");
        assert_eq!(api.get(&token, &path).await.0, StatusCode::NOT_FOUND);
        let resend = format!("{path}/resend");
        assert_eq!(
            api.call(Method::POST, &token, &resend).await.0,
            StatusCode::NOT_FOUND
        );
    }

    let (_, page) = api.get(&tokens::staff(), "/api/v1/notifications").await;
    assert_eq!(count(&page), 10);
    let (_, page) = api
        .get(
            &tokens::staff(),
            &format!("/api/v1/notifications?merchant_id={other}"),
        )
        .await;
    assert_eq!(count(&page), 5);
}

#[tokio::test]
async fn a_list_is_narrowed_and_walked_with_a_cursor() {
    let world = World::new().await;
    let merchant_id = MerchantId::generate();
    for _ in 0..5 {
        world.consume(&events::succeeded(merchant_id)).await;
    }
    world
        .consume(&events::settlement(merchant_id, SettlementEventType::Failed))
        .await;
    let (api, token) = (Api::of(&world).await, tokens::merchant(merchant_id));

    let (mut seen, mut path) = (
        Vec::new(),
        "/api/v1/notifications?type=payment_success&limit=4".to_owned(),
    );
    loop {
        let (_, page) = api.get(&token, &path).await;
        let numbers = page["data"].as_array().unwrap().iter();
        seen.extend(numbers.map(|it| it["notification_no"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/notifications?type=payment_success&limit=4&cursor={cursor}");
    }
    assert_eq!(seen.len(), 15);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, none twice");
    let (_, page) = api.get(&token, "/api/v1/notifications?status=sent").await;
    assert_eq!(count(&page), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let (api, token) = (Api::of(&world).await, tokens::staff());
    for query in [
        "type=birthday",
        "status=lost",
        "limit=0",
        "limit=101",
        "cursor=%20",
        "colour=red",
        "merchant_id=pay_1",
    ] {
        let (status, problem) = api.get(&token, &format!("/api/v1/notifications?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {problem}");
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:problem-type:payments:"),
            "{problem}"
        );
    }
    let nobodys = api.get("nonsense", "/api/v1/notifications").await.0;
    assert_eq!(nobodys, StatusCode::UNAUTHORIZED);
    assert_eq!(
        api.get(&token, "/api/v1/notifications/ntf_1").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_failed_notification_shows_its_attempts_and_is_sent_again_under_its_id() {
    let (mut world, shop) = (World::new().await, Receiver::start().await);
    world.set("/delivery/retry_delays_ms", serde_json::json!([]));
    shop.behave(Behaviour::Answer(StatusCode::IM_A_TEAPOT));
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    world.consume(&events::succeeded(merchant_id)).await;
    let workers = world.deliver();
    let failed = world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Failed)
        .await;
    let (api, token) = (Api::of(&world).await, tokens::merchant(merchant_id));
    let path = format!("/api/v1/notifications/{}", failed.notification_no);

    let (_, shown) = api.get(&token, &path).await;
    assert_eq!(
        (&shown["status"], &shown["reason"]),
        (&"failed".into(), &"answer_refused".into())
    );
    assert_eq!(shown["attempts"][0]["answer_code"], 418);
    assert_eq!(shown["priority"], "high");
    assert_eq!(shown["masked_recipient"], format!("http://{}/***", shop.address));

    shop.behave(Behaviour::Answer(StatusCode::OK));
    let (status, shown) = api.call(Method::POST, &token, &format!("{path}/resend")).await;
    assert_eq!(
        (status, &shown["notification_no"]),
        (StatusCode::ACCEPTED, &failed.notification_no.to_string().into())
    );
    let sent = world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Sent)
        .await;
    workers.stop().await;
    assert_eq!(sent.attempts, 2);
    let requests = shop.requests();
    assert_eq!(requests[0].id(), requests[1].id());
}

#[tokio::test]
async fn what_is_pending_is_not_sent_again_nor_a_customer_at_a_merchants_wish() {
    let world = World::new().await;
    let merchant_id = world.contacts.merchant(None);
    world.consume(&events::succeeded(merchant_id)).await;
    let customers = world
        .notice(Recipient::Customer, Channel::Mail)
        .await
        .notification_no;
    let (api, path) = (
        Api::of(&world).await,
        format!("/api/v1/notifications/{customers}/resend"),
    );
    let token = tokens::merchant(merchant_id);

    let (status, problem) = api.call(Method::POST, &token, &path).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["type"], "urn:problem-type:payments:notification-pending");

    let workers = world.deliver();
    world
        .wait_for(Recipient::Customer, Channel::Mail, Status::Sent)
        .await;
    assert_eq!(
        api.call(Method::POST, &token, &path).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        api.call(Method::POST, &tokens::staff(), &path).await.0,
        StatusCode::ACCEPTED
    );
    workers.stop().await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let world = World::new().await;
    let api = Api::of(&world).await;
    let (status, document) = api.get("", "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/v1/notifications",
            "/api/v1/notifications/{notification_no}",
            "/api/v1/notifications/{notification_no}/resend",
        ]
    );
    assert!(api.get("", "/docs/").await.0.is_success());
}
