//! Outgoing calls: what an error proves, what is repeated, what is bounded.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use platform::client::{AddressPolicy, CallError, Client, Lookup, NotSent, Settings, Unknown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

use crate::support::{Server, client};

/// Answers with these statuses in turn, then with 200, and counts what arrives.
async fn answering(statuses: &[StatusCode]) -> (Server, Arc<AtomicUsize>) {
    let (arrived, statuses) = (Arc::new(AtomicUsize::new(0)), statuses.to_vec());
    let count = arrived.clone();
    let handler = async move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        statuses.get(number).copied().unwrap_or(StatusCode::OK)
    };
    (
        Server::start(Router::new().route("/", any(handler))).await,
        arrived,
    )
}

fn patient() -> Client {
    Client::new("test", Settings::default()).unwrap()
}

/// Reads one request's headers, writes these bytes, and hangs up; over and over.
async fn misbehaving(answer: &'static [u8]) -> (Url, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(answer).await;
        }
    });
    (url, running)
}

#[tokio::test]
async fn an_answer_is_an_answer_whatever_its_status() {
    let (server, _) = answering(&[StatusCode::PAYMENT_REQUIRED]).await;
    let answer = client().post(server.url("/")).send().await.unwrap();
    assert_eq!(
        (answer.status, answer.is_success()),
        (StatusCode::PAYMENT_REQUIRED, false)
    );
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let (server, _) = answering(&[]).await;
    let url = server.url("/");
    server.stop().await;
    let failure = client().post(url).send().await.unwrap_err();
    assert!(
        matches!(failure, CallError::NotSent(NotSent::Connect(_))),
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_unknown_name_proves_that_nothing_was_sent() {
    let failure = client()
        .post("http://nothing.invalid/".parse().unwrap())
        .send()
        .await
        .unwrap_err();
    assert!(failure.is_not_sent(), "{failure:?}");
}

#[tokio::test]
async fn a_connection_lost_after_the_request_left_proves_nothing() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"nonsense\r\n\r\n",
    ] {
        let (url, _running) = misbehaving(answer).await;
        let failure = client().post(url).send().await.unwrap_err();
        assert!(
            matches!(failure, CallError::Unknown(Unknown::Connection(_))),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn the_deadline_covers_the_whole_exchange_and_proves_nothing() {
    let hanging = Router::new().route("/", get(std::future::pending::<()>));
    let trickling = get(async || {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Some((Ok::<_, std::io::Error>("drop"), ()))
        });
        axum::body::Body::from_stream(drops)
    });
    let server = Server::start(hanging.route("/trickle", trickling)).await;
    let deadline = Duration::from_millis(300);
    let client = Client::new(
        "test",
        Settings {
            deadline,
            ..Settings::default()
        },
    )
    .unwrap();
    for path in ["/", "/trickle"] {
        let started_at = Instant::now();
        let failure = client.get(server.url(path)).send().await.unwrap_err();
        assert!(
            matches!(failure, CallError::Unknown(Unknown::Deadline(_))),
            "{failure:?}"
        );
        assert!(
            started_at.elapsed() < Duration::from_secs(5),
            "retries are within the deadline too"
        );
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_bound_is_refused() {
    let routes = Router::new().route("/", get(async || "x".repeat(1001)));
    let server = Server::start(routes).await;
    let bounded = Settings {
        max_answer_bytes: 1000,
        ..Settings::default()
    };
    let client = Client::new("test", bounded).unwrap();
    let failure = client.get(server.url("/")).send().await.unwrap_err();
    assert!(
        matches!(failure, CallError::Unknown(Unknown::TooLong { limit: 1000, .. })),
        "{failure:?}"
    );
    let answer = client.get(server.url("/")).discard_body().send().await.unwrap();
    assert!(answer.is_success() && answer.body.is_empty());
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated_until_it_is_answered() {
    let trouble = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
    ];
    let (server, arrived) = answering(&trouble).await;
    let answer = patient().post(server.url("/")).repeatable().send().await.unwrap();
    assert_eq!(
        (answer.status, arrived.load(Ordering::SeqCst)),
        (StatusCode::OK, 4)
    );
}

#[tokio::test]
async fn after_three_retries_the_last_answer_stands() {
    let (server, arrived) = answering(&[StatusCode::INTERNAL_SERVER_ERROR; 9]).await;
    let answer = patient().get(server.url("/")).send().await.unwrap();
    assert_eq!(
        (answer.status, arrived.load(Ordering::SeqCst)),
        (StatusCode::INTERNAL_SERVER_ERROR, 4)
    );
}

#[tokio::test]
async fn a_post_is_sent_once_unless_it_says_otherwise() {
    let (server, arrived) = answering(&[StatusCode::SERVICE_UNAVAILABLE]).await;
    let answer = patient().post(server.url("/")).send().await.unwrap();
    assert_eq!(
        (answer.status, arrived.load(Ordering::SeqCst)),
        (StatusCode::SERVICE_UNAVAILABLE, 1)
    );
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_does_not_open_the_breaker() {
    let (server, arrived) = answering(&[StatusCode::UNPROCESSABLE_ENTITY; 20]).await;
    let client = patient();
    for _ in 0..20 {
        client.get(server.url("/")).send().await.unwrap();
    }
    assert_eq!(arrived.load(Ordering::SeqCst), 20);
    assert!(!client.breaker().is_open());
}

#[tokio::test]
async fn failures_open_the_breaker_and_then_nothing_is_sent() {
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS] {
        let (server, arrived) = answering(&[status; 20]).await;
        let client = client();
        for _ in 0..5 {
            client.post(server.url("/")).send().await.unwrap();
        }
        let failure = client.post(server.url("/")).send().await.unwrap_err();
        assert!(
            failure.is_not_sent() && failure.breaker_retry_after().is_some(),
            "{failure:?}"
        );
        assert_eq!(arrived.load(Ordering::SeqCst), 5);
        let other = client.for_endpoint("other").post(server.url("/")).send().await;
        assert!(other.is_ok(), "another endpoint has a breaker of its own");
    }
}

#[tokio::test]
async fn a_repeat_that_was_not_sent_takes_nothing_back_of_what_may_have_happened() {
    // The first attempt leaves and is lost; it closes the listener, so that the others are refused.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut read = [0; 4096];
        let _ = stream.read(&mut read).await;
    });
    let failure = patient().post(url).repeatable().send().await.unwrap_err();
    assert!(matches!(failure, CallError::Unknown(_)), "{failure:?}");
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let redirect = async || (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]);
    let elsewhere = async || -> Response { panic!("it was followed") };
    let routes = Router::new()
        .route("/", get(redirect))
        .route("/elsewhere", get(elsewhere));
    let server = Server::start(routes).await;
    assert_eq!(
        client().get(server.url("/")).send().await.unwrap().status,
        StatusCode::FOUND
    );
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_is_asked_to_and_not_beyond_the_deadline() {
    async fn busy(State(count): State<Arc<AtomicUsize>>) -> Response {
        let retry_after = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            "1"
        } else {
            "3600"
        };
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, retry_after)],
        )
            .into_response()
    }
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start(Router::new().route("/", get(busy)).with_state(count.clone())).await;
    let started_at = Instant::now();
    let answer = patient().get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let took = started_at.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[tokio::test]
