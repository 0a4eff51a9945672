//! Incoming requests: whatever is refused is a problem, and nothing costs more than it may.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use platform::Problem;
use platform::config::Limits;
use platform::http::{Json, Path, Query, RawBody, guard};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{answer, json};

const LIMITS: Limits = Limits {
    body_bytes: 1000,
    concurrency: 2,
    timeout_ms: 10_000,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    order_no: String,
    customer: Customer,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Customer {
    age: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    limit: Option<u8>,
}

fn routes() -> Router {
    let routes = Router::new()
        .route("/orders", post(async |order: Json<Order>| order))
        .route("/orders/{no}", get(async |Path(no): Path<u64>| no.to_string()))
        .route(
            "/list",
            get(async |Query(filter): Query<Filter>| format!("{:?}", filter.limit)),
        )
        .route("/raw", post(async |RawBody(body)| body))
        .route("/library", post(async |body: Bytes| body))
        .route("/panic", get(async || -> String { panic!("the key is hunter2") }))
        .route(
            "/page",
            get(async || {
                (
                    StatusCode::BAD_REQUEST,
                    [(header::CONTENT_TYPE, "text/html")],
                    "<p>",
                )
            }),
        )
        .route(
            "/plain",
            get(async || (StatusCode::IM_A_TEAPOT, [(header::RETRY_AFTER, "9")], "no coffee")),
        );
    guard(routes, LIMITS)
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request {
    let request = Request::builder().method(method).uri(path);
    request
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

async fn post_order(body: &str) -> Response {
    answer(&routes(), request(Method::POST, "/orders", body.to_owned())).await
}

/// Status, the last part of `type`, and the whole document.
async fn problem(answer: Response) -> (u16, String, serde_json::Value) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    let document = json(answer).await;
    assert_eq!(document["status"], status);
    let slug = document["type"]
        .as_str()
        .unwrap()
        .strip_prefix(platform::problem::TYPE_PREFIX)
        .unwrap();
    (status, slug.to_owned(), document)
}

#[tokio::test]
async fn json_is_read_and_answered() {
    let order = r#"{"order_no":"a","customer":{"age":7}}"#;
    let answer = post_order(order).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        json(answer).await.to_string(),
        r#"{"customer":{"age":7},"order_no":"a"}"#
    );
}

#[tokio::test]
async fn what_is_no_json_is_told_from_json_of_another_shape() {
    for body in [
        "",
        "{",
        "{\"order_no\": a}",
        "nonsense",
        r#"{"order_no":"a","customer":{"age":7}} trailing"#,
    ] {
        let (status, slug, _) = problem(post_order(body).await).await;
        assert_eq!((status, &*slug), (400, "not-json"), "{body}");
    }
    for (body, slug, field) in [
        (
            r#"{"order_no":"a","customer":{"age":700}}"#,
            "invalid-request",
            "customer.age",
        ),
        (
            r#"{"order_no":"a","customer":{"age":1.5}}"#,
            "invalid-request",
            "customer.age",
        ),
        (
            r#"{"order_no":"a","customer":{"age":7,"name":"x"}}"#,
            "unknown-field",
            "customer.name",
        ),
        (r#"{"order_no":"a","customer":{}}"#, "invalid-request", "customer"),
    ] {
        let (status, found, document) = problem(post_order(body).await).await;
        assert_eq!((status, &*found), (422, slug), "{body}");
        assert_eq!(document["errors"][0]["field"], field, "{document}");
        let message = document["errors"][0]["message"].as_str().unwrap();
        assert!(!message.contains("line"), "{message}");
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let mut request = request(Method::POST, "/orders", "{}");
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/xml".parse().unwrap());
    assert_eq!(problem(answer(&routes(), request).await).await.0, 415);
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_whether_or_not_it_says_so() {
    let long = "x".repeat(LIMITS.body_bytes + 1);
    for path in ["/orders", "/raw", "/library"] {
        let announced = Request::builder().method(Method::POST).uri(path);
        let announced = announced
            .header(header::CONTENT_LENGTH, long.len())
            .body(Body::from(long.clone()))
            .unwrap();
        assert_eq!(
            problem(answer(&routes(), announced).await).await.1,
            "too-large",
            "{path}"
        );

        let pieces = long
            .clone()
            .into_bytes()
            .chunks(100)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect::<Vec<_>>();
        let streamed = Body::from_stream(futures::stream::iter::<Vec<Result<_, std::io::Error>>>(pieces));
        let streamed = request(Method::POST, path, streamed);
        assert_eq!(
            problem(answer(&routes(), streamed).await).await.1,
            "too-large",
            "{path}"
        );
    }
    let at_the_bound = "x".repeat(LIMITS.body_bytes);
    let answer = answer(&routes(), request(Method::POST, "/raw", at_the_bound)).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_bad_query_names_its_parameter_and_a_bad_path_names_nothing() {
    for (query, slug) in [("limit=many", "invalid-request"), ("limits=1", "unknown-field")] {
        let refused = answer(&routes(), request(Method::GET, &format!("/list?{query}"), "")).await;
        let (status, found, document) = problem(refused).await;
        assert_eq!((status, &*found), (422, slug), "{document}");
    }
    let refused = answer(&routes(), request(Method::GET, "/orders/x", "")).await;
    assert_eq!(problem(refused).await.1, "not-found");
}

#[tokio::test]
async fn what_the_router_or_a_library_refuses_is_a_problem_too() {
    assert_eq!(
        problem(answer(&routes(), request(Method::GET, "/nowhere", "")).await)
            .await
            .1,
        "not-found"
    );

    let refused = answer(&routes(), request(Method::DELETE, "/orders", "")).await;
    assert_eq!(refused.headers()[header::ALLOW], "POST");
    assert_eq!(problem(refused).await.1, "method-not-allowed");

    let refused = answer(&routes(), request(Method::GET, "/plain", "")).await;
    assert_eq!(refused.headers()[header::RETRY_AFTER], "9");
    assert_eq!(problem(refused).await.1, "i'm-a-teapot");

    let page = answer(&routes(), request(Method::GET, "/page", "")).await;
    assert_eq!(
        page.headers()[header::CONTENT_TYPE],
        "text/html",
        "what was written for a reader stays"
    );
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let (status, slug, document) = problem(answer(&routes(), request(Method::GET, "/panic", "")).await).await;
    assert_eq!((status, &*slug), (500, "internal"));
    assert!(!document.to_string().contains("hunter2"));
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (is_entered, may_go) = (entered.clone(), go.clone());
    let wait = get(async move || {
        is_entered.notify_one();
        may_go.notified().await;
    });
    let routes = guard(
        Router::new().route("/", wait),
        Limits {
            concurrency: 1,
            ..LIMITS
        },
    );
    let mut working = tokio::task::JoinSet::new();
    let first = routes.clone();
    working.spawn(async move { answer(&first, request(Method::GET, "/", "")).await });
    entered.notified().await;

    let refused = answer(&routes, request(Method::GET, "/", "")).await;
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(problem(refused).await.0, 429);

    go.notify_one();
    assert!(working.join_next().await.unwrap().unwrap().status().is_success());
    go.notify_one();
    assert!(
        answer(&routes, request(Method::GET, "/", ""))
            .await
            .status()
            .is_success(),
        "its leave came back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_at_its_deadline_and_its_leave_comes_back() {
    let limits = Limits {
        timeout_ms: 50,
        concurrency: 1,
        ..LIMITS
    };
    let routes = Router::new().route("/", get(std::future::pending::<()>));
    let routes = guard(routes, limits);
    for _ in 0..2 {
        let late = answer(&routes, request(Method::GET, "/", "")).await;
        assert_eq!(problem(late).await.0, 504);
    }
}

#[tokio::test]
async fn every_request_has_an_id_its_own_if_it_is_sound() {
    for (sent, is_kept) in [
        (Some("order-7/1"), true),
        (Some("with space"), false),
        (None, false),
    ] {
        let mut request = request(Method::GET, "/nowhere", "");
        if let Some(id) = sent {
            request.headers_mut().insert("x-request-id", id.parse().unwrap());
        }
        let answer = answer(&routes(), request).await;
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(sent == Some(id), is_kept, "{sent:?} {id}");
        assert!(!id.is_empty());
    }
    let mut request = request(Method::GET, "/nowhere", "");
    request
        .headers_mut()
        .insert("x-request-id", "x".repeat(65).parse().unwrap());
    assert_eq!(
        answer(&routes(), request).await.headers()["x-request-id"].len(),
        36
    );
}

#[tokio::test]
async fn a_slow_body_is_within_the_deadline() {
    let limits = Limits {
        timeout_ms: 100,
        ..LIMITS
    };
    let routes = Router::new().route("/", post(async |RawBody(body)| body));
    let never_ends = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let started_at = std::time::Instant::now();
    let late = answer(&guard(routes, limits), request(Method::POST, "/", never_ends)).await;
    assert_eq!(problem(late).await.0, 504);
    assert!(started_at.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_body_that_was_taken_raw_can_be_read_as_json_afterwards() {
    let order = Json::<Order>::from_bytes(br#"{"order_no":"a","customer":{"age":1}}"#).unwrap();
    assert_eq!(order.0.order_no, "a");
    let refused: Problem = Json::<Order>::from_bytes(b"[]").unwrap_err();
    assert_eq!(refused.slug(), "invalid-request");
}
