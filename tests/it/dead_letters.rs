//! Records that cannot be applied, and what an operator does about them.

use anyhow::{Context, Result, ensure};
use local::service::Service;
use serde_json::{Value, json};
use sqlx::Executor as _;
use system_tests::answer::text;
use system_tests::audit::books_agree;
use system_tests::topics::{self, Record};
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

/// The dead letters of a group that came after the first `before` ones and satisfy `is_it`.
async fn letter(world: &World, service: Service, is_it: impl Fn(&Record) -> bool) -> Result<Record> {
    let topic = schemas::catalogue::dead_letter_topic(service.name());
    eventually(&format!("a dead letter of {service}"), async || {
        Ok(topics::read(&world.platform.backbone().kafka, &topic)?
            .into_iter()
            .find(|record| is_it(record)))
    })
    .await
}

#[test]
fn a_poison_record_ends_in_each_groups_dead_letters_bytes_intact_and_the_groups_go_on() {
    let groups = [Service::Settlement, Service::Notifier, Service::AnalyticsConsumer];
    story(&groups.map(|service| (service, 1)), async |world| {
        let shop = world.shop().await?;
        let poison = b"\x00\x00\x00\x00\x01 this is no event \xff\xfe";
        topics::produce(
            &world.platform.backbone().kafka,
            "payments.payment.v1",
            b"poison",
            poison,
        )?;
        let payment_no = shop.charged().await?;
        for service in groups {
            let letter = letter(world, service, |record| record.payload == poison).await?;
            ensure!(letter.key == b"poison", "the key of {letter:?}");
            ensure!(
                letter
                    .headers
                    .values()
                    .any(|value| value == "payments.payment.v1"),
                "no source: {letter:?}"
            );
        }
        shop.refunded(&payment_no, 100).await?;
        books_agree(world, &shop).await
    });
}

/// The dead letters of the analytics group, as its operators list them.
async fn listed(world: &World) -> Result<Vec<Value>> {
    let text = world
        .platform
        .ask(Service::AnalyticsConsumer, &["dead-letters", "list", "--json"])
        .await?;
    match serde_json::from_str(&text) {
        Ok(Value::Array(rows)) => Ok(rows),
        _ => text
            .lines()
            .map(|line| serde_json::from_str(line).context("a line of JSON"))
            .collect(),
    }
}

#[test]
fn a_dead_letter_is_replayed_once_its_cause_is_gone() {
    story(&[(Service::AnalyticsConsumer, 1)], async |world| {
        let shop = world.shop().await?;
        let database = world.database(Service::AnalyticsConsumer).await?;
        database
            .execute(
                "alter table payment_events add constraint no_refunds check (event_type <> 'refund.created') not valid",
            )
            .await?;
        let payment_no = shop.charged().await?;
        shop.refunded(&payment_no, 100).await?;
        let letter = letter(world, Service::AnalyticsConsumer, |record| {
            record.key == payment_no.as_bytes()
        })
        .await?;
        database
            .execute("alter table payment_events drop constraint no_refunds")
            .await?;

        let id = format!("{}-{}", letter.partition, letter.offset);
        let state = async || -> Result<String> {
            let rows = listed(world).await?;
            let row = rows
                .iter()
                .find(|row| row["id"] == *id)
                .with_context(|| format!("no letter {id} in {rows:?}"))?;
            text(row, "state")
        };
        ensure!(state().await? == "new", "before the replay");
        let replay = [
            "dead-letters",
            "replay",
            &id,
            "--reason",
            "the constraint is gone",
            "--operator",
            "story",
        ];
        world.platform.ask(Service::AnalyticsConsumer, &replay).await?;

        let listed = format!(
            "{}/api/v1/events/payment?payment_no={payment_no}",
            world.url(Service::AnalyticsConsumer)
        );
        eventually("the replayed event to be applied", async || {
            let events = shop.ask(&listed).await?;
            let events = events["data"].as_array().cloned().unwrap_or_default();
            Ok(events
                .iter()
                .any(|event| event["event_type"] == "refund.created")
                .then_some(()))
        })
        .await?;
        ensure!(state().await? == "replayed", "after the replay");
        books_agree(world, &shop).await
    });
}

/// The shop's webhook about a payment that succeeded, if it is at this status.
async fn webhook(world: &World, shop: &Shop, status: &str) -> Result<Option<Value>> {
    let url = format!(
        "{}/api/v1/notifications?type=payment_success&status={status}",
        world.url(Service::Notifier)
    );
    let page = shop.ask(&url).await?;
    let rows = page["data"].as_array().cloned().unwrap_or_default();
    Ok(rows.into_iter().find(|row| row["channel"] == "webhook"))
}

/// What a merchant lives through whose endpoint is broken for as long as its webhooks are repeated.
async fn exhausted_and_resent(world: &World) -> Result<()> {
    let shop = world.shop().await?;
    let at = |mode: &str| json!({ "mode": mode, "path": shop.hooks });
    world.outside.control("hooks", at("fail")).await?;
    let payment_no = shop.charged().await?;
    let failed = eventually("the webhook to have failed for good", async || {
        webhook(world, &shop, "failed").await
    })
    .await?;
    ensure!(failed["reason"] == "answer_refused", "{failed}");

    let letter = letter(world, Service::Notifier, |record| {
        record.key == payment_no.as_bytes()
    })
    .await?;
    let says = |text: &str| letter.headers.values().any(|value| value.contains(text));
    ensure!(
        says("delivery_failed") && says(&text(&failed, "notification_no")?),
        "the letter does not say what failed: {letter:?}"
    );

    world.outside.control("hooks", at("normal")).await?;
    let url = format!(
        "{}/api/v1/notifications/{}/resend",
        world.url(Service::Notifier),
        text(&failed, "notification_no")?
    );
    shop.tell(&url).await?;
    eventually("the webhook to be sent again", async || {
        webhook(world, &shop, "sent").await
    })
    .await?;
    books_agree(world, &shop).await
}

#[test]
fn a_delivery_that_is_exhausted_has_failed_is_a_dead_letter_and_can_be_resent() {
    story(&[(Service::Notifier, 1)], async |world| {
        let hurry = ("NOTIFIER__DELIVERY__RETRY_DELAYS_MS", "[100, 100]");
        let env = [(hurry.0.to_owned(), hurry.1.to_owned())];
        world.restart_with(Service::Notifier, &env).await?;
        let told = exhausted_and_resent(world).await;
        world.restart_with(Service::Notifier, &[]).await?;
        told
    });
}
