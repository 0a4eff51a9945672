//! Settlements and payouts: refunds before and after, payouts that come back, and two people for each.

use anyhow::ensure;
use serde_json::json;
use system_tests::answer::{number, text};
use system_tests::audit::{books_agree, fee};
use system_tests::settling::settle;
use system_tests::story;

#[test]
fn a_refund_before_the_settlement_lowers_it() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        shop.refunded(&payment_no, 400).await?;
        let net = 1_999 - fee(1_999) - 400;
        world.alice.owes(&shop, net).await?;
        let (settlement_no, _) = settle(&world.alice, &world.bob, &shop).await?;
        let settlement = world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        ensure!(number(&settlement, "net_amount")? == net, "{settlement}");
        ensure!(number(&settlement, "refund_amount")? == 400, "{settlement}");
        books_agree(world, &shop).await
    });
}

#[test]
fn a_refund_after_the_settlement_is_carried_into_the_next() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment_no = shop.charged().await?;
        let net = 1_999 - fee(1_999);
        world.alice.owes(&shop, net).await?;
        let (first, _) = settle(&world.alice, &world.bob, &shop).await?;
        world.alice.settlement_becomes(&first, "completed").await?;
        shop.refunded(&payment_no, 1_999).await?;
        world.alice.owes(&shop, -1_999).await?;
        let refused = world.alice.draw_up(&shop).await?;
        ensure!(
            refused.status == 422 && refused.problem() == "net-not-positive",
            "{}",
            refused.body
        );
        for _ in 0..2 {
            shop.charged().await?;
        }
        let carried = 2 * net - 1_999;
        world.alice.owes(&shop, carried).await?;
        let (second, _) = settle(&world.alice, &world.bob, &shop).await?;
        let settlement = world.alice.settlement_becomes(&second, "completed").await?;
        ensure!(number(&settlement, "net_amount")? == carried, "{settlement}");
        books_agree(world, &shop).await
    });
}

#[test]
fn a_returned_payout_is_settled_again() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        shop.charged().await?;
        let net = 1_999 - fee(1_999);
        world.alice.owes(&shop, net).await?;
        let (settlement_no, withdrawal_no) = settle(&world.alice, &world.bob, &shop).await?;
        world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        world
            .outside
            .control("bank/return", json!({ "withdrawal_no": withdrawal_no }))
            .await?;
        world.alice.withdrawal_becomes(&withdrawal_no, "returned").await?;
        world.alice.owes(&shop, net).await?;
        let (again, second) = settle(&world.alice, &world.bob, &shop).await?;
        let settlement = world.alice.settlement_becomes(&again, "completed").await?;
        ensure!(
            number(&settlement, "returned_amount")? == net && second != withdrawal_no,
            "{settlement}"
        );
        ensure!(
            number(&world.alice.balance(&shop).await?, "paid_out_amount")? == net,
            "paid out"
        );
        books_agree(world, &shop).await
    });
}

#[test]
fn a_failed_payout_is_payable_again() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        shop.charged().await?;
        let net = 1_999 - fee(1_999);
        world.alice.owes(&shop, net).await?;
        world.outside.bank_next("fail").await?;
        let (settlement_no, withdrawal_no) = settle(&world.alice, &world.bob, &shop).await?;
        world.alice.settlement_becomes(&settlement_no, "failed").await?;
        world.alice.withdrawal_becomes(&withdrawal_no, "failed").await?;
        world.alice.owes(&shop, net).await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn nothing_is_settled_twice_and_every_step_takes_its_turn_and_its_person() {
    story(&[], async |world| {
        let (alice, bob) = (&world.alice, &world.bob);
        let shop = world.shop().await?;
        shop.charged().await?;
        alice.owes(&shop, 1_999 - fee(1_999)).await?;
        let (one, two) = tokio::join!(alice.draw_up(&shop), alice.draw_up(&shop));
        let (one, two) = (one?, two?);
        let (made, refused) = if one.status == 201 { (one, two) } else { (two, one) };
        ensure!(made.status == 201, "{}", made.body);
        ensure!(
            refused.status == 422 && refused.problem() == "nothing-to-settle",
            "{} {}",
            refused.status,
            refused.body
        );
        let settlement_no = text(&made.body, "settlement_no")?;

        let early = alice.execute(&settlement_no).await?;
        ensure!(
            early.status == 409,
            "executed before it was approved: {} {}",
            early.status,
            early.body
        );
        let own = alice.approve(&settlement_no).await?;
        ensure!(
            own.status == 403,
            "approved by who drew it up: {} {}",
            own.status,
            own.body
        );
        let path = format!("/api/v1/settlements/{settlement_no}/approve");
        let forged = json!({ "approver_id": alice.subject(), "approver_name": "Alice", "comments": "" });
        let forged = bob.send(reqwest::Method::POST, &path, Some(&forged)).await?;
        ensure!(
            forged.status == 403 && forged.problem() == "approver-mismatch",
            "{} {}",
            forged.status,
            forged.body
        );
        bob.approve(&settlement_no).await?.success()?;
        let twice = bob.approve(&settlement_no).await?;
        ensure!(
            twice.status == 409,
            "approved twice: {} {}",
            twice.status,
            twice.body
        );

        let (one, two) = tokio::join!(alice.execute(&settlement_no), alice.execute(&settlement_no));
        let statuses = [one?.status, two?.status];
        ensure!(
            statuses.iter().filter(|status| **status < 300).count() == 1,
            "executed at once: {statuses:?}"
        );
        alice.settlement_becomes(&settlement_no, "completed").await?;
        books_agree(world, &shop).await
    });
}
