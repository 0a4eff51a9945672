//! Requests that must change nothing: each has its own status and problem type.

use anyhow::{Result, ensure};
use local::service::Service;
use local::signature::{Unsigned, unix_seconds};
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::answer::Answer;
use system_tests::{Shop, World, story};

/// An order in which one field is something else.
fn order_with(shop: &Shop, field: &str, value: Value) -> String {
    let mut order = shop.order(Some("pm_card_visa"));
    order[field] = value;
    order.to_string()
}

async fn is_refused(shop: &Shop, body: &str, status: u16, problem: &str) -> Result<()> {
    let answer = shop.send(Method::POST, "/api/v1/payments", "", body).await?;
    let shown: String = body.chars().take(120).collect();
    ensure!(
        answer.status == status && answer.problem() == problem,
        "{shown}: expected {status} {problem}, got {} {}",
        answer.status,
        answer.body
    );
    ensure!(
        answer.body["title"].is_string() && answer.body["status"] == status,
        "no problem document: {}",
        answer.body
    );
    Ok(())
}

#[test]
fn orders_that_make_no_sense_are_refused_each_with_its_own_problem() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let shop = &shop;
        let with = |field, value| order_with(shop, field, value);
        let large = with("description", json!("x".repeat(2_000_000)));
        let fractional = with("amount", json!(0)).replace("\"amount\":0", "\"amount\":19.99");
        let huge = with("amount", json!(0)).replace("\"amount\":0", "\"amount\":9223372036854775808");
        for (body, status, problem) in [
            ("{".to_owned(), 400, "not-json"),
            (large, 413, "too-large"),
            (with("colour", json!("red")), 422, "unknown-field"),
            (with("currency", json!("EURO")), 422, "unknown-currency"),
            (with("currency", json!("eur")), 422, "unknown-currency"),
            (with("amount", json!(0)), 422, "amount-not-positive"),
            (with("amount", json!(-1)), 422, "amount-not-positive"),
            (fractional, 422, "amount-not-integer"),
            (huge, 422, "amount-out-of-range"),
            (with("order_no", json!("x".repeat(65))), 422, "text-too-long"),
            (with("description", json!("x".repeat(501))), 422, "text-too-long"),
            (with("description", json!("a\u{7}b")), 422, "control-characters"),
            (
                with("order_no", json!("no spaces, please")),
                422,
                "invalid-request",
            ),
            (with("customer_email", json!("nobody")), 422, "invalid-request"),
            (
                with("notify_url", json!("ftp://example.com")),
                422,
                "invalid-request",
            ),
        ] {
            is_refused(shop, &body, status, problem).await?;
        }
        ensure!(
            shop.payments().await?.is_empty(),
            "a refused order made a payment"
        );
        Ok(())
    });
}

/// An order with whatever headers.
async fn order(
    world: &World,
    shop: &Shop,
    key: Option<&str>,
    signature: Option<&str>,
    body: &str,
) -> Result<Answer> {
    let url = format!("{}/api/v1/payments", world.url(Service::PaymentGateway));
    let mut request = world
        .http
        .post(url)
        .header("Content-Type", "application/json")
        .body(body.to_owned());
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    if let Some(signature) = signature {
        request = request.header("X-Signature", signature);
    }
    let answer = Answer::to(request).await?;
    ensure!(shop.payments().await?.is_empty(), "it made a payment");
    Ok(answer)
}

