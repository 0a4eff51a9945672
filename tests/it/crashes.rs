//! `kill -9`: of each service at random under load, and of each at each step that writes. Afterwards nothing is lost, nothing
//! applied twice, and our books are the outside world's.

use std::time::Duration;

use anyhow::{Result, ensure};
use local::service::Service;
use system_tests::answer::text;
use system_tests::audit::books_agree;
use system_tests::settling::settle;
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

use crate::whole_way::sent;

/// One payment and its refund by somebody who asks again until there is an answer, as merchants' servers do.
async fn persist(shop: &Shop, payment_method: &str) -> Result<()> {
    let order = shop.order(Some(payment_method));
    let payment = eventually("an answer to an order", async || {
        Ok(Some(shop.order_payment(&order).await?.success()?))
    })
    .await?;
    if payment_method != "pm_card_visa" {
        return Ok(());
    }
    let payment_no = text(&payment, "payment_no")?;
    shop.status_becomes(&payment_no, "success").await?;
    let key = format!("refund-of-{payment_no}");
    eventually("an answer to a refund", async || {
        Ok(Some(
            shop.order_refund_as(&payment_no, 100, &key).await?.success()?,
        ))
    })
    .await?;
    Ok(())
}

async fn load(shop: &Shop, payments: usize) -> Result<()> {
    let methods = ["pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_delayed"];
    let each = methods
        .into_iter()
        .cycle()
        .take(payments)
        .map(|method| persist(shop, method));
    futures::future::try_join_all(each).await.map(drop)
}

/// Every notice of a shop's payments is there, and each is one.
async fn notices_are_complete(world: &World, shop: &Shop) -> Result<()> {
    let mut expected = 0;
    for payment in shop.payments().await? {
        expected += 3 + 3 * shop.refunds(&text(&payment, "payment_no")?).await?.len();
    }
    eventually("every notice", async || {
        let count = sent(world, shop).await?.len();
        ensure!(count == expected, "{count} of {expected} notices were sent");
        Ok(Some(()))
    })
    .await
}

/// A small generator with a printed seed: which service dies next, and after how long.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[test]
fn twenty_services_killed_at_random_under_load_lose_nothing() {
    story(&[], async |world| {
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let shop = world.shop().await?;
        let kills = async {
            for round in 0..20 {
                let service = Service::ALL[round % Service::ALL.len()];
                // Not to wait for something, but to die at a moment that nobody chose.
                tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
                world.kill_and_restart(service).await?;
            }
            anyhow::Ok(())
        };
        let traffic = async {
            for _ in 0..8 {
                load(&shop, 3).await?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(kills, traffic)?;
        books_agree(world, &shop).await?;
        notices_are_complete(world, &shop).await
    });
}

/// The service dies at the step while payments are made, and comes back.
fn dies_at(service: Service, step: &'static str) {
    story(&[], async |world| {
        let shop = world.shop().await?;
        // While the gateway is down nobody can order: then the load ends when the service is back.
        let during = async { Ok(()) };
        if service == Service::PaymentGateway {
            let (crashed, loaded) = tokio::join!(world.crash_at(service, step, during), load(&shop, 3));
            crashed?;
            loaded?;
        } else {
            world.crash_at(service, step, load(&shop, 3)).await?;
        }
        load(&shop, 3).await?;
        books_agree(world, &shop).await?;
        notices_are_complete(world, &shop).await
    });
}

macro_rules! dies_at {
    ($($name:ident: $service:ident at $step:literal;)+) => {$(
        #[test]
        fn $name() {
            dies_at(Service::$service, $step);
        }
    )+};
}

dies_at! {
    the_gateway_dies_before_it_commits: PaymentGateway at "gateway.create.before_commit";
    the_gateway_dies_after_it_commits: PaymentGateway at "gateway.create.after_commit";
    the_gateway_dies_before_it_calls_the_psp: PaymentGateway at "gateway.psp.before";
    the_gateway_dies_after_it_called_the_psp: PaymentGateway at "gateway.psp.after";
    the_gateway_dies_before_it_produces: PaymentGateway at "relay.produce.before";
    the_gateway_dies_after_it_produced: PaymentGateway at "relay.produce.after";
    the_gateway_dies_after_it_marked: PaymentGateway at "relay.mark.after";
    settlement_dies_before_it_commits: Settlement at "consumer.apply.before_commit";
    settlement_dies_after_it_committed: Settlement at "consumer.apply.after_commit";
    settlement_dies_after_it_committed_its_offset: Settlement at "consumer.offset.after";
    the_notifier_dies_before_it_commits: Notifier at "consumer.apply.before_commit";
    the_notifier_dies_after_it_committed: Notifier at "consumer.apply.after_commit";
    the_notifier_dies_before_it_sends: Notifier at "notifier.send.before";
    the_notifier_dies_after_it_sent: Notifier at "notifier.send.after";
    analytics_die_before_they_commit: AnalyticsConsumer at "consumer.apply.before_commit";
    analytics_die_after_they_committed: AnalyticsConsumer at "consumer.apply.after_commit";
}

/// Settlement dies around the call to the bank, or around the outbox of what it did.
fn dies_paying_out(step: &'static str) {
    story(&[], async |world| {
        let shop = world.shop().await?;
        shop.charged().await?;
        world
            .alice
            .owes(&shop, 1_999 - system_tests::audit::fee(1_999))
            .await?;
        let mut withdrawal_no = None;
        world
            .crash_at(Service::Settlement, step, async {
                // Its answer may die with it; what it had committed goes on.
                withdrawal_no = settle(&world.alice, &world.bob, &shop)
                    .await
                    .ok()
                    .map(|(_, withdrawal_no)| withdrawal_no);
                Ok(())
            })
            .await?;
        let settlements = world
            .alice
            .get(&format!("/api/v1/settlements?merchant_id={}", shop.id()))
            .await?;
        let settlement_no = text(&settlements["data"][0], "settlement_no")?;
        if settlements["data"][0]["status"] == "pending_approval" {
            world.bob.approve(&settlement_no).await?.success()?;
        }
        if world
            .alice
            .get(&format!("/api/v1/settlements/{settlement_no}"))
            .await?["status"]
            == "approved"
        {
            world.alice.execute(&settlement_no).await?.success()?;
        }
        let settlement = world
            .alice
            .settlement_becomes(&settlement_no, "completed")
            .await?;
        let payouts = world
            .outside
            .bank_payouts(&text(&settlement, "withdrawal_no")?)
            .await?;
        ensure!(payouts.len() == 1, "the bank paid {payouts:?}");
        books_agree(world, &shop).await
    });
}

#[test]
fn settlement_dies_before_it_calls_the_bank() {
    dies_paying_out("settlement.bank.before");
}

#[test]
fn settlement_dies_after_it_called_the_bank() {
    dies_paying_out("settlement.bank.after");
}

#[test]
fn settlement_dies_after_it_produced() {
    dies_paying_out("relay.produce.after");
}
