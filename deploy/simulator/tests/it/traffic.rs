//! Demo traffic against stand-ins for the gateway and the settlement service.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use clap::Parser as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::TrafficSettings;
use tokio_util::sync::CancellationToken;

use crate::support::{World, eventually};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    settings: TrafficSettings,
}

/// Stands for both services: notes every request, and answers as they would.
#[derive(Clone, Default)]
struct Services(Arc<Mutex<Vec<Request>>>);

#[derive(Clone)]
struct Request {
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Services {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        drop(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let listener = listener.into_std().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        }));
        url
    }

    fn requests(&self, path_contains: &str) -> Vec<Request> {
        let requests = self.0.lock().unwrap();
        requests
            .iter()
            .filter(|request| request.path.contains(path_contains))
            .cloned()
            .collect()
    }
}

async fn answer(
    State(services): State<Services>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    if !path.contains("settlements") {
        assert_eq!(
            headers["x-signature"],
            signature(&method, &path, &headers, &body),
            "{method} {path}"
        );
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    services.0.lock().unwrap().push(Request {
        path: path.clone(),
        headers,
        body,
    });
    if path.ends_with("/settlements") {
        return (StatusCode::CREATED, Json(json!({ "settlement_no": "stl_1" }))).into_response();
    }
    Json(json!({ "payment_no": "pay_1", "status": "success" })).into_response()
}

/// DESIGN's canonical string, written out once more.
fn signature(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let given = headers["x-signature"].to_str().unwrap();
    let time = given.split(',').next().unwrap();
    let key = headers
        .get("idempotency-key")
        .map_or("", |key| key.to_str().unwrap());
    let hash = hex::encode(Sha256::digest(body));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the-secret").unwrap();
    mac.update(format!("{}\n{method}\n{path}\n{key}\n{hash}", &time[2..]).as_bytes());
    format!("{time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn settings(world: &World, services: &str, more: &[&str]) -> TrafficSettings {
    let base = [
        "traffic".to_owned(),
        format!("--gateway-url={services}"),
        format!("--settlement-url={services}"),
        format!("--simulator-url={}", world.simulator.url()),
        "--merchant-id=mer_1".to_owned(),
        "--api-key=key_1".to_owned(),
        "--api-secret=the-secret".to_owned(),
    ];
    Line::parse_from(
        base.into_iter()
            .chain(more.iter().map(|argument| (*argument).to_owned())),
    )
    .settings
}

fn subject(request: &Request) -> String {
    let token = request.headers["authorization"].to_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    serde_json::from_slice::<Value>(&decoded).unwrap()["sub"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn payments_are_signed_bounded_and_refunded() {
    let (world, services) = (World::start().await, Services::default());
    let url = services.start().await;
    let more = [
        "--payments=20",
        "--payments-per-minute=6000",
        "--refund-percent=100",
        "--settle-every-seconds=0",
    ];

    simulator::run_traffic(settings(&world, &url, &more), CancellationToken::new())
        .await
        .unwrap();

    let payments: Vec<_> = services
        .requests("/payments")
        .into_iter()
        .filter(|r| r.path.ends_with("/payments"))
        .collect();
    assert_eq!(payments.len(), 20);
    for payment in &payments {
        assert_eq!(
            payment.headers["idempotency-key"],
            payment.body["order_no"].as_str().unwrap()
        );
        assert_eq!(payment.body["notify_url"], world.url("/hooks/demo"));
        assert!(payment.body["amount"].as_i64().unwrap() > 0);
    }
    let refunds = services.requests("/refunds");
    assert!(
        !refunds.is_empty()
            && refunds
                .iter()
                .all(|refund| refund.path == "/api/v1/payments/pay_1/refunds")
    );
}

#[tokio::test]
async fn one_person_creates_a_settlement_and_another_approves_it() {
    let (world, services) = (World::start().await, Services::default());
    let url = services.start().await;
    let more = [
        "--settle-every-seconds=1",
        "--payments-per-minute=60",
        "--currencies=EUR",
    ];
    let stop = CancellationToken::new();
    let traffic = simulator::run_traffic(settings(&world, &url, &more), stop.clone());
    let watch = async {
        eventually("a settlement is executed", async || {
            !services.requests("/execute").is_empty()
        })
        .await;
        stop.cancel();
    };
    tokio::join!(async { traffic.await.unwrap() }, watch);

    let settlement = services.requests("/settlements");
    let paths: Vec<_> = settlement
        .iter()
        .take(3)
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/api/v1/settlements",
            "/api/v1/settlements/stl_1/approve",
            "/api/v1/settlements/stl_1/execute"
        ]
    );
    assert_eq!(
        (&settlement[0].body["cycle"], &settlement[0].body["currency"]),
        (&"daily".into(), &"EUR".into())
    );
    let (creator, approver) = (subject(&settlement[0]), subject(&settlement[1]));
    assert_ne!(creator, approver);
    assert_eq!(settlement[1].body["approver_id"], approver);
}

#[tokio::test]
async fn traffic_goes_on_while_the_gateway_is_away_and_stops_when_told() {
    let world = World::start().await;
    // A gateway that hangs up on everybody.
    let gateway = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let stop = CancellationToken::new();
    let more = ["--payments-per-minute=6000", "--settle-every-seconds=1"];
    let traffic = simulator::run_traffic(settings(&world, &url, &more), stop.clone());
    let hang_up = async {
        for _ in 0..20 {
            drop(gateway.accept().await.unwrap());
        }
        stop.cancel();
    };

    let both = async { tokio::join!(traffic, hang_up).0 };

    tokio::time::timeout(std::time::Duration::from_secs(10), both)
        .await
        .unwrap()
        .unwrap();
    let refused = settings(&world, &url, &["--in-flight=0"]);
    assert!(
        simulator::run_traffic(refused, stop)
            .await
            .unwrap_err()
            .to_string()
            .contains("--in-flight")
    );
}
