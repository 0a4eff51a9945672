//! Our books against the outside world's, and the topics against our books, for everything a shop did.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use local::service::Service;
use schemas::Event;
use schemas::payment::PaymentStatus;
use serde_json::Value;

use crate::answer::{number, text};
use crate::outside::Outside;
use crate::shop::Shop;
use crate::topics::{self, Decoder};
use crate::wait::eventually;
use crate::world::World;

/// The fee of a charge of 1,999 minor units under the terms that every shop of a story has: 2.9 % and 30, rounded half up.
pub fn fee(amount: i64) -> i64 {
    (amount * 290 + 5_000) / 10_000 + 30
}

/// Checks a shop's payments and refunds in both directions, waiting until all of them are final; then the topic, the ledger
/// and the statistics.
pub async fn books_agree(world: &World, shop: &Shop) -> Result<()> {
    let payments = final_payments(shop).await?;
    let (mut charged, mut refunded) = (0, 0);
    let mut ours: BTreeMap<String, i64> = BTreeMap::new();
    for payment in &payments {
        let payment_no = text(payment, "payment_no")?;
        let amount = charged_at_psp(&world.outside, payment, &payment_no).await?;
        let back = refunds_agree(&world.outside, shop, &payment_no).await?;
        ensure!(
            number(payment, "amount_refunded")? == back,
            "{payment_no}: refunded {back}, and it says {payment}"
        );
        charged += amount - if amount > 0 { fee(amount) } else { 0 };
        refunded += back;
        ours.insert(payment_no, amount);
    }
    let theirs = world.outside.ask("books/psp").await?;
    for row in theirs["payments"].as_array().context("no book")? {
        let (payment_no, amount) = (text(row, "payment_no")?, number(row, "amount_charged")?);
        if let Some(known) = ours.get(&payment_no) {
            ensure!(
                *known == amount,
                "the PSP charged {amount} for {payment_no}, and we say {known}"
            );
        }
    }
    ensure!(theirs["forgotten"] == 0, "the PSP's book is incomplete");
    let events = events_are_dense(world, shop, &payments).await?;
    ledger_has(world, shop, charged - refunded).await?;
    statistics_count(world, shop, &payments).await?;
    ensure!(
        events > 0 || payments.is_empty(),
        "no events for {} payments",
        payments.len()
    );
    Ok(())
}

/// All payments of the shop, once none is open any more.
async fn final_payments(shop: &Shop) -> Result<Vec<Value>> {
    eventually("every payment to be final", async || {
        let payments = shop.payments().await?;
        let open = payments.iter().find(|payment| {
            !matches!(
                payment["status"].as_str(),
                Some("success" | "failed" | "cancelled" | "expired" | "partially_refunded" | "refunded")
            )
        });
        ensure!(
            open.is_none(),
            "{} is open",
            open.map_or(&Value::Null, |payment| &payment["payment_no"])
        );
        Ok(Some(payments))
    })
    .await
}

/// What the PSP charged for the payment: once if we say it succeeded, else not at all.
async fn charged_at_psp(outside: &Outside, payment: &Value, payment_no: &str) -> Result<i64> {
    let rows = outside.psp_payment(payment_no).await?;
    let charges: i64 = rows
        .iter()
        .map(|row| row["charges"].as_i64().unwrap_or_default())
        .sum();
    let amount: i64 = rows
        .iter()
        .map(|row| row["amount_charged"].as_i64().unwrap_or_default())
        .sum();
    if matches!(
        payment["status"].as_str(),
        Some("success" | "partially_refunded" | "refunded")
    ) {
        ensure!(
            charges == 1,
            "{payment_no} succeeded, and the PSP charged it {charges} times"
        );
        ensure!(
            amount == number(payment, "amount")?,
            "{payment_no}: the PSP charged {amount}: {payment}"
        );
    } else {
        ensure!(
            charges == 0,
            "{payment_no} is {}, and the PSP charged it",
            payment["status"]
        );
    }
    Ok(amount)
}

