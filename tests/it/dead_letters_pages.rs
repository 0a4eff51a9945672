//! What somebody who was woken by dead letters does about them, in a real Chromium that runs no scripts.

use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use local::service::Service;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use sqlx::{Executor as _, PgPool};
use system_tests::audit::books_agree;
use system_tests::browser::{Browser, Scripts};
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};

const GROUP: Service = Service::AnalyticsConsumer;

fn pages(world: &World) -> String {
    format!("{}/dead-letters/{GROUP}", world.operations(GROUP))
}

/// Has the group refuse every refund.
async fn break_refunds(database: &PgPool) -> Result<()> {
    let refusal = "alter table payment_events add constraint no_refunds check (event_type <> 'refund.created') not valid";
    database.execute(refusal).await?;
    Ok(())
}

async fn mend_refunds(database: &PgPool) -> Result<()> {
    database
        .execute("alter table payment_events drop constraint no_refunds")
        .await?;
    Ok(())
}

/// A payment whose refund is a dead letter.
async fn refund_that_dies(shop: &Shop) -> Result<String> {
    let payment_no = shop.charged().await?;
    shop.refunded(&payment_no, 100).await?;
    Ok(payment_no)
}

/// Opens the list of this key's letters as soon as there is one, and goes on to it.
async fn find_letter(browser: &Browser, pages: &str, key: &str) -> Result<String> {
    let list = format!("{pages}/letters?key={key}");
    eventually("the letter in the list", async || {
        browser.client.goto(&list).await?;
        let letters = browser.client.find_all(Locator::Css("tbody th a")).await?;
        Ok((!letters.is_empty()).then_some(()))
    })
    .await?;
    browser.picture("letters").await?;
    browser.press("tbody th a").await?;
    let heading = browser.client.find(Locator::Css("h1")).await?.text().await?;
    let id = heading
        .split_whitespace()
        .nth(1)
        .context("an id in the heading")?;
    Ok(id.to_owned())
}

/// Makes a plan from the letter that is open, and has it done.
async fn decide(browser: &Browser, action: &str, reason: &str) -> Result<()> {
    browser.press(&format!("a.button[href*='/{action}/new']")).await?;
    browser.picture(&format!("{action}-which")).await?;
    browser.press("form.fields button.primary").await?;
    let plan = browser.page().await?;
    ensure!(plan.starts_with(&format!("Plan: {action} 1 letter")), "{plan}");
    ensure!(plan.contains("Nothing is done yet"), "{plan}");
    browser.fill("operator", "night shift").await?;
    browser.fill("reason", reason).await?;
    browser.picture(&format!("{action}-plan")).await?;
    browser.press("#start").await?;
    Ok(())
}

async fn replay(world: &World, shop: &Shop, browser: &Browser) -> Result<()> {
    let database = world.database(GROUP).await?;
    break_refunds(&database).await?;
    let payment_no = refund_that_dies(shop).await?;
    let pages = pages(world);

    let id = find_letter(browser, &pages, &payment_no).await?;
    browser.picture("letter").await?;
    let letter = browser.page().await?;
    for told in [
        "no_refunds",
        "refund.created",
        &payment_no,
        "\"sequence\"",
        "ce_type",
    ] {
        ensure!(letter.contains(told), "the letter does not tell {told}: {letter}");
    }
    browser.client.goto(&world.operations(GROUP)).await?;
    browser.picture("start").await?;
    browser.press("table a").await?;
    browser.picture("failures").await?;
    let failures = browser.page().await?;
    ensure!(failures.contains("no_refunds"), "{failures}");

    mend_refunds(&database).await?;
    browser.client.goto(&format!("{pages}/letters/{id}")).await?;
    decide(browser, "replay", "the <constraint> is gone").await?;
    browser.picture("job").await?;
    // Nobody touches it: the page follows the job by itself.
    browser.shows("percent", "100 %").await?;
    browser.shows("handled", "1").await?;
    browser.shows("state", "finished").await?;
    browser.picture("job-finished").await?;

    let listed = format!(
        "{}/api/v1/events/payment?payment_no={payment_no}",
        world.url(GROUP)
    );
    let events = shop.ask(&listed).await?;
    let events = events["data"].as_array().cloned().unwrap_or_default();
    let is_refund = |event: &serde_json::Value| event["event_type"] == "refund.created";
    ensure!(events.iter().any(is_refund), "handled, and not there: {events:?}");

    browser.client.goto(&format!("{pages}/audit")).await?;
    browser.picture("audit").await?;
    let entry = browser
        .client
        .find(Locator::Css("tbody tr"))
        .await?
        .text()
        .await?;
    for told in ["night shift", "replay", "the <constraint> is gone", &id] {
        ensure!(
            entry.contains(told),
            "the audit log does not tell {told}: {entry}"
        );
    }
    books_agree(world, shop).await
}

