//! What a payment can come to, and what the merchant sees of it.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use system_tests::answer::text;
use system_tests::audit::books_agree;
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

use crate::whole_way::sent;

#[test]
fn a_declined_payment_fails_with_a_reason_and_everybody_is_told() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop.pay("pm_card_visa_chargeDeclined").await?;
        ensure!(
            payment["status"] == "failed" && payment["failure"]["code"] == "card_declined",
            "{payment}"
        );
        eventually("the notices of a failed payment", async || {
            let notices = sent(world, &shop).await?;
            let of_failure = notices
                .iter()
                .filter(|(kind, ..)| kind == "payment_failed")
                .count();
            ensure!(of_failure == 3 && notices.len() == 3, "sent: {notices:?}");
            Ok(Some(()))
        })
        .await?;
        books_agree(world, &shop).await
    });
}

async fn asks_the_customer(shop: &Shop) -> Result<(String, String)> {
    let payment = shop.pay("pm_card_threeDSecure2Required").await?;
    ensure!(payment["status"] == "requires_action", "{payment}");
    Ok((
        text(&payment, "payment_no")?,
        text(&payment["next_action"], "redirect_url")?,
    ))
}

#[test]
fn a_payment_that_needs_the_customer_goes_as_the_customer_decides() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let (accepted, url) = asks_the_customer(&shop).await?;
        world.outside.authenticate(&url, "complete").await?;
        let (refused, url) = asks_the_customer(&shop).await?;
        world.outside.authenticate(&url, "fail").await?;
        shop.status_becomes(&accepted, "success").await?;
        let payment = shop.status_becomes(&refused, "failed").await?;
        ensure!(payment["failure"]["code"] == "authentication_failed", "{payment}");
        books_agree(world, &shop).await
    });
}

#[test]
fn without_a_payment_method_the_customer_pays_on_the_psps_page() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop.order_payment(&shop.order(None)).await?.success()?;
        let (payment_no, url) = (text(&payment, "payment_no")?, text(&payment, "payment_url")?);
        world.outside.pay_on_page(&url, "pm_card_visa").await?;
        shop.status_becomes(&payment_no, "success").await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn a_delayed_payment_is_processing_until_the_psp_says_more() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop.pay("pm_card_delayed").await?;
        ensure!(payment["status"] == "processing", "{payment}");
        shop.status_becomes(&text(&payment, "payment_no")?, "success")
            .await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn an_order_is_charged_once_however_often_and_at_once_it_is_sent() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let order = shop.order(Some("pm_card_visa"));
        let (one, two, three) = tokio::join!(
            shop.order_payment(&order),
            shop.order_payment(&order),
            shop.order_payment(&order)
        );
        let mut numbers = std::collections::BTreeSet::new();
        for answer in [one?, two?, three?] {
            ensure!(
                [200, 201, 409].contains(&answer.status),
                "{} {}",
                answer.status,
                answer.body
            );
            numbers.extend(answer.body["payment_no"].as_str().map(str::to_owned));
        }
        ensure!(numbers.len() == 1, "payments: {numbers:?}");
        let again = shop.order_payment(&order).await?;
        ensure!(again.status == 200, "{} {}", again.status, again.body);
        let mut other = order.clone();
        other["amount"] = json!(2000);
        let other = shop.order_payment(&other).await?;
        ensure!(
            other.status == 422 && other.problem() == "order-conflict",
            "{}",
            other.body
        );
        ensure!(shop.payments().await?.len() == 1, "another payment");
        books_agree(world, &shop).await
    });
}

#[test]
fn the_same_idempotency_key_gives_the_first_answer_again() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        let first = shop.order_refund_as(&payment_no, 500, "key-1").await?;
        ensure!(first.status == 201, "{} {}", first.status, first.body);
        let again = shop.order_refund_as(&payment_no, 500, "key-1").await?;
        ensure!(
            again
                .headers
                .get("idempotent-replayed")
                .is_some_and(|value| value == "true"),
            "{again:?}"
        );
        ensure!(
            again.body["refund_no"] == first.body["refund_no"],
            "{}",
            again.body
        );
        let other = shop.order_refund_as(&payment_no, 501, "key-1").await?;
        ensure!(
            other.status == 422 && other.problem() == "idempotency-key-reused",
            "{}",
            other.body
        );
        let without = shop.order_refund_as(&payment_no, 500, "").await?;
        ensure!(without.problem() == "idempotency-key-missing", "{}", without.body);
        books_agree(world, &shop).await
    });
}

#[test]
fn refunds_at_once_never_exceed_the_payment() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        let asked = (0..8).map(|_| shop.order_refund(&payment_no, 600));
        let answers: Vec<_> = futures::future::try_join_all(asked).await?;
        let accepted = answers.iter().filter(|answer| answer.status == 201).count();
        let refused = answers
            .iter()
            .filter(|answer| answer.problem() == "refund-above-rest")
            .count();
        ensure!(
            (accepted, refused) == (3, 5),
            "accepted {accepted}, refused {refused} of 600 three times in 1999"
        );
        books_agree(world, &shop).await
    });
}

#[test]
fn a_cancelled_payment_is_never_charged() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop.order_payment(&shop.order(None)).await?.success()?;
        let (payment_no, url) = (text(&payment, "payment_no")?, text(&payment, "payment_url")?);
        let target = format!("/api/v1/payments/{payment_no}/cancel");
        let cancelled = shop.send(Method::POST, &target, "", "").await?;
        ensure!(
            [200, 202].contains(&cancelled.status),
            "{} {}",
            cancelled.status,
            cancelled.body
        );
        shop.status_becomes(&payment_no, "cancelled").await?;
        // The page refuses, or says that it is closed; either way nothing is charged.
        let _ = world.outside.pay_on_page(&url, "pm_card_visa").await;
        books_agree(world, &shop).await
    });
}

#[test]
fn an_erased_customer_is_not_written_to() {
    story(&[], async |world: &World| {
        let shop = world.shop().await?;
        let order = shop.order(Some("pm_card_visa"));
        let payment = shop.order_payment(&order).await?.success()?;
        let payment_no = text(&payment, "payment_no")?;
        let customer = text(&payment, "customer_ref")?;
        let address = text(&order, "customer_email")?;
        eventually("the customer's first mail", async || {
            Ok((world.outside.mails(&address).await?.len() == 1).then_some(()))
        })
        .await?;
        let erased = shop
            .send(Method::DELETE, &format!("/api/v1/customers/{customer}"), "", "")
            .await?;
        ensure!(erased.status == 204, "{} {}", erased.status, erased.body);
        shop.refunded(&payment_no, 100).await?;
        eventually("the suppressed notice", async || {
            let url = format!(
                "{}/api/v1/notifications?limit=100",
                world.url(local::service::Service::Notifier)
            );
            let page = shop.ask(&url).await?;
            let rows = page["data"].as_array().cloned().unwrap_or_default();
            let suppressed = rows.iter().any(|row| {
                row["type"] == "payment_refunded"
                    && row["recipient"] == "customer"
                    && row["status"] == "suppressed"
            });
            Ok(suppressed.then_some(()))
        })
        .await?;
        ensure!(
            world.outside.mails(&address).await?.len() == 1,
            "the erased customer got another mail"
        );
        books_agree(world, &shop).await
    });
}
