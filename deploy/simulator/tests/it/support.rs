//! A simulator of its own for each test, and the calls that tests share.

use std::time::Duration;

use clap::Parser as _;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use simulator::{ServeSettings, Simulator};

/// What is waited for happens within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    settings: ServeSettings,
}

pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) client: reqwest::Client,
}

/// Settings as the command line reads them, on free ports, quick to pay.
pub(crate) fn settings(more: &[&str]) -> ServeSettings {
    let quick = [
        "--listen=127.0.0.1:0",
        "--smtp-listen=127.0.0.1:0",
        "--bank-answer-ms=100",
        "--delayed-payment-ms=300",
    ];
    let name = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
    let kept = quick
        .iter()
        .filter(|default| more.iter().all(|given| name(given) != name(default)));
    Line::parse_from(["simulator"].iter().chain(kept).chain(more)).settings
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is not a service: no breaker may help it"
)]
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(20)).build().unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let simulator = Simulator::start(settings(more)).await.unwrap();
        Self {
            simulator,
            client: client(),
        }
    }

    /// Lets the PSP's webhooks go to the simulator's own receiver `psp`, and the bank's to `bank`.
    pub(crate) async fn start_with_webhooks() -> Self {
        let world = Self::start().await;
        for party in ["psp", "bank"] {
            let url = world.url(&format!("/hooks/{party}"));
            world
                .order(&format!("/control/{party}/webhook-target"), json!({ "url": url }))
                .await;
        }
        world
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.url())
    }

    /// A form to the PSP, with its key.
    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.client
            .post(self.url(&format!("/stripe{path}")))
            .bearer_auth("sk_test_simulator")
            .form(form)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client
            .get(self.url(&format!("/stripe{path}")))
            .bearer_auth("sk_test_simulator")
    }

    /// Charges `method` at once.
    pub(crate) fn charge(&self, payment_no: &str, method: &str) -> RequestBuilder {
        self.post("/v1/payment_intents", &charge_form(payment_no, method))
    }

    pub(crate) async fn order(&self, path: &str, order: Value) -> Value {
        let response = self
            .client
            .post(self.url(path))
            .json(&order)
            .send()
            .await
            .unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path} {order}: {status} {body}");
        body
    }

    pub(crate) async fn control(&self, path: &str) -> Value {
        self.client
            .get(self.url(path))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    pub(crate) async fn psp_book(&self) -> Value {
        self.control("/control/books/psp").await
    }

    /// The events that the receiver `party` got, in arrival order.
    pub(crate) async fn events(&self, party: &str) -> Vec<Value> {
        let received = self.control(&format!("/control/hooks?path={party}")).await;
        let requests = received["requests"].as_array().unwrap();
        requests
            .iter()
            .map(|request| serde_json::from_str(request["body"].as_str().unwrap()).unwrap())
            .collect()
    }

    pub(crate) async fn event_types(&self, party: &str) -> Vec<String> {
        self.events(party)
            .await
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until the receiver got exactly these events, in this order.
    pub(crate) async fn expect_events(&self, party: &str, expected: &[&str]) {
        eventually(&format!("{party} receives {expected:?}"), async || {
            let types = self.event_types(party).await;
            assert!(types.len() <= expected.len(), "too many events: {types:?}");
            types == expected
        })
        .await;
    }
}

pub(crate) fn charge_form<'f>(payment_no: &'f str, method: &'f str) -> [(&'f str, &'f str); 6] {
    [
        ("amount", "1000"),
        ("currency", "eur"),
        ("payment_method", method),
        ("confirm", "true"),
        ("return_url", "https://shop.example/back"),
        ("metadata[payment_no]", payment_no),
    ]
}

/// Status and JSON body.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) async fn ok(request: RequestBuilder) -> Value {
    let (status, body) = answer(request).await;
    assert!((200..300).contains(&status), "{status}: {body}");
    body
}

pub(crate) async fn page(response: Response) -> String {
    response.text().await.unwrap()
}

/// Looks again until `holds`, or fails after ten seconds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let look = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, look).await.is_ok(),
        "waited in vain: {what}"
    );
}

/// What differs from run to run is replaced, for snapshots.
fn redacted(mut value: Value) -> Value {
    redact(&mut value);
    value
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Number(_) if name == "created" || name.ends_with("_at") => {
                        *member = json!("[time]");
                    }
                    other => redact(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => *text = redact_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Ids end in 32 hex digits, addresses in a port.
fn redact_text(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex = rest.chars().take_while(char::is_ascii_hexdigit).count();
        if hex >= 32 {
            redacted.push_str("[id]");
            rest = &rest[32..];
        } else if let Some(after) = rest.strip_prefix("127.0.0.1:") {
            redacted.push_str("[address]");
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        } else {
            redacted.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    redacted
}

/// Compares with the stored snapshot; members are sorted, so that their order does not depend on a feature of a crate.
pub(crate) fn snapshot(name: &str, value: Value) {
    insta::with_settings!({ sort_maps => true, omit_expression => true }, {
        insta::assert_json_snapshot!(name, redacted(value));
    });
}
