//! The PSP's webhooks: before the answer, twice, in the wrong order, forged. None of it changes what a payment comes to.

use anyhow::ensure;
use serde_json::json;
use system_tests::answer::{Answer, text};
use system_tests::audit::books_agree;
use system_tests::story;

fn in_mode(mode: &'static str) {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world.outside.psp_webhooks(mode).await?;
        let at_once = text(&shop.pay("pm_card_visa").await?, "payment_no")?;
        let delayed = text(&shop.pay("pm_card_delayed").await?, "payment_no")?;
        shop.pay("pm_card_visa_chargeDeclined").await?;
        shop.status_becomes(&at_once, "success").await?;
        shop.status_becomes(&delayed, "success").await?;
        shop.refunded(&at_once, 300).await?;
        world.outside.psp_webhooks("normal").await?;
        world.outside.control("psp/webhooks/release", json!({})).await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn a_webhook_that_comes_before_the_answer_changes_nothing() {
    in_mode("before_answer");
}

#[test]
fn a_webhook_that_comes_twice_changes_nothing() {
    in_mode("duplicate");
}

#[test]
fn webhooks_in_reversed_order_change_nothing() {
    in_mode("reversed");
}

#[test]
fn a_webhook_that_is_not_the_psps_is_refused() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop.order_payment(&shop.order(None)).await?.success()?;
        let payment_no = text(&payment, "payment_no")?;
        let event = json!({
            "id": "evt_forged", "object": "event", "type": "payment_intent.succeeded", "created": 1,
            "data": { "object": { "id": "pi_forged", "object": "payment_intent", "status": "succeeded", "amount": 1999,
                "currency": "eur", "metadata": { "payment_no": payment_no } } },
        });
        let url = format!(
            "{}/webhooks/stripe",
            world.url(local::service::Service::PaymentGateway)
        );
        for (signature, problem) in [
            (None, "signature-missing"),
            (Some("t=1,v1=00"), "signature-stale"),
            (Some("nonsense"), "signature-malformed"),
        ] {
            let mut request = world.http.post(&url).json(&event);
            if let Some(signature) = signature {
                request = request.header("Stripe-Signature", signature);
            }
            let answer = Answer::to(request).await?;
            ensure!(
                answer.status == 401 && answer.problem() == problem,
                "{signature:?}: {} {}",
                answer.status,
                answer.body
            );
        }
        ensure!(
            shop.payment(&payment_no).await?["status"] == "pending",
            "a forged webhook changed the payment"
        );
        Ok(())
    });
}
