//! A service as its operators see it: health, internal endpoints, logs, traces.

use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::collector::Collector;
use crate::database::TestDatabase;
use crate::greeter::{SERVICE_TOKEN, Settings};
use crate::support::{Proxy, client, eventually};

// The proxy must go on while the test waits for a process.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_database() {
    let database = TestDatabase::create().await;
    let mut proxy = Proxy::start(database.server()).await;
    let greeter = Settings::new(&database.url_through(proxy.address)).serve();
    greeter
        .until_health("health says what is missing", |answer, report| {
            let reason = report["components"]["database"]["reason"]
                .as_str()
                .unwrap_or_default();
            answer.status == StatusCode::SERVICE_UNAVAILABLE && reason.contains("migrate")
        })
        .await;
    greeter.settings.migrate();
    greeter.until_ready().await;

    proxy.take_away().await;
    greeter
        .until_health("the database is down", |answer, report| {
            answer.status == StatusCode::SERVICE_UNAVAILABLE
                && report["components"]["database"]["status"] == "down"
        })
        .await;
    let refused = greeter.public("/api/v1/greetings/Ada").await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.body
    );
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert!(
        greeter.operations("/health/live").await.is_success(),
        "it lives, and is not restarted for it"
    );

    proxy.bring_back().await;
    greeter.until_ready().await;
    assert!(greeter.public("/api/v1/greetings/Ada").await.is_success());
    drop(greeter);
    database.drop().await;
}

#[tokio::test]
async fn a_failure_is_one_line_of_the_log_found_by_the_trace_id_of_its_problem() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url()).with("TELEMETRY__LOG", "warn");
    settings.migrate();
    let greeter = settings.serve();
    greeter.until_ready().await;
    sqlx::query("drop table greetings")
        .execute(&database.pool())
        .await
        .unwrap();

    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, logged) in [
        ("/api/v1/greetings/Ada", "greetings"),
        ("/api/v1/mistakes", "a mistake"),
    ] {
        let already = greeter.log().len();
        let url = format!("http://127.0.0.1:{}{path}", greeter.settings.public)
            .parse()
            .unwrap();
        let traced = header::HeaderName::from_static("traceparent");
        let request = client()
            .get(url)
            .header(traced, format!("00-{trace_id}-00f067aa0ba902b7-01"));
        let answer = request.send().await.unwrap();
        let problem: Value = answer.json().unwrap();
        assert_eq!(
            (answer.status.as_u16(), &problem["trace_id"]),
            (500, &Value::from(trace_id)),
            "{problem}"
        );
        assert!(!problem.to_string().contains(logged), "{problem}");

        let lines = eventually("the failure is logged", async || {
            let lines = greeter.log().split_off(already);
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let line = lines[0].to_string();
        assert!(
            line.contains(trace_id) && line.contains(logged) && line.contains("ERROR"),
            "{line}"
        );
    }
    drop(greeter);
    database.drop().await;
}

#[tokio::test]
async fn the_internal_endpoints_ask_for_the_service_token() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url());
    settings.migrate();
    let greeter = settings.serve();
    greeter.until_ready().await;
    let url = format!(
        "http://127.0.0.1:{}/internal/v1/count",
        greeter.settings.operations
    );
    for (token, expected) in [(SERVICE_TOKEN, 200), ("wrong", 401), ("", 401)] {
        let request = client().get(url.parse().unwrap()).bearer(&token.into());
        assert_eq!(request.send().await.unwrap().status.as_u16(), expected, "{token}");
    }
    assert_eq!(
        greeter.operations("/internal/v1/count").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        greeter.operations("/nowhere").await.status,
        StatusCode::UNAUTHORIZED
    );
    let elsewhere = greeter.public("/internal/v1/count").await;
    assert_eq!(
        elsewhere.status,
        StatusCode::NOT_FOUND,
        "the public listener has no such thing"
    );
    drop(greeter);
    database.drop().await;
}

#[tokio::test]
async fn traces_and_metrics_reach_the_collector_before_the_process_ends() {
    let (database, collector) = (TestDatabase::create().await, Collector::start().await);
    let settings = Settings::new(&database.url()).with(
        "TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", collector.address),
    );
    settings.migrate();
    let mut greeter = settings.serve();
    greeter.until_ready().await;
    assert!(greeter.public("/api/v1/greetings/Ada").await.is_success());
    // Long before either would be sent by itself.
    greeter.signal("-TERM");
    assert!(greeter.until_ended().await.success());
    assert!(collector.has_received("TraceService/Export", "GET /api/v1/greetings/{name}"));
    assert!(collector.has_received("MetricsService/Export", "http.server.request.duration"));
    database.drop().await;
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings::new(&database.url()).with(
        "TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", hanging.local_addr().unwrap()),
    );
    settings.migrate();
    let mut greeter = settings.serve();
    greeter.until_ready().await;
    greeter.signal("-TERM");
    let started_at = std::time::Instant::now();
    assert!(greeter.until_ended().await.success());
    assert!(
        started_at.elapsed() < std::time::Duration::from_secs(8),
        "{:?}",
        started_at.elapsed()
    );
    database.drop().await;
}
