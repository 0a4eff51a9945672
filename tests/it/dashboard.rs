//! The dashboard in a real Chromium: pay, and see the number change without a reload.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use local::service::Service;
use serde_json::json;
use system_tests::wait::eventually;
use system_tests::{Shop, World, story};
use tokio::process::{Child, Command};

/// A headless Chromium, driven by its driver; both end with it.
struct Browser {
    client: Client,
    _driver: Child,
}

impl Browser {
    async fn start() -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("chromedriver is not installed: apt-get install chromium chromium-driver")?;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1200,900",
        ];
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let capabilities = capabilities.as_object().cloned().unwrap_or_default();
        let url = format!("http://127.0.0.1:{port}");
        let client = eventually("chromedriver", async || {
            Ok(Some(
                ClientBuilder::new(HttpConnector::new())
                    .capabilities(capabilities.clone())
                    .connect(&url)
                    .await?,
            ))
        })
        .await?;
        Ok(Self {
            client,
            _driver: driver,
        })
    }

    /// The text of the element of this id.
    async fn text(&self, id: &str) -> Result<String> {
        Ok(self.client.find(Locator::Id(id)).await?.text().await?)
    }

    /// Waits until the element of this id says so.
    async fn shows(&self, id: &str, wanted: &str) -> Result<()> {
        eventually(&format!("#{id} to show {wanted}"), async || {
            let text = self.text(id).await?;
            ensure!(text == wanted, "it shows {text}");
            Ok(Some(()))
        })
        .await
    }

    async fn sign_in(&self, world: &World, token: &str) -> Result<()> {
        self.client
            .goto(&format!("{}/dashboard", world.url(Service::AnalyticsConsumer)))
            .await?;
        let form = self.client.form(Locator::Css("form")).await?;
        form.set_by_name("token", token).await?;
        form.submit().await?;
        Ok(())
    }
}

async fn dashboard_follows(world: &World, shop: &Shop, browser: &Browser) -> Result<()> {
    browser.sign_in(world, &shop.token).await?;
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
    if let Some(folder) = std::env::var_os("SCREENSHOTS") {
        std::fs::write(
            std::path::Path::new(&folder).join("dashboard.png"),
            browser.client.screenshot().await?,
        )?;
    }
    Ok(())
}

#[test]
fn a_payment_shows_on_the_open_dashboard_without_a_reload() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        // Somebody else's payments must not show.
        world.shop().await?.charged().await?;
        let browser = Browser::start().await?;
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