/// What was paid back: our succeeded refunds are the PSP's, one to one.
async fn refunds_agree(outside: &Outside, shop: &Shop, payment_no: &str) -> Result<i64> {
    let ours = eventually("every refund to be final", async || {
        let refunds = shop.refunds(payment_no).await?;
        let open = refunds
            .iter()
            .find(|refund| !matches!(refund["status"].as_str(), Some("succeeded" | "failed")));
        ensure!(open.is_none(), "{open:?} is open");
        Ok(Some(refunds))
    })
    .await?;
    let succeeded = |rows: &[Value]| -> Result<BTreeMap<String, i64>> {
        let rows = rows.iter().filter(|row| row["status"] == "succeeded");
        rows.map(|row| Ok((text(row, "refund_no")?, number(row, "amount")?)))
            .collect()
    };
    let theirs = outside.psp_refunds(payment_no).await?;
    let paid_back = theirs.iter().filter(|row| row["status"] == "succeeded").count();
    let (ours, theirs) = (succeeded(&ours)?, succeeded(&theirs)?);
    ensure!(
        paid_back == theirs.len(),
        "the PSP paid a refund of {payment_no} back twice"
    );
    ensure!(
        ours == theirs,
        "refunds of {payment_no}: we have {ours:?}, the PSP {theirs:?}"
    );
    Ok(ours.values().sum())
}

/// The topic has each payment's events from 1 without a gap, first occurrences in order, ending at the payment's status.
async fn events_are_dense(world: &World, shop: &Shop, payments: &[Value]) -> Result<usize> {
    let backbone = world.platform.backbone();
    eventually("the topic to have every event", async || {
        let mut decoder = Decoder::new(world.http.clone(), backbone.registry.clone());
        let mut last: BTreeMap<String, (i64, PaymentStatus)> = BTreeMap::new();
        let mut count = 0;
        for record in topics::read(&backbone.kafka, "payments.payment.v1")? {
            let key = String::from_utf8(record.key.clone()).unwrap_or_default();
            if !payments.iter().any(|payment| payment["payment_no"] == key) {
                continue;
            }
            let Event::Payment(event) = decoder.decode("payments.payment.v1", &record).await? else {
                continue;
            };
            ensure!(
                event.merchant_id.to_string() == shop.id(),
                "an event of {key} names another merchant"
            );
            ensure!(
                event.payment_no.to_string() == key,
                "the key {key} is not the payment's"
            );
            ensure!(
                record.headers.get("ce_sequence") == Some(&event.sequence.to_string()),
                "ce_sequence of {key}"
            );
            let (sequence, _) = last.get(&key).copied().unwrap_or((0, PaymentStatus::Unknown));
            ensure!(
                event.sequence <= sequence + 1,
                "{key}: sequence {} came after {sequence}",
                event.sequence
            );
            if event.sequence == sequence + 1 {
                last.insert(key, (event.sequence, event.new_status));
                count += 1;
            }
        }
        for payment in payments {
            let status = last
                .get(payment["payment_no"].as_str().unwrap_or_default())
                .map(|(_, status)| status.as_str());
            ensure!(
                status == payment["status"].as_str(),
                "the topic ends at {status:?} for {payment}"
            );
        }
        Ok(Some(count))
    })
    .await
}

/// The ledger owes the shop what its charges came to less fees and refunds: each event was applied, and none twice.
async fn ledger_has(world: &World, shop: &Shop, net: i64) -> Result<()> {
    if net == 0 && shop.payments().await?.is_empty() {
        return Ok(());
    }
    eventually(&format!("the ledger to have booked {net}"), async || {
        let balance = match world.alice.balance(shop).await {
            Ok(balance) => balance,
            // Nothing was ever booked.
            Err(_) if net == 0 => return Ok(Some(())),
            Err(error) => return Err(error),
        };
        let booked = number(&balance, "payable_amount")?
            + number(&balance, "in_transit_amount")?
            + number(&balance, "paid_out_amount")?;
        ensure!(booked == net, "the ledger says {booked}: {balance}");
        Ok(Some(()))
    })
    .await
}

/// The analytics service counts each payment once.
async fn statistics_count(world: &World, shop: &Shop, payments: &[Value]) -> Result<()> {
    let url = format!(
        "{}/api/v1/stats?merchant_id={}",
        world.url(Service::AnalyticsConsumer),
        shop.id()
    );
    let by = |wanted: &[&str]| {
        let is_wanted = |payment: &&Value| wanted.iter().any(|status| payment["status"] == *status);
        payments.iter().filter(is_wanted).count() as u64
    };
    let (succeeded, failed) = (
        by(&["success", "partially_refunded", "refunded"]),
        by(&["failed"]),
    );
    eventually("the statistics to count every payment", async || {
        let stats = shop.ask(&url).await?;
        let total = &stats["total"];
        ensure!(total["payments"] == payments.len() as u64, "payments: {total}");
        ensure!(
            total["succeeded"] == succeeded && total["failed"] == failed,
            "outcomes: {total}"
        );
        Ok(Some(()))
    })
    .await
}
