//! The dashboard in a real Chromium: pay, and see the number change without a reload.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use local::service::Service;
use serde_json::json;
use system_tests::answer::{Answer, text};
use system_tests::browser::{Browser, Scripts};
use system_tests::{Shop, World, story};

async fn sign_in(browser: &Browser, world: &World, token: &str) -> Result<()> {
    let dashboard = format!("{}/dashboard", world.url(Service::AnalyticsConsumer));
    browser.client.goto(&dashboard).await?;
    let form = browser.client.form(Locator::Css("form")).await?;
    form.set_by_name("token", token).await?;
    form.submit().await?;
    Ok(())
}

async fn dashboard_follows(world: &World, shop: &Shop, browser: &Browser) -> Result<()> {
    sign_in(browser, world, &shop.token).await?;
    browser.shows("state", "live").await?;
    browser.shows("payments", "0").await?;
    // Survives only as long as the page is not loaded again.
    browser
        .client
        .execute("window.sameOldPage = true", vec![])
        .await?;
    shop.charged().await?;
    shop.pay("pm_card_visa_chargeDeclined").await?;
    browser.shows("payments", "2").await?;
    browser.shows("succeeded", "1").await?;
    browser.shows("failed", "1").await?;
    browser.shows("success_rate", "50.0 %").await?;
    let same = browser
        .client
        .execute("return window.sameOldPage === true", vec![])
        .await?;
    ensure!(same == true, "the page was loaded again");
    let bars = browser.client.find_all(Locator::Css("#chart rect")).await?;
    ensure!(!bars.is_empty(), "the chart is empty");
    let title = browser.client.find(Locator::Css("h1")).await?.text().await?;
    ensure!(title.contains(shop.id()), "whose dashboard: {title}");
    browser.picture("dashboard").await?;
    Ok(())
}

#[test]
fn a_payment_shows_on_the_open_dashboard_without_a_reload() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        // Somebody else's payments must not show.
        world.shop().await?.charged().await?;
        let browser = Browser::start(Scripts::Run).await?;
        let told = dashboard_follows(world, &shop, &browser).await;
        browser.client.clone().close().await?;
        told
    });
}

#[test]
fn the_live_socket_wants_an_unused_ticket_and_a_page_of_ours() {
    use tokio_tungstenite::connect_async;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    story(&[], async |world| {
        let shop = world.shop().await?;
        let base = world.url(Service::AnalyticsConsumer);
        let ticket = async || -> Result<String> {
            let request = world
                .http
                .post(format!("{base}/api/v1/live/tickets"))
                .bearer_auth(&shop.token);
            let answer = system_tests::Answer::to(request).await?.success()?;
            system_tests::answer::text(&answer, "ticket")
        };
        let open = async |ticket: &str, origin: &str| -> Result<bool> {
            let url = format!("{}/api/v1/live?ticket={ticket}", base.replacen("http", "ws", 1));
            let mut request = url.into_client_request()?;
            request.headers_mut().insert("origin", origin.parse()?);
            let opened = tokio::time::timeout(Duration::from_secs(20), connect_async(request)).await?;
            Ok(opened.is_ok())
        };
        let first = ticket().await?;
        ensure!(
            !open(&first, "https://evil.example").await?,
            "a page of others was let in"
        );
        ensure!(open(&first, &base).await?, "our own page was kept out");
        ensure!(!open(&first, &base).await?, "a ticket opened two sockets");
        ensure!(!open("made-up", &base).await?, "a made-up ticket was taken");
        ensure!(!open(&shop.token, &base).await?, "a token in the URL was taken");
        Ok(())
    });
}

#[test]
fn a_session_ends_with_the_token_that_opened_it() {
    story(&[], async |world| {
        let wish =
            json!({ "subject": "staff_alice", "name": "Alice", "roles": ["operator"], "ttl_seconds": 90 });
        let issuer = format!("{}/issuer/token", world.outside.url());
        let token = Answer::to(world.http.post(issuer).json(&wish)).await?.success()?;
        let analytics = world.url(Service::AnalyticsConsumer);
        #[expect(
            clippy::disallowed_methods,
            reason = "the cookie comes with a redirect, which must not be followed"
        )]
        let browser = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let session = browser
            .post(format!("{analytics}/dashboard/session"))
            .header("Origin", &analytics)
            .form(&[("token", text(&token, "access_token")?)]);
        let opened = Answer::to(session).await?;
        let cookie = opened
            .headers
            .get("set-cookie")
            .with_context(|| format!("no session: {opened:?}"))?;
        let cookie = cookie.to_str()?.to_owned();
        let lasts: u32 = cookie
            .split("Max-Age=")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .with_context(|| cookie.clone())?
            .parse()?;
        ensure!((1..=90).contains(&lasts), "{cookie}");
        Ok(())
    });
}