#[test]
fn requests_that_are_not_signed_as_they_should_be_are_refused() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let body = shop.order(Some("pm_card_visa")).to_string();
        let unsigned = Unsigned {
            method: "POST",
            target: "/api/v1/payments",
            idempotency_key: "",
            body: body.as_bytes(),
        };
        let key = shop.merchant.key();
        let good = key.sign(unsigned);
        let stale = key.sign_at(unix_seconds() - 301, unsigned);
        let early = key.sign_at(unix_seconds() + 330, unsigned);
        let other_body = key.sign(Unsigned {
            body: b"{}",
            ..unsigned
        });
        let nobody = schemas::ApiKeyId::generate().to_string();
        let id = key.id.as_str();
        for (key, signature, problem) in [
            (None, None, "signature-missing"),
            (Some(id), None, "signature-missing"),
            (Some(id), Some("v1=abc"), "signature-malformed"),
            (Some(id), Some(stale.as_str()), "signature-stale"),
            (Some(id), Some(early.as_str()), "signature-stale"),
            (Some(id), Some(other_body.as_str()), "signature-mismatch"),
            (Some(nobody.as_str()), Some(good.as_str()), "api-key-unknown"),
        ] {
            let answer = order(world, &shop, key, signature, &body).await?;
            ensure!(
                answer.status == 401 && answer.problem() == problem,
                "expected {problem}, got {} {}",
                answer.status,
                answer.body
            );
        }
        Ok(())
    });
}

#[test]
fn another_tenants_numbers_name_nothing() {
    story(&[], async |world| {
        let (own, other) = (world.shop().await?, world.shop().await?);
        let payment_no = own.charged().await?;
        let refund = other.order_refund(&payment_no, 100).await?;
        let shown = other
            .send(Method::GET, &format!("/api/v1/payments/{payment_no}"), "", "")
            .await?;
        let cancelled = other
            .send(
                Method::POST,
                &format!("/api/v1/payments/{payment_no}/cancel"),
                "",
                "",
            )
            .await?;
        for answer in [refund, shown, cancelled] {
            ensure!(
                answer.status == 404 && answer.problem() == "not-found",
                "{} {}",
                answer.status,
                answer.body
            );
        }
        for url in [
            format!(
                "{}/api/v1/stats?merchant_id={}",
                world.url(Service::AnalyticsConsumer),
                own.id()
            ),
            format!(
                "{}/api/v1/events/payment?merchant_id={}",
                world.url(Service::AnalyticsConsumer),
                own.id()
            ),
            format!(
                "{}/api/v1/balances?merchant_id={}",
                world.url(Service::Settlement),
                own.id()
            ),
            format!(
                "{}/api/v1/notifications?merchant_id={}",
                world.url(Service::Notifier),
                own.id()
            ),
        ] {
            let answer = Answer::to(world.http.get(&url).bearer_auth(&other.token)).await?;
            ensure!(answer.status == 404, "{url}: {} {}", answer.status, answer.body);
            let nobody = Answer::to(world.http.get(&url)).await?;
            ensure!(
                nobody.status == 401,
                "{url} without a token: {} {}",
                nobody.status,
                nobody.body
            );
        }
        let mut order = other.order(Some("pm_card_visa"));
        order["merchant_id"] = json!(own.id());
        let forged = other.order_payment(&order).await?;
        ensure!(
            forged.status == 403 && forged.problem() == "other-merchant",
            "{} {}",
            forged.status,
            forged.body
        );
        Ok(())
    });
}

#[test]
fn a_refund_above_the_rest_or_of_nothing_is_refused() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        let above = shop.order_refund(&payment_no, 2_000).await?;
        ensure!(
            above.status == 422 && above.problem() == "refund-above-rest",
            "{} {}",
            above.status,
            above.body
        );
        let nothing = shop.order_refund(&payment_no, 0).await?;
        ensure!(
            nothing.problem() == "amount-not-positive",
            "{} {}",
            nothing.status,
            nothing.body
        );
        let declined = shop.pay("pm_card_visa_chargeDeclined").await?;
        let declined = declined["payment_no"].as_str().unwrap_or_default().to_owned();
        let of_nothing = shop.order_refund(&declined, 1).await?;
        ensure!(
            of_nothing.problem() == "payment-not-refundable",
            "{} {}",
            of_nothing.status,
            of_nothing.body
        );
        ensure!(
            shop.refunds(&payment_no).await?.is_empty(),
            "a refused refund was made"
        );
        Ok(())
    });
}
