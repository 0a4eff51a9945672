//! Who is let in to the operators' listener, and whose forms are believed.

use axum::Router;
use axum::http::{StatusCode, header};
use eventing::KafkaSettings;
use platform::config::Database;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::auth::Issuer;
use crate::browser::{Browser, Page, SERVICE_TOKEN, listener};

const LOOPBACK: &str = "127.0.0.1:41013";
const EVERYWHERE: &str = "0.0.0.0:41013";
/// A page with a form, which needs no database.
const FORM: &str = "/dead-letters/settlement/replay/new?ids=0-7";
/// Something that changes something.
const ACTION: &str = "/dead-letters/settlement/jobs/018f0000-0000-7000-8000-000000000000/pause";

/// A database that nobody has.
fn nowhere() -> PgPool {
    let section = Database {
        url: "postgres://127.0.0.1:1/nowhere".into(),
        max_connections: 1,
    };
    platform::database::pool("test", &section).unwrap()
}

async fn at(address: &str) -> (Issuer, Router) {
    let issuer = Issuer::start().await;
    let routes = listener(address, &issuer, nowhere(), KafkaSettings::new("127.0.0.1:1"));
    (issuer, routes)
}

fn staff_token(issuer: &Issuer, roles: &Value) -> String {
    let mut claims = issuer.claims("staff_alice");
    claims["roles"] = roles.clone();
    issuer.key.sign(&claims)
}

