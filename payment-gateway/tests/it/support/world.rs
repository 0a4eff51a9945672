//! A gateway with everything around it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use eventing::{Clock, Outbox, SchemaRegistry};
use jiff::SignedDuration;
use jsonwebtoken::Algorithm;
use payment_gateway::auth::TokenIssuer;
use payment_gateway::charging::{Charging, Terms};
use payment_gateway::clients::stripe::Stripe;
use payment_gateway::config;
use payment_gateway::domain::merchant::MerchantStatus;
use payment_gateway::http::{self, App};
use payment_gateway::secrets::Secrets;
use payment_gateway::store::merchants::StoredMerchant;
use payment_gateway::store::{api_keys, merchants, signing_keys};
use platform::Tasks;
use platform::auth::TokenVerifier;
use platform::client::{Client, Settings};
use platform::config::{Limits, PrincipalKind, Trust};
use platform::signature::Signature;
use schemas::event::Event;
use schemas::ids::{ApiKeyId, MerchantId};
use schemas::payment::PaymentEvent;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::psp::Psp;
use super::request::{self, Reply, Signer, Unsigned};
use super::staff::{self, StaffIssuer};

pub(crate) const WEBHOOK_SECRETS: [&str; 2] = ["whsec_old", "whsec_new"];
const GATEWAY_ISSUER: &str = "https://gateway.example";
pub(crate) const AUDIENCE: &str = "payments-platform";

