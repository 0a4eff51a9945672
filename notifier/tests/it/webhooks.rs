//! What a merchant's endpoint sees, and where requests must not go.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use notifier::clients::webhooks::{Delivery, Webhooks};
use notifier::domain::notice::{Channel, Recipient, Status};
use notifier::domain::outcome::Outcome;
use notifier::domain::reason::Reason;
use platform::client::{AddressPolicy, Lookup, Settings};
use schemas::MerchantId;
use serde_json::{Value, json};
use url::Url;

use crate::support::contacts::WEBHOOK_SECRET;
use crate::support::receiver::{Behaviour, Receiver, Request};
use crate::support::world::World;
use crate::support::{events, eventually};

async fn webhook() -> Request {
    let (world, shop) = (World::new().await, Receiver::start().await);
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;
    let workers = world.deliver();
    let mut requests = shop.wait_for(1).await;
    workers.stop().await;
    requests.remove(0)
}

#[tokio::test]
async fn the_signature_holds_for_another_implementation() {
    let request = webhook().await;
    let key = STANDARD
        .decode(WEBHOOK_SECRET.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut signed = format!("{}.{}.", request.id(), request.header("webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&request.body);
    let signature = request.header("webhook-signature").strip_prefix("v1,").unwrap();
    hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
}

/// The README's sample is run as it stands there.
#[tokio::test]
async fn the_readmes_sample_verifies_what_is_sent_and_refuses_what_was_changed() {
    let request = webhook().await;
    let readme = include_str!("../../README.md");
    let sample = readme
        .split("```python\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let verify = |body: &[u8], timestamp: &str| {
        let program = format!(
            "{sample}\nimport sys, json\ncall = json.load(sys.stdin)\n\
             verify(call['secret'], call['headers'], call['body'].encode(), now=call['now'])\n"
        );
        let call = json!({
            "secret": WEBHOOK_SECRET, "body": String::from_utf8(body.to_vec()).unwrap(),
            "now": request.header("webhook-timestamp").parse::<i64>().unwrap() + 10,
            "headers": {
                "webhook-id": request.id(), "webhook-timestamp": timestamp,
                "webhook-signature": request.header("webhook-signature"),
            },
        });
        python(&program, &call)
    };
    let timestamp = request.header("webhook-timestamp");
    assert!(verify(&request.body, timestamp));
    assert!(!verify(&[request.body.as_ref(), b" "].concat(), timestamp));
    assert!(!verify(
        &request.body,
        &(timestamp.parse::<i64>().unwrap() - 1).to_string()
    ));
    assert!(!verify(
        &request.body,
        &(timestamp.parse::<i64>().unwrap() - 1_000).to_string()
    ));
}

fn python(program: &str, input: &Value) -> bool {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("python3 is needed to try the README's sample: {error}"));
    python
        .stdin
        .take()
        .unwrap()
        .write_all(input.to_string().as_bytes())
        .unwrap();
    python.wait().unwrap().success()
}

#[tokio::test]
async fn the_body_says_what_the_readme_says() {
    let request = webhook().await;
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let readme = include_str!("../../README.md");
    let documented = readme
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let documented: Value = serde_json::from_str(documented).unwrap();
    assert_eq!(keys(&body), keys(&documented));
    assert_eq!(keys(&body["data"]), keys(&documented["data"]));
    assert_eq!(body["type"], "payment_success");
    assert_eq!(body["data"]["amount"], 1234);
    assert_eq!(request.header("content-type"), "application/json");
}

fn keys(value: &Value) -> Vec<&String> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().collect();
    keys.sort_unstable();
    keys
}

/// A name that resolves into our own network is refused where it would be connected to, as is an address in the URL.
#[tokio::test]
async fn an_endpoint_in_a_private_network_is_never_connected_to() {
    let inside = Receiver::start().await;
    let port = inside.address.port();
    for host in [
        "localhost",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
    ] {
        let mut world = World::new().await;
        world.set("/webhooks/allow_private", json!([]));
        let url = format!("http://{host}:{port}/hooks");
        world
            .consume(&events::succeeded(world.contacts.merchant(Some(&url))))
            .await;

        let workers = world.deliver();
        let refused = world
            .wait_for(Recipient::Merchant, Channel::Webhook, Status::Failed)
            .await;
        workers.stop().await;
        assert_eq!(refused.reason, Some(Reason::AddressRefused), "{url}");
    }
    assert_eq!(inside.count(), 0);
}

/// The name is looked up for the connection itself: what it said a moment ago counts for nothing.
#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_not_connected_to() {
    let outside = Receiver::start_at("127.0.0.2:0").await;
    let inside = Receiver::start_at(&format!("127.0.0.1:{}", outside.address.port())).await;
    outside.behave(Behaviour::AnswerAndClose);
    let turned = Arc::new(AtomicBool::new(false));
    let has_turned = Arc::clone(&turned);
    let bounds = Settings {
        addresses: AddressPolicy::PublicOr(vec!["127.0.0.2/32".parse().unwrap()]),
        lookup: Lookup::Given(Arc::new(move |_| {
            let ip = if has_turned.load(Ordering::Relaxed) {
                Ipv4Addr::LOCALHOST
            } else {
                Ipv4Addr::new(127, 0, 0, 2)
            };
            vec![ip.into()]
        })),
        ..Settings::default()
    };
    let webhooks = Webhooks::new(bounds, 1).unwrap();
    let url: Url = format!("http://rebinding.example:{}/hooks", outside.address.port())
        .parse()
        .unwrap();
    let send = async || {
        let slot = webhooks.slot(MerchantId::generate(), &url).unwrap();
        let (id, signature, body) = ("ntf_1".to_owned(), "v1,".to_owned(), Bytes::new());
        slot.send(Delivery {
            url: url.clone(),
            id,
            timestamp_seconds: 0,
            signature,
            body,
        })
        .await
    };

    assert_eq!(send().await, Outcome::Delivered { code: 204 });
    turned.store(true, Ordering::Relaxed);
    assert_eq!(
        send().await,
        Outcome::Refused {
            reason: Reason::AddressRefused,
            code: None
        }
    );
    assert_eq!((outside.count(), inside.count()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (world, shop, elsewhere) = (
        World::new().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    shop.behave(Behaviour::Redirect(elsewhere.url.clone()));
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    let attempts = world
        .wait_for_attempts(Recipient::Merchant, Channel::Webhook, 1)
        .await;
    workers.stop().await;

    assert_eq!(
        (attempts[0].outcome.as_deref(), attempts[0].answer_code),
        (Some("failed"), Some(307))
    );
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn an_endpoint_that_moved_gets_the_next_attempt() {
    let (world, new) = (World::new().await, Receiver::start().await);
    let merchant_id = world.contacts.merchant(Some("http://127.0.0.1:1/nobody"));
    world.consume(&events::succeeded(merchant_id)).await;

    let workers = world.deliver();
    let attempts = world
        .wait_for_attempts(Recipient::Merchant, Channel::Webhook, 1)
        .await;
    assert_eq!(attempts[0].outcome.as_deref(), Some("not_sent"));
    world.contacts.move_endpoint(merchant_id, &new.url);
    eventually("the webhook arrives", async || {
        world.advance(12);
        (new.count() > 0).then_some(())
    })
    .await;
    workers.stop().await;
}
