//! Answers that do not come: unknown is never failed, and nothing is paid twice.

use anyhow::ensure;
use system_tests::answer::{number, text};
use system_tests::audit::{books_agree, fee};
use system_tests::settling::settle;
use system_tests::story;

#[test]
fn a_charge_whose_answer_is_lost_is_found_out_and_not_repeated() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world.outside.psp_webhooks("held").await?;
        world.outside.psp_next("payment", "drop_answer", 1).await?;
        let payment = shop.pay("pm_card_visa").await?;
        ensure!(
            payment["status"] == "processing" || payment["status"] == "success",
            "{payment}"
        );
        shop.status_becomes(&text(&payment, "payment_no")?, "success")
            .await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn a_charge_that_never_reached_the_psp_is_asked_for_again() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world
            .outside
            .psp_next("payment", "drop_before_charging", 1)
            .await?;
        let payment = shop.pay("pm_card_visa").await?;
        shop.status_becomes(&text(&payment, "payment_no")?, "success")
            .await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn a_refund_whose_answer_is_lost_is_found_out_and_not_repeated() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        world.outside.psp_webhooks("held").await?;
        world.outside.psp_next("refund", "drop_answer", 1).await?;
        let refund = shop.order_refund(&payment_no, 700).await?.success()?;
        ensure!(refund["status"] != "failed", "{refund}");
        shop.refund_becomes(&payment_no, &text(&refund, "refund_no")?, "succeeded")
            .await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn a_payout_whose_answer_is_lost_is_found_out_and_not_repeated() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        shop.charged().await?;
        let net = 1_999 - fee(1_999);
        world.alice.owes(&shop, net).await?;
        world.outside.bank_next("drop_answer").await?;
        let (settlement_no, withdrawal_no) = settle(&world.alice, &world.bob, &shop).await?;
        world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        let payouts = world.outside.bank_payouts(&withdrawal_no).await?;
        ensure!(
            payouts.len() == 1 && number(&payouts[0], "amount")? == net,
            "the bank paid {payouts:?}"
        );
        books_agree(world, &shop).await
    });
}

#[test]
fn a_psp_that_fails_for_a_while_fails_no_payment() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world.outside.psp_next("payment", "server_error", 2).await?;
        let payment = shop.pay("pm_card_visa").await?;
        ensure!(payment["status"] != "failed", "{payment}");
        shop.status_becomes(&text(&payment, "payment_no")?, "success")
            .await?;
        books_agree(world, &shop).await
    });
}
