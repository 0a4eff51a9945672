//! Whose tokens are believed, and for how long without their issuer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::extract::{FromRef, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use eventing::Clock;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::auth::{AuthError, Merchant, Principal, Staff, TokenVerifier};
use platform::config::{PrincipalKind, Trust};
use schemas::MerchantId;
use serde_json::{Value, json};

use crate::support::{Server, answer, client};

const AUDIENCE: &str = "payments-platform";

/// An issuer with one key at a time, which counts how often its keys are fetched.
pub(crate) struct Issuer {
    server: Server,
    published: Arc<Mutex<JwkSet>>,
    fetched: Arc<AtomicUsize>,
    pub(crate) key: Key,
}

#[derive(Clone)]
pub(crate) struct Key {
    id: String,
    signing: EncodingKey,
}

impl Key {
    fn new(id: &str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self {
            id: id.to_owned(),
            signing: EncodingKey::from_ec_der(pkcs8.as_ref()),
        }
    }

    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.signing, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let key = Key::new("first");
        let published = Arc::new(Mutex::new(JwkSet {
            keys: vec![key.public()],
        }));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (keys, count) = (published.clone(), fetched.clone());
        let jwks = get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            axum::Json(keys.lock().unwrap().clone())
        });
        let server = Server::start(Router::new().route("/jwks.json", jwks)).await;
        Self {
            server,
            published,
            fetched,
            key,
        }
    }

    fn name(&self) -> String {
        self.server.url.to_string()
    }

    pub(crate) fn trust(&self, principal: PrincipalKind) -> Trust {
        Trust {
            issuer: self.name(),
            jwks_url: self.server.url("/jwks.json"),
            audience: AUDIENCE.to_owned(),
            algorithms: vec![Algorithm::ES256],
            principal,
        }
    }

    fn rotate(&mut self, id: &str) {
        self.key = Key::new(id);
        self.published.lock().unwrap().keys = vec![self.key.public()];
    }

    pub(crate) fn claims(&self, subject: &str) -> Value {
        json!({ "iss": self.name(), "sub": subject, "aud": AUDIENCE, "exp": 10_000,
                "name": "Alice", "roles": ["operator"] })
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

pub(crate) fn clock() -> Clock {
    Clock::stopped_at(Timestamp::from_second(5_000).unwrap())
}

async fn staff_verifier() -> (Issuer, TokenVerifier, Clock) {
    let (issuer, clock) = (Issuer::start().await, clock());
    let trust = [issuer.trust(PrincipalKind::Staff)];
    let verifier = TokenVerifier::new(&trust, &client(), clock.clone());
    (issuer, verifier, clock)
}

fn is_invalid(refused: &Result<Principal, AuthError>) -> bool {
    matches!(refused, Err(AuthError::Invalid(_)))
}

#[tokio::test]
async fn an_issuer_asserts_the_kind_of_principal_it_is_configured_for() {
    let (merchants, staff) = (Issuer::start().await, Issuer::start().await);
    let trust = [
        merchants.trust(PrincipalKind::Merchant),
        staff.trust(PrincipalKind::Staff),
    ];
    let verifier = TokenVerifier::new(&trust, &client(), clock());
    let merchant_id = MerchantId::generate();

    let token = merchants.key.sign(&merchants.claims(&merchant_id.to_string()));
    assert_eq!(
        verifier.verify(&token).await,
        Ok(Principal::Merchant(merchant_id))
    );

    let token = staff.key.sign(&staff.claims("staff_alice"));
    let Ok(Principal::Staff(alice)) = verifier.verify(&token).await else {
        panic!("not staff")
    };
    assert_eq!((&*alice.subject, &*alice.name), ("staff_alice", "Alice"));
    assert!(alice.require_role("operator").is_ok());
    assert_eq!(
        alice.require_role("approver"),
        Err(AuthError::MissingRole("approver"))
    );

    // Whatever it claims, the gateway's issuer names merchants only.
    let token = merchants.key.sign(&merchants.claims("staff_alice"));
    assert!(is_invalid(&verifier.verify(&token).await));
    // The staff issuer's key proves nothing about what the other issuer says.
    let token = staff.key.sign(&merchants.claims(&merchant_id.to_string()));
    assert!(is_invalid(&verifier.verify(&token).await));
}

#[tokio::test]
async fn a_token_holds_for_its_audience_and_time_only() {
    let (issuer, verifier, _) = staff_verifier().await;
    let with = |claim: &str, value: Value| {
        let mut claims = issuer.claims("staff_alice");
        claims[claim] = value;
        issuer.key.sign(&claims)
    };
    let without = |claim: &str| {
        let mut claims = issuer.claims("staff_alice");
        claims.as_object_mut().unwrap().remove(claim);
        issuer.key.sign(&claims)
    };
    for (accepted, token) in [
        (true, with("exp", json!(4_971))),
        (false, with("exp", json!(4_969))),
        (true, with("nbf", json!(5_029))),
        (false, with("nbf", json!(5_031))),
        (true, with("aud", json!(["other", AUDIENCE]))),
        (false, with("aud", json!("other"))),
        (false, with("iss", json!("https://elsewhere.example"))),
        (false, without("aud")),
        (false, without("exp")),
        (false, without("sub")),
        (false, without("iss")),
    ] {
        let outcome = verifier.verify(&token).await;
        assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
    }
}

#[tokio::test]
async fn the_configuration_chooses_the_algorithm_and_not_the_token() {
    let (issuer, verifier, _) = staff_verifier().await;
    // A public key is no secret: signed with it as one, a token proves nothing.
    let public = serde_json::to_vec(&issuer.key.public()).unwrap();
    let header = Header {
        kid: Some("first".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let claims = issuer.claims("staff_alice");
    let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap();
    assert!(is_invalid(&verifier.verify(&forged).await));

    let signed = issuer.key.sign(&claims);
    let (unsigned, _) = signed.rsplit_once('.').unwrap();
    for token in [
        "",
        "x",
        "a.b.c",
        &format!("{unsigned}."),
        &format!("{signed}x"),
        &format!("x{signed}"),
    ] {
        assert!(is_invalid(&verifier.verify(token).await), "{token}");
    }
    assert!(verifier.verify(&signed).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_a_key_that_is_new_but_not_too_often() {
    let (mut issuer, verifier, clock) = staff_verifier().await;
    assert_eq!(issuer.fetched(), 0, "lazily");
    let claims = issuer.claims("staff_alice");
    for _ in 0..3 {
        assert!(verifier.verify(&issuer.key.sign(&claims)).await.is_ok());
    }
    assert_eq!(issuer.fetched(), 1);

    issuer.rotate("second");
    clock.advance(SignedDuration::from_secs(11));
    assert!(verifier.verify(&issuer.key.sign(&claims)).await.is_ok());
    assert_eq!(issuer.fetched(), 2);

    let unknown = Key::new("third");
    for _ in 0..20 {
        assert!(is_invalid(&verifier.verify(&unknown.sign(&claims)).await));
    }
    assert_eq!(issuer.fetched(), 2, "however many unknown keys come");
    clock.advance(SignedDuration::from_secs(11));
    assert!(is_invalid(&verifier.verify(&unknown.sign(&claims)).await));
    assert_eq!(issuer.fetched(), 3);
}

#[tokio::test]
async fn a_key_that_its_issuer_withdrew_stops_being_believed() {
    let (mut issuer, verifier, clock) = staff_verifier().await;
    let token = issuer.key.sign(&issuer.claims("staff_alice"));
    assert!(verifier.verify(&token).await.is_ok());
    issuer.rotate("second");
    assert!(
        verifier.verify(&token).await.is_ok(),
        "until its keys are looked at again"
    );
    clock.advance(SignedDuration::from_mins(11));
    assert!(is_invalid(&verifier.verify(&token).await));
}

#[tokio::test]
async fn known_keys_are_kept_while_their_issuer_is_away() {
    let (issuer, verifier, clock) = staff_verifier().await;
    let token = issuer.key.sign(&issuer.claims("staff_alice"));
    assert!(verifier.verify(&token).await.is_ok());
    issuer.server.stop().await;
    clock.advance(SignedDuration::from_mins(60));
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn without_any_key_nobody_is_refused_for_good() {
    let (issuer, verifier, clock) = staff_verifier().await;
    let token = issuer.key.sign(&issuer.claims("staff_alice"));
    let (published, trust) = (issuer.published.clone(), issuer.trust(PrincipalKind::Staff));
    issuer.server.stop().await;
    assert_eq!(verifier.verify(&token).await, Err(AuthError::KeysUnavailable));

    // The issuer is back, at the same address.
    let address = trust.jwks_url.socket_addrs(|| None).unwrap()[0];
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let jwks = get(async move || axum::Json(published.lock().unwrap().clone()));
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move {
        axum::serve(listener, Router::new().route("/jwks.json", jwks))
            .await
            .unwrap();
    });
    clock.advance(SignedDuration::from_secs(11));
    assert!(verifier.verify(&token).await.is_ok());
}

#[derive(Clone, FromRef)]
struct State {
    tokens: TokenVerifier,
}

#[tokio::test]
async fn a_handler_is_entered_only_by_whom_it_names() {
    let (merchants, staff) = (Issuer::start().await, Issuer::start().await);
    let trust = [
        merchants.trust(PrincipalKind::Merchant),
        staff.trust(PrincipalKind::Staff),
    ];
    let tokens = TokenVerifier::new(&trust, &client(), clock());
    let routes = Router::new()
        .route("/anyone", get(async |_: Principal| ()))
        .route("/staff", get(async |Staff(member): Staff| member.subject))
        .route(
            "/approver",
            get(async |Staff(member): Staff| member.require_role("approver")),
        )
        .route("/merchant", get(async |Merchant(id): Merchant| id.to_string()))
        .route(
            "/optional",
            get(async |caller: Option<Principal>| caller.is_some().to_string()),
        )
        .with_state(State { tokens });
    let merchant_id = MerchantId::generate();
    let merchant = merchants.key.sign(&merchants.claims(&merchant_id.to_string()));
    let member = staff.key.sign(&staff.claims("staff_alice"));
    let (merchant, member) = (format!("Bearer {merchant}"), format!("bearer {member}"));
    let ask = async |path: &str, authorization: Option<&str>| -> Response {
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        answer(&routes, request.body(axum::body::Body::empty()).unwrap()).await
    };
    for (path, authorization, expected) in [
        ("/anyone", Some(&*merchant), 200),
        ("/anyone", Some(&*member), 200),
        ("/anyone", None, 401),
        ("/anyone", Some("Basic YTpi"), 401),
        ("/anyone", Some("Bearer"), 401),
        ("/anyone", Some("Bearer nonsense"), 401),
        ("/staff", Some(&*member), 200),
        ("/staff", Some(&*merchant), 403),
        ("/approver", Some(&*member), 403),
        ("/merchant", Some(&*merchant), 200),
        ("/merchant", Some(&*member), 403),
        ("/optional", None, 200),
        ("/optional", Some(&*member), 200),
        ("/optional", Some("Bearer nonsense"), 401),
    ] {
        let answer = ask(path, authorization).await;
        assert_eq!(answer.status().as_u16(), expected, "{path} {authorization:?}");
        if answer.status() == StatusCode::UNAUTHORIZED {
            assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_and_staff_see_all() {
    let (own, other) = (MerchantId::generate(), MerchantId::generate());
    let merchant = Principal::Merchant(own);
    assert!(merchant.may_see(own) && !merchant.may_see(other));
    let (issuer, verifier, _) = staff_verifier().await;
    let mut headers = HeaderMap::new();
    let token = issuer.key.sign(&issuer.claims("staff_alice"));
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    let staff = verifier.authenticate(&headers).await.unwrap();
    assert!(staff.may_see(own) && staff.tenant().is_none());
}
