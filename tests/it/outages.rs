//! What the platform needs goes away for a while: nothing is lost, nothing is told twice, nothing ends in the dead letters.

use std::time::Duration;

use anyhow::{Result, ensure};
use local::doors::Dependency;
use local::service::Service;
use serde_json::Value;
use system_tests::answer::text;
use system_tests::audit::books_agree;
use system_tests::settling::settle;
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

use crate::whole_way::sent;

/// Payments, a refund and what else a shop does in a few minutes.
async fn trade(shop: &Shop) -> Result<()> {
    let payment_no = shop.charged().await?;
    shop.pay("pm_card_visa_chargeDeclined").await?;
    shop.refunded(&payment_no, 250).await?;
    shop.charged().await?;
    Ok(())
}

/// Waits until the service itself says that it has noticed.
async fn notices_outage(world: &World, service: Service) -> Result<()> {
    let url = format!("{}/health/ready", world.operations(service));
    eventually(&format!("{service} to notice the outage"), async || {
        let response = world.http.get(&url).send().await?;
        let is_down = response.status() == 503;
        let health: Value = response.json().await?;
        Ok((is_down || health["status"] != "up").then_some(()))
    })
    .await
}

/// Waits until the service says that it is well again.
async fn recovers(world: &World, service: Service) -> Result<()> {
    let url = format!("{}/health/ready", world.operations(service));
    eventually(&format!("{service} to be ready again"), async || {
        Ok(world
            .http
            .get(&url)
            .send()
            .await?
            .status()
            .is_success()
            .then_some(()))
    })
    .await
}

#[test]
fn payments_go_on_without_the_notifier_and_each_notice_is_sent_once_when_it_is_back() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world
            .process(Service::Notifier)?
            .stop(Duration::from_secs(30))
            .await;
        trade(&shop).await?;
        ensure!(
            sent(world, &shop).await.is_err(),
            "the notifier answers although it is stopped"
        );
        world.start_service(Service::Notifier).await?;
        // Two successes, one failure, one refund: to the customer, and by mail and webhook to the merchant.
        eventually("twelve notices", async || {
            let notices = sent(world, &shop).await?;
            ensure!(notices.len() == 12, "sent: {notices:?}");
            Ok(Some(()))
        })
        .await?;
        ensure!(
            world.outside.mails(&shop.email()).await?.len() == 4,
            "mails to the merchant"
        );
        ensure!(
            world.outside.hooks(&shop.hooks).await?.len() == 4,
            "webhooks to the merchant"
        );
        books_agree(world, &shop).await
    });
}

/// The database of a service that only consumes is away while payments go on.
fn without_database_of(service: Service) {
    story(&[], async |world| {
        let shop = world.shop().await?;
        world
            .without(Dependency::Database(service), async {
                notices_outage(world, service).await?;
                trade(&shop).await
            })
            .await?;
        recovers(world, service).await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn settlement_loses_its_database_for_a_while() {
    without_database_of(Service::Settlement);
}

#[test]
fn the_notifier_loses_its_database_for_a_while() {
    without_database_of(Service::Notifier);
}

#[test]
fn analytics_lose_their_database_for_a_while() {
    without_database_of(Service::AnalyticsConsumer);
}

#[test]
fn the_gateway_loses_its_database_for_a_while_and_says_so() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        trade(&shop).await?;
        world
            .without(Dependency::Database(Service::PaymentGateway), async {
                notices_outage(world, Service::PaymentGateway).await?;
                let refused = shop.order_payment(&shop.order(Some("pm_card_visa"))).await?;
                ensure!(refused.status == 503, "{} {}", refused.status, refused.body);
                Ok(())
            })
            .await?;
        recovers(world, Service::PaymentGateway).await?;
        trade(&shop).await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn nothing_needs_the_registry_while_it_runs_nor_when_it_starts_again() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        trade(&shop).await?;
        world
            .without(Dependency::Registry, async {
                for service in Service::ALL {
                    world.kill_and_restart(service).await?;
                }
                trade(&shop).await
            })
            .await?;
        books_agree(world, &shop).await
    });
}

#[test]
fn the_bank_fails_for_a_while_and_the_payout_waits() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        shop.charged().await?;
        world
            .alice
            .owes(&shop, 1_999 - system_tests::audit::fee(1_999))
            .await?;
        for _ in 0..3 {
            world.outside.bank_next("server_error").await?;
        }
        let (settlement_no, withdrawal_no) = settle(&world.alice, &world.bob, &shop).await?;
        let settlement = world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        ensure!(
            text(&settlement, "withdrawal_no")? == withdrawal_no,
            "{settlement}"
        );
        ensure!(
            world.outside.bank_payouts(&withdrawal_no).await?.len() == 1,
            "paid more than once"
        );
        books_agree(world, &shop).await
    });
}
