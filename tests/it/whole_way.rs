//! From a merchant's signed request to the money in its bank.

use anyhow::{Result, ensure};
use local::service::Service;
use serde_json::Value;
use system_tests::answer::{number, text};
use system_tests::audit::{books_agree, fee};
use system_tests::settling::settle;
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

/// The sent notifications of a shop, by type, channel and recipient.
pub(crate) async fn sent(world: &World, shop: &Shop) -> Result<Vec<(String, String, String)>> {
    let url = format!("{}/api/v1/notifications?limit=100", world.url(Service::Notifier));
    let page = shop.ask(&url).await?;
    let rows = page["data"].as_array().cloned().unwrap_or_default();
    let of = |row: &Value| anyhow::Ok((text(row, "type")?, text(row, "channel")?, text(row, "recipient")?));
    let mut all: Vec<_> = rows
        .iter()
        .filter(|row| row["status"] == "sent")
        .map(of)
        .collect::<Result<_>>()?;
    all.sort();
    Ok(all)
}

#[test]
fn a_payment_goes_all_the_way_to_the_merchants_bank() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let order = shop.order(Some("pm_card_visa"));

        let payment = shop.order_payment(&order).await?.success()?;
        let payment_no = text(&payment, "payment_no")?;
        shop.status_becomes(&payment_no, "success").await?;

        let net = 1_999 - fee(1_999);
        world.alice.owes(&shop, net).await?;
        let (settlement_no, withdrawal_no) = settle(&world.alice, &world.bob, &shop).await?;
        let settlement = world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        ensure!(number(&settlement, "net_amount")? == net, "{settlement}");
        let payouts = world.outside.bank_payouts(&withdrawal_no).await?;
        ensure!(
            payouts.len() == 1 && number(&payouts[0], "amount")? == net,
            "the bank paid {payouts:?}"
        );
        let balance = world.alice.balance(&shop).await?;
        ensure!(
            number(&balance, "paid_out_amount")? == net && number(&balance, "payable_amount")? == 0,
            "{balance}"
        );

        let expected = [
            ("payment_success", "mail", "customer"),
            ("payment_success", "mail", "merchant"),
            ("payment_success", "webhook", "merchant"),
            ("settlement_approval", "mail", "approver-1"),
            ("settlement_complete", "mail", "merchant"),
            ("settlement_complete", "webhook", "merchant"),
            ("withdrawal_complete", "mail", "merchant"),
            ("withdrawal_complete", "webhook", "merchant"),
        ];
        eventually("every notice to be delivered", async || {
            let got = sent(world, &shop).await?;
            let got: Vec<_> = got
                .iter()
                .map(|(t, c, r)| (t.as_str(), c.as_str(), r.as_str()))
                .collect();
            // A merchant is not told about notices to approvers.
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|(_, _, recipient)| !recipient.starts_with("approver"))
                .collect();
            ensure!(got == expected, "sent: {got:?}");
            Ok(Some(()))
        })
        .await?;
        let to_customer = world
            .outside
            .mails(order["customer_email"].as_str().unwrap_or_default())
            .await?;
        ensure!(
            to_customer.len() == 1,
            "the customer got {} mails",
            to_customer.len()
        );
        ensure!(world.outside.hooks(&shop.hooks).await?.len() == 3, "webhooks");
        books_agree(world, &shop).await
    });
}