#[test]
fn a_dead_letter_is_found_planned_replayed_and_audited_without_any_script() {
    story(&[(GROUP, 1)], async |world| {
        let shop = world.shop().await?;
        let browser = Browser::start(Scripts::Blocked).await?;
        let told = replay(world, &shop, &browser).await;
        browser.client.clone().close().await?;
        told
    });
}

async fn give_up(world: &World, shop: &Shop, browser: &Browser) -> Result<()> {
    let database = world.database(GROUP).await?;
    break_refunds(&database).await?;
    let payment_no = refund_that_dies(shop).await?;
    let pages = pages(world);
    let id = find_letter(browser, &pages, &payment_no).await?;
    mend_refunds(&database).await?;

    decide(browser, "discard", "a test order").await?;
    browser.shows("percent", "100 %").await?;
    browser.shows("state", "finished").await?;
    let letter = format!("{pages}/letters/{id}");
    browser.client.goto(&letter).await?;
    ensure!(
        browser
            .page()
            .await?
            .starts_with(&format!("Letter {id} discarded")),
        "not discarded"
    );
    browser.picture("letter-discarded").await?;

    browser.fill("reason", "no test order after all").await?;
    let remembered = browser.client.find(Locator::Id("operator")).await?;
    ensure!(
        remembered.prop("value").await?.as_deref() == Some("night shift"),
        "the name is not kept"
    );
    browser.press("form.fields button.primary").await?;
    let page = browser.page().await?;
    ensure!(page.starts_with(&format!("Letter {id} new")), "{page}");

    decide(browser, "replay", "it counts").await?;
    browser.shows("handled", "1").await?;
    books_agree(world, shop).await
}

#[test]
fn a_discard_is_taken_back_and_the_letter_replayed_after_all() {
    story(&[(GROUP, 1)], async |world| {
        let shop = world.shop().await?;
        let browser = Browser::start(Scripts::Blocked).await?;
        let told = give_up(world, &shop, &browser).await;
        browser.client.clone().close().await?;
        told
    });
}

#[test]
fn every_consumer_has_the_pages_and_they_believe_no_foreign_host_or_form() {
    story(&[], async |world| {
        for service in [Service::Settlement, Service::Notifier, Service::AnalyticsConsumer] {
            let pages = format!("{}/dead-letters/{service}", world.operations(service));
            let seen = world.http.get(&pages).send().await?;
            ensure!(seen.status() == StatusCode::OK, "{service}: {}", seen.status());
            let rebound = world.http.get(&pages).header(HOST, "evil.example").send().await?;
            ensure!(rebound.status() == StatusCode::MISDIRECTED_REQUEST, "{service}");
            let forged = world
                .http
                .post(format!("{pages}/replay/new"))
                .header(ORIGIN, world.operations(service))
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body("rate=500&canary=0")
                .send()
                .await?;
            ensure!(forged.status() == StatusCode::FORBIDDEN, "{service}");
        }
        Ok(())
    });
}
