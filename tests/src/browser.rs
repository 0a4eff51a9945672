//! A real Chromium, for what people see.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use local::process::{Launch, Process};
use local::processes::Layer;
use serde_json::json;

use crate::world::World;

/// How long the driver may take to come up, and to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser that ends with its story.
#[derive(Debug)]
pub struct Browser {
    /// What drives it.
    pub page: Client,
    driver: Arc<Process>,
}

impl Browser {
    /// Opens one; `deploy/test` installs it.
    pub async fn open(world: &World) -> Result<Self> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let port = free.local_addr()?.port();
        drop(free);
        let launch =
            Launch::new(format!("chromedriver-{port}"), "chromedriver").arg(format!("--port={port}"));
        let driver = world.platform.run().processes.start(Layer::Traffic, launch)?;
        let url = format!("http://127.0.0.1:{port}");
        driver
            .ready_when(PATIENCE, || async {
                world
                    .http
                    .get(format!("{url}/status"))
                    .send()
                    .await?
                    .error_for_status()?;
                Ok(())
            })
            .await?;
        // Chromium's sandbox refuses to run as root, and a container's /dev/shm is small.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1280,900",
        ];
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let capabilities = capabilities
            .as_object()
            .context("capabilities are an object")?
            .clone();
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&url)
            .await
            .context("Chromium does not start")?;
        Ok(Self { page, driver })
    }

    /// Closes it.
    pub async fn close(self) -> Result<()> {
        self.page.close().await?;
        self.driver.stop(PATIENCE).await;
        Ok(())
    }
}
