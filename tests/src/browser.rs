//! A real Chromium.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::wait::eventually;

/// Whether the browser runs the scripts of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    /// As most people have it.
    Run,
    /// For pages that must do without.
    Blocked,
}

/// A headless Chromium, driven by its driver; both end with it.
#[derive(Debug)]
pub struct Browser {
    /// What drives it.
    pub client: Client,
    _driver: Child,
}

impl Browser {
    /// Starts one.
    pub async fn start(scripts: Scripts) -> Result<Self> {
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
        let mut options = json!({ "args": arguments });
        if scripts == Scripts::Blocked {
            const BLOCK: u8 = 2;
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": BLOCK });
        }
        let capabilities = json!({ "goog:chromeOptions": options });
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
    pub async fn text(&self, id: &str) -> Result<String> {
        Ok(self.client.find(Locator::Id(id)).await?.text().await?)
    }

    /// Waits until the element of this id says so.
    pub async fn shows(&self, id: &str, wanted: &str) -> Result<()> {
        eventually(&format!("#{id} to show {wanted}"), async || {
            let text = self.text(id).await?;
            ensure!(text == wanted, "it shows {text}");
            Ok(Some(()))
        })
        .await
    }

    /// All that the page says.
    pub async fn page(&self) -> Result<String> {
        Ok(self.client.find(Locator::Css("main")).await?.text().await?)
    }

    /// Follows a link or presses a button by a CSS selector, and waits until the page that it was on is gone: the driver answers
    /// a click before the browser has begun to leave, and what is asked then is asked of one page or the other.
    pub async fn press(&self, selector: &str) -> Result<()> {
        let left = self.client.find(Locator::Css("html")).await?;
        let found = self.client.find(Locator::Css(selector)).await;
        found
            .with_context(|| format!("nothing like {selector}"))?
            .click()
            .await?;
        eventually(&format!("the page after {selector}"), async || {
            match left.tag_name().await {
                Err(gone) if gone.is_stale_element_reference() => Ok(Some(())),
                Ok(_) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Types into the field of this name, in place of what is there.
    pub async fn fill(&self, name: &str, text: &str) -> Result<()> {
        let field = self.client.find(Locator::Css(&format!("[name={name}]"))).await?;
        field.clear().await?;
        field.send_keys(text).await?;
        Ok(())
    }

    /// Keeps a picture of the page where `SCREENSHOTS` names a folder.
    pub async fn picture(&self, name: &str) -> Result<()> {
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            let file = std::path::Path::new(&folder).join(format!("{name}.png"));
            std::fs::write(file, self.client.screenshot().await?)?;
        }
        Ok(())
    }
}