async fn parts_of_a_request_arrive_as_they_were_given() {
    async fn echo(headers: HeaderMap, uri: axum::http::Uri, body: String) -> String {
        format!(
            "{uri} {} {:?} {body}",
            headers["content-type"].to_str().unwrap(),
            headers["authorization"]
        )
    }
    let server = Server::start(Router::new().route("/v1/x", post(echo))).await;
    let request = client()
        .post(server.url("/v1/x"))
        .query("a b", "c&d")
        .bearer(&"sk_1".into());
    assert!(
        !format!("{request:?}").contains("sk_1"),
        "the token is not printed"
    );
    let answer = request
        .form([("metadata[payment_no]", "pay_1"), ("x", "&")])
        .send()
        .await
        .unwrap();
    let expected = r#"/v1/x?a+b=c%26d application/x-www-form-urlencoded "Bearer sk_1" metadata%5Bpayment_no%5D=pay_1&x=%26"#;
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    let broken = client()
        .post(server.url("/v1/x"))
        .header(header::ACCEPT, "two\nlines")
        .send()
        .await;
    assert!(matches!(broken, Err(CallError::NotSent(NotSent::Request(_)))));
}

#[tokio::test]
async fn an_address_in_our_own_network_is_not_called_however_it_is_named() {
    let (server, arrived) = answering(&[]).await;
    let public_only = |networks: &[&str], lookup| {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let addresses = AddressPolicy::PublicOr(networks);
        Client::new(
            "webhook",
            Settings {
                addresses,
                lookup,
                ..Settings::default()
            },
        )
        .unwrap()
    };
    let port = server.url.port().unwrap();
    let named: Url = format!("http://localhost:{port}/").parse().unwrap();
    let strict = public_only(&[], Lookup::System);
    for url in [
        server.url.clone(),
        named.clone(),
        format!("http://[::1]:{port}/").parse().unwrap(),
    ] {
        let failure = strict.get(url).send().await.unwrap_err();
        assert!(
            matches!(failure, CallError::NotSent(NotSent::Forbidden(_))),
            "{failure:?}"
        );
    }
    assert!(
        !strict.breaker().is_open(),
        "a forbidden address says nothing about a destination"
    );
    assert_eq!(arrived.load(Ordering::SeqCst), 0);

    let local = public_only(&["127.0.0.0/8"], Lookup::System);
    assert!(
        local.get(named).send().await.unwrap().is_success(),
        "listed networks are allowed"
    );
}

#[tokio::test]
async fn a_name_that_answers_differently_the_second_time_is_checked_the_second_time() {
    let (server, arrived) = answering(&[]).await;
    let asked = AtomicUsize::new(0);
    let lookup = Lookup::Given(Arc::new(move |_: &str| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        vec![if is_first {
            IpAddr::from([127, 0, 0, 1])
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))
        }]
    }));
    let addresses = AddressPolicy::PublicOr(vec!["127.0.0.0/8".parse().unwrap()]);
    let client = Client::new(
        "webhook",
        Settings {
            addresses,
            lookup,
            ..Settings::default()
        },
    )
    .unwrap();
    let url: Url = format!("http://rebinding.example:{}/", server.url.port().unwrap())
        .parse()
        .unwrap();
    let close = || client.get(url.clone()).header(header::CONNECTION, "close");
    assert!(close().send().await.unwrap().is_success());
    let failure = close().send().await.unwrap_err();
    assert!(
        matches!(failure, CallError::NotSent(NotSent::Forbidden(_))),
        "{failure:?}"
    );
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_of_another_shape_does_not_print_its_contents() {
    let server = Server::start(Router::new().route("/", get(async || r#"{"card": "4242"}"#))).await;
    let answer = client().get(server.url("/")).send().await.unwrap();
    let failure = answer.json::<Vec<String>>().unwrap_err();
    assert!(!format!("{failure} {failure:?}").contains("4242"), "{failure:?}");
}