pub(crate) struct World {
    pub(crate) psp: Psp,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) merchant: Signer,
    staff: StaffIssuer,
    database: Database,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_patience(Duration::from_secs(20)).await
    }

    /// A world whose merchants wait no longer than `patience` for the PSP.
    pub(crate) async fn with_patience(patience: Duration) -> Self {
        let (database, psp) = (Database::create().await, Psp::start().await);
        let clock = Clock::stopped_at("2026-11-22T12:00:00Z".parse().unwrap());
        let staff = StaffIssuer::new();
        psp.books().staff_jwks = staff.jwks.clone();
        let app = app(&database.pool, &psp, &clock, patience).await;
        let published = signing_keys::published(&database.pool, clock.now())
            .await
            .unwrap();
        psp.books().gateway_jwks = json!({ "keys": published });
        let merchant = add_merchant(&app).await;
        Self {
            psp,
            clock,
            app,
            merchant,
            staff,
            database,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub(crate) fn charging(&self) -> &Charging {
        &self.app.charging
    }

    /// A second replica's hands, on the same database and PSP.
    pub(crate) async fn second_replica(&self) -> Charging {
        let patience = self.charging().terms.patience;
        app(self.pool(), &self.psp, &self.clock, patience).await.charging
    }

    pub(crate) async fn another_merchant(&self) -> Signer {
        add_merchant(&self.app).await
    }

    /// The gateway's public routes with the platform's limits around them.
    pub(crate) fn router(&self) -> Router {
        platform::http::guard(http::public(self.app.clone()), Limits::default())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        request::send(self.router(), request).await
    }

    /// Sends a request as the merchant.
    pub(crate) async fn call(&self, method: &str, path: &str, key: Option<&str>, body: &Value) -> Reply {
        self.call_as(&self.merchant, method, path, key, body).await
    }

    pub(crate) async fn call_as(
        &self,
        signer: &Signer,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = signer.sign(
            &Unsigned {
                method,
                path,
                key,
                body,
            },
            self.clock.now(),
        );
        self.send(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None, &Value::Null).await
    }

    /// Creates a payment of 10.00 EUR.
    pub(crate) async fn pay(&self, order_no: &str, payment_method: Option<&str>) -> Reply {
        self.call("POST", "/api/v1/payments", None, &order(order_no, payment_method))
            .await
    }

    /// The number of a payment of 10.00 EUR that was charged.
    pub(crate) async fn paid(&self, order_no: &str) -> String {
        let reply = self.pay(order_no, Some("pm_card_visa")).await.expect(201);
        assert_eq!(reply.json["status"], "success");
        reply.text("payment_no")
    }

    pub(crate) async fn status(&self, payment_no: &str) -> String {
        self.get(&format!("/api/v1/payments/{payment_no}"))
            .await
            .expect(200)
            .text("status")
    }

    pub(crate) async fn refund(&self, payment_no: &str, key: &str, body: &Value) -> Reply {
        self.call(
            "POST",
            &format!("/api/v1/payments/{payment_no}/refunds"),
            Some(key),
            body,
        )
        .await
    }

    /// Delivers a webhook of the PSP's, signed with its newer secret.
    pub(crate) async fn webhook(&self, id: &str, event_type: &str, object: &Value) -> Reply {
        let body = webhook_body(id, event_type, object);
        let signature =
            Signature::sign_webhook(WEBHOOK_SECRETS[1].as_bytes(), self.clock.now(), body.as_bytes());
        self.webhook_signed(body, Some(&signature.to_string())).await
    }

    pub(crate) async fn webhook_signed(&self, body: String, signature: Option<&str>) -> Reply {
        let mut request = Request::builder().method("POST").uri("/webhooks/stripe");
        if let Some(signature) = signature {
            request = request.header("stripe-signature", signature);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Sends a request as an operator.
    pub(crate) async fn staff(&self, method: &str, path: &str, body: &Value) -> Reply {
        let token = self.staff.token(&["operator"], self.clock.now());
        self.bearer(&token, method, path, body).await
    }

    /// Sends a request with a Bearer token.
    pub(crate) async fn bearer(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    /// Moves the clock and does one sweep, to its end.
    pub(crate) async fn sweep_after(&self, pause: SignedDuration) -> usize {
        self.clock.advance(pause);
        let tasks = self.charging().sweep().await.unwrap();
        let count = tasks.len();
        for task in tasks {
            task.await.unwrap();
        }
        count
    }

    /// The events of one payment as they stand in the outbox, in order.
    pub(crate) async fn events(&self, payment_no: &str) -> Vec<PaymentEvent> {
        let payloads: Vec<Vec<u8>> =
            sqlx::query_scalar("select payload from eventing.outbox where key = $1 order by seq")
                .bind(payment_no)
                .fetch_all(self.pool())
                .await
                .unwrap();
        let topic = &schemas::catalogue::PAYMENTS;
        let decoded = payloads.iter().map(|payload| {
            let (_, body) = schemas::codec::unframe(payload).unwrap();
            match schemas::codec::decode(topic.name, topic.avro(), body).unwrap() {
                Event::Payment(event) => *event,
                other => panic!("a foreign event: {other:?}"),
            }
        });
        let events: Vec<_> = decoded.collect();
        let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
        let dense: Vec<_> = (1..=i64::try_from(events.len()).unwrap()).collect();
        assert_eq!(sequences, dense, "the sequence has a gap or an inversion");
        events
    }

    /// The types of one payment's events, in order.
    pub(crate) async fn event_types(&self, payment_no: &str) -> Vec<&'static str> {
        self.events(payment_no)
            .await
            .iter()
            .map(|event| event.event_type.as_str())
            .collect()
    }

    /// How many rows a table has.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.pool())
            .await
            .unwrap()
    }
}

/// What a merchant sends for 10.00 EUR.
pub(crate) fn order(order_no: &str, payment_method: Option<&str>) -> Value {
    let mut order = json!({
        "order_no": order_no, "amount": 1000, "currency": "EUR", "customer_email": "ada@example.com",
    });
    if let Some(payment_method) = payment_method {
        order["payment_method"] = json!(payment_method);
    }
    order
}

pub(crate) fn webhook_body(id: &str, event_type: &str, object: &Value) -> String {
    json!({ "id": id, "object": "event", "type": event_type, "data": { "object": object } }).to_string()
}

async fn app(pool: &PgPool, psp: &Psp, clock: &Clock, patience: Duration) -> App {
    let registry = SchemaRegistry::new("http://127.0.0.1:1", pool.clone()).unwrap();
    // No retries: a lost answer is lost at once. Retrying is the client's business, and tested there.
    let settings = || Settings {
        max_retries: 0,
        deadline: Duration::from_secs(20),
        ..Settings::default()
    };
    let stripe = Stripe::new(
        Client::new("stripe", settings()).unwrap(),
        psp.url.clone(),
        "sk_test".into(),
        "https://shop.example/return".parse().unwrap(),
    );
    let terms = Terms {
        expire_after: SignedDuration::from_hours(6),
        claim: SignedDuration::from_secs(40),
        patience,
    };
    let outbox = Outbox::load("payment-gateway", &registry, clock.clone())
        .await
        .unwrap();
    let tasks = Tasks::new(CancellationToken::new());
    let secrets = Secrets::new("0123456789abcdef".repeat(4).into()).unwrap();
    let tokens = config::Tokens {
        issuer: GATEWAY_ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        ttl_seconds: 900,
    };
    App {
        charging: Charging::new(pool.clone(), outbox, clock.clone(), stripe, tasks, terms),
        tokens: TokenVerifier::new(
            &[
                trust(
                    staff::ISSUER,
                    psp.url.join("/staff/jwks.json").unwrap(),
                    PrincipalKind::Staff,
                ),
                trust(
                    GATEWAY_ISSUER,
                    psp.url.join("/gateway/jwks.json").unwrap(),
                    PrincipalKind::Merchant,
                ),
            ],
            &Client::new("issuer", settings()).unwrap(),
            clock.clone(),
        ),
        issuer: Arc::new(TokenIssuer::load(pool, &secrets, clock, tokens).await.unwrap()),
        secrets: Arc::new(secrets),
        webhook_secrets: WEBHOOK_SECRETS.map(Into::into).into(),
    }
}

fn trust(issuer: &str, jwks_url: url::Url, principal: PrincipalKind) -> Trust {
    Trust {
        issuer: issuer.to_owned(),
        jwks_url,
        audience: AUDIENCE.to_owned(),
        algorithms: vec![Algorithm::ES256],
        principal,
    }
}

async fn add_merchant(app: &App) -> Signer {
    let (merchant_id, api_key, secret) = (MerchantId::generate(), ApiKeyId::generate(), "secret".repeat(8));
    let (pool, cipher, now) = (&app.charging.pool, &app.secrets.cipher, app.charging.clock.now());
    let merchant = StoredMerchant {
        merchant_id,
        name: "Ada's shop".to_owned(),
        email: "shop@example.com".to_owned(),
        notify_url: None,
        status: MerchantStatus::Active,
        webhook_secret: cipher
            .seal(merchant_id.to_string().as_bytes(), b"whsec_x")
            .unwrap(),
        created_at: now,
    };
    merchants::insert(pool, &merchant).await.unwrap();
    let sealed = cipher
        .seal(api_key.to_string().as_bytes(), secret.as_bytes())
        .unwrap();
    api_keys::insert(pool, api_key, merchant_id, &sealed, now)
        .await
        .unwrap();
    Signer {
        merchant_id,
        api_key,
        secret,
    }
}
