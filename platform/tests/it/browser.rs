//! A browser without a screen: it keeps cookies, says where its forms come from, and sends what they carry.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::Desk;
use eventing::{Clock, Condition, KafkaSettings, SchemaRegistry};
use platform::auth::TokenVerifier;
use platform::config;
use platform::health::Health;
use platform::http::operations::{Internal, Operations};
use sqlx::PgPool;

use crate::auth::{Issuer, clock};
use crate::support::{answer, client};

pub(crate) const SERVICE_TOKEN: &str = "for-operators-only";
/// What every page is loaded from, unless a test says otherwise.
pub(crate) const HOST: &str = "127.0.0.1:41013";

/// What came back.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// What a form of the page must carry.
    pub(crate) fn form_token(&self) -> String {
        let (_, rest) = self
            .text
            .split_once("name=\"form_token\" value=\"")
            .unwrap_or_else(|| panic!("no form in {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Where it sends the browser.
    pub(crate) fn location(&self) -> String {
        let location = self.headers.get(header::LOCATION);
        let location = location.unwrap_or_else(|| panic!("{} {}", self.status, self.text));
        location.to_str().unwrap().to_owned()
    }
}

/// The operators' listener of a settlement service that listens at `address`.
pub(crate) fn listener(address: &str, issuer: &Issuer, pool: PgPool, kafka: KafkaSettings) -> Router {
    let clock = clock();
    let desk = desk(pool, kafka, clock.clone());
    listener_with(address, issuer, desk, clock)
}

/// The desk of the settlement group.
pub(crate) fn desk(pool: PgPool, kafka: KafkaSettings, clock: Clock) -> Desk {
    let resources = Resources {
        registry: SchemaRegistry::new("http://127.0.0.1:1", pool.clone()).unwrap(),
        pool,
        kafka,
        clock,
    };
    let group = ConsumerGroup::ordered("settlement", ["payments.payment.v1"]);
    Desk::new(&group, &resources)
}

pub(crate) fn listener_with(address: &str, issuer: &Issuer, desk: Desk, clock: Clock) -> Router {
    let address: SocketAddr = address.parse().unwrap();
    let health = Health::default();
    let _consumer = health.register(
        "consumer settlement",
        Condition::Degraded("<the breaker> of 4f1c is open".into()),
    );
    let internal = Internal::default();
    let secret = axum::routing::get(async || "inside");
    internal.open(Router::new().route("/internal/v1/secret", secret));
    let trust = [issuer.trust(config::PrincipalKind::Staff)];
    let operations = Operations {
        service: "settlement",
        address,
        settings: config::Operations {
            listen: Some(address),
            service_token: SERVICE_TOKEN.into(),
            hosts: vec!["ops.example.org".into()],
        },
        health,
        tokens: TokenVerifier::new(&trust, &client(), clock.clone()),
        internal,
        desks: vec![desk],
        clock,
    };
    operations.routes().unwrap()
}

/// Somebody's browser.
pub(crate) struct Browser {
    routes: Router,
    cookies: BTreeMap<String, String>,
    /// Sent with every request; a name twice in it replaces what the browser would send.
    pub(crate) says: Vec<(HeaderName, String)>,
}

impl Browser {
    pub(crate) fn new(routes: &Router) -> Self {
        Self {
            routes: routes.clone(),
            cookies: BTreeMap::new(),
            says: Vec::new(),
        }
    }

    pub(crate) fn saying(routes: &Router, name: HeaderName, value: &str) -> Self {
        let mut browser = Self::new(routes);
        browser.says.push((name, value.to_owned()));
        browser
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, Body::empty()).await
    }

    /// Sends a form to `path` with the token that it carries.
    pub(crate) async fn post(&mut self, path: &str, token: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        if !token.is_empty() {
            form.append_pair("form_token", token);
        }
        self.send(Method::POST, path, Body::from(form.finish())).await
    }

    /// Loads the page that has the form, and sends it.
    pub(crate) async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.get(page).await.form_token();
        self.post(path, &token, fields).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Body) -> Page {
        let mut request = Request::builder().method(&method).uri(path).body(body).unwrap();
        let headers = request.headers_mut();
        headers.insert(header::HOST, HOST.parse().unwrap());
        if method == Method::POST {
            let form = "application/x-www-form-urlencoded".parse().unwrap();
            headers.insert(header::CONTENT_TYPE, form);
            headers.insert(header::ORIGIN, format!("http://{HOST}").parse().unwrap());
        }
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            headers.insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in &self.says {
            headers.insert(name, value.parse().unwrap());
        }
        let answer = answer(&self.routes, request).await;
        let (status, headers) = (answer.status(), answer.headers().clone());
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = to_bytes(answer.into_body(), 1 << 22).await.unwrap();
        Page {
            status,
            headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}