/// Whether a form came past the doors: the database is away, so nothing can have been done.
fn came_through(page: &Page) -> bool {
    page.status == StatusCode::UNPROCESSABLE_ENTITY || page.status == StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn on_loopback_everybody_is_let_in_by_names_of_this_machine_only() {
    let (_issuer, routes) = at(LOOPBACK).await;
    for path in ["/", "/metrics", FORM] {
        for (host, expected) in [
            ("localhost:41013", 200),
            ("[::1]:41013", 200),
            ("ops.example.org", 200),
            ("evil.example:41013", 421),
            ("127.0.0.1.evil.example", 421),
            ("10.1.2.3:41013", 421),
        ] {
            let page = Browser::saying(&routes, header::HOST, host).get(path).await;
            assert_eq!(page.status, expected, "{path} at {host}: {}", page.text);
        }
    }
    let mut rebound = Browser::saying(&routes, header::HOST, "evil.example");
    assert_eq!(
        rebound.get("/health/live").await.status,
        200,
        "probes use any name"
    );
    let report = rebound.get("/health/ready").await;
    assert!(
        !report.text.contains("breaker"),
        "and learn the status only: {}",
        report.text
    );
}

#[tokio::test]
async fn a_form_is_believed_only_with_the_token_and_from_the_page_that_this_browser_was_given() {
    let (_issuer, routes) = at(LOOPBACK).await;
    let fields = [("operator", "ada"), ("reason", "why not")];
    let mut browser = Browser::new(&routes);
    let token = browser.get(FORM).await.form_token();

    let believed = browser.post(ACTION, &token, &fields).await;
    assert!(came_through(&believed), "{}", believed.text);

    for wrong in ["", "made up", &"0".repeat(64)] {
        let refused = browser.post(ACTION, wrong, &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{wrong:?}");
        assert!(refused.text.contains("Nothing was done"), "{}", refused.text);
    }
    let elsewhere = Browser::new(&routes).post(ACTION, &token, &fields).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN, "another browser's");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:41008", ""] {
        browser.says = vec![(header::ORIGIN, origin.to_owned())];
        let refused = browser.post(ACTION, &token, &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    browser.says = vec![(header::HOST, "evil.example".to_owned())];
    assert_eq!(browser.post(ACTION, &token, &fields).await.status, 421);
    browser.says = vec![(header::CONTENT_TYPE, "text/plain".to_owned())];
    let refused = browser.post(ACTION, &token, &fields).await;
    assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let (_issuer, routes) = at(LOOPBACK).await;
    for action in [
        ACTION,
        "/dead-letters/settlement/plans/018f0000-0000-7000-8000-000000000000/start",
        "/dead-letters/settlement/letters/0-7/undo",
        "/sign-out",
    ] {
        let page = Browser::new(&routes).get(action).await;
        assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{action}");
        assert_eq!(page.headers[header::ALLOW], "POST", "{action}");
        assert!(page.text.starts_with("<!doctype html>"), "{action}");
    }
}

#[tokio::test]
async fn pages_load_nothing_run_nothing_and_stay_out_of_frames_and_caches() {
    let (_issuer, routes) = at(LOOPBACK).await;
    for path in ["/", FORM, "/dead-letters/nobody", "/sign-in"] {
        let page = Browser::new(&routes).get(path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-")
                && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        for (name, expected) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "same-origin"),
        ] {
            assert_eq!(page.headers[&name], expected, "{path} {name}");
        }
        for loaded in [
            "<script", "<img", "src=", "@import", "http://", "https://", "style=\"",
        ] {
            assert!(!page.text.contains(loaded), "{path} has {loaded}");
        }
    }
}

#[tokio::test]
async fn what_comes_from_elsewhere_is_text_and_no_markup() {
    let (_issuer, routes) = at(LOOPBACK).await;
    let hostile = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let path = format!("/dead-letters/settlement/replay/new?fingerprint={hostile}&key={hostile}");
    let mut browser = Browser::new(&routes);
    let page = browser.get(&path).await;
    assert!(!page.text.contains("<script"), "{}", page.text);
    assert!(page.text.contains("&#60;script&#62;"), "{}", page.text);

    let start = browser.get("/").await;
    assert!(
        start.text.contains("&#60;the breaker&#62; of 4f1c is open"),
        "{}",
        start.text
    );
    assert!(
        start.text.contains("cannot be told now"),
        "the database is away: {}",
        start.text
    );
}

#[tokio::test]
async fn beyond_loopback_everything_but_the_probes_asks_for_a_token() {
    let (issuer, routes) = at(EVERYWHERE).await;
    for path in ["/", FORM, "/dead-letters/settlement", "/dead-letters/nobody"] {
        let page = Browser::new(&routes).get(path).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(page.headers[header::WWW_AUTHENTICATE], "Bearer");
        assert!(page.text.contains("Token of a member of staff"), "{path}");
    }
    assert_eq!(
        Browser::new(&routes).get("/metrics").await.status,
        StatusCode::UNAUTHORIZED
    );
    let inside = Browser::new(&routes).get("/internal/v1/secret").await;
    assert_eq!(inside.status, StatusCode::UNAUTHORIZED);

    for path in ["/health/live", "/health/ready"] {
        let probe = Browser::new(&routes).get(path).await;
        assert_eq!(probe.status, StatusCode::OK, "{path}");
        assert!(!probe.text.contains("breaker"), "{path}: {}", probe.text);
    }

    let bearing = |token: &str| {
        let mut browser = Browser::saying(&routes, header::AUTHORIZATION, &format!("Bearer {token}"));
        // With a token in hand, the name does not matter for machines.
        browser.says.push((header::HOST, "settlement:41013".to_owned()));
        browser
    };
    let staff = staff_token(&issuer, &json!([]));
    for token in [SERVICE_TOKEN, &staff] {
        assert_eq!(bearing(token).get("/metrics").await.status, StatusCode::OK);
        assert!(bearing(token).get("/health/ready").await.text.contains("breaker"));
    }
    assert_eq!(
        bearing("nonsense").get("/metrics").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        bearing(SERVICE_TOKEN).get("/internal/v1/secret").await.text,
        "inside"
    );
    let mut browser = Browser::saying(&routes, header::AUTHORIZATION, &format!("Bearer {staff}"));
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    browser.says[0].1 = format!("Bearer {SERVICE_TOKEN}");
    assert_eq!(
        browser.get("/").await.status,
        StatusCode::UNAUTHORIZED,
        "a machine is no operator"
    );
}

#[tokio::test]
async fn a_member_of_staff_signs_in_with_a_token_and_out_again() {
    let (issuer, routes) = at(EVERYWHERE).await;
    let mut browser = Browser::new(&routes);
    let token = browser.get(FORM).await.form_token();
    let nonsense = browser.post("/sign-in", &token, &[("token", "nonsense")]).await;
    assert_eq!(nonsense.status, StatusCode::UNAUTHORIZED);
    assert!(nonsense.text.contains("refused"), "{}", nonsense.text);
    let forged = browser.post("/sign-in", "", &[("token", "nonsense")]).await;
    assert_eq!(
        forged.status,
        StatusCode::FORBIDDEN,
        "nobody is signed in by a foreign page"
    );

    let staff = staff_token(&issuer, &json!(["operator"]));
    let signed_in = browser
        .post("/sign-in", &token, &[("token", &staff), ("to", FORM)])
        .await;
    assert_eq!(
        (signed_in.status, &*signed_in.location()),
        (StatusCode::SEE_OTHER, FORM)
    );
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(!cookie.contains(&staff), "the browser cannot read what it keeps");
    let page = browser.get(FORM).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Alice"), "{}", page.text);

    let fields = [("operator", "somebody else"), ("reason", "why not")];
    let old = browser.post(ACTION, &token, &fields).await;
    assert_eq!(
        old.status,
        StatusCode::FORBIDDEN,
        "the form was given to nobody in particular"
    );
    let token = page.form_token();
    let believed = browser.post(ACTION, &token, &fields).await;
    assert!(came_through(&believed), "{}", believed.text);

    let out = browser.post("/sign-out", &token, &[]).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get(FORM).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn staff_without_the_role_may_look_and_do_nothing() {
    let (issuer, routes) = at(EVERYWHERE).await;
    let mut browser = Browser::new(&routes);
    let approver = staff_token(&issuer, &json!(["approver"]));
    let signed_in = browser
        .submit("/sign-in", "/sign-in", &[("token", &approver)])
        .await;
    assert_eq!(signed_in.location(), "/");
    let refused = browser.submit(FORM, ACTION, &[("reason", "why not")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("The role operator is needed"),
        "{}",
        refused.text
    );
}
