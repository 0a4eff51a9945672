//! Looking after a running platform: a child that dies is reported and started again, unless it keeps dying.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::platform::{Phase, Platform};
use crate::process::Process;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A child that dies more often than this within the window takes everything down.
const MAX_DEATHS: usize = 3;
const WINDOW: Duration = Duration::from_mins(1);

/// The deaths so far.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    platform: &'a Platform,
    deaths: BTreeMap<String, VecDeque<Instant>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(platform: &'a Platform) -> Self {
        Self {
            platform,
            deaths: BTreeMap::new(),
        }
    }

    /// Comes back only when something cannot be kept running.
    pub(super) async fn until_broken(mut self) -> Result<()> {
        loop {
            if let Some(dead) = self.platform.run().processes.died() {
                self.revive(&dead).await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn revive(&mut self, dead: &Process) -> Result<()> {
        let obituary = dead.obituary(dead.exited().await);
        if self.count(dead.name()) > MAX_DEATHS {
            bail!(
                "{obituary}\n{} died more than {MAX_DEATHS} times within a minute: stopping everything",
                dead.name()
            );
        }
        println!("\n{obituary}\nStarting {} again.", dead.name());
        let process = self.platform.run().processes.restart(dead.name())?;
        self.platform.record(Phase::Ready)?;
        self.platform.wait_for(&process).await?;
        println!("{} is back.", dead.name());
        Ok(())
    }

    /// How often this child has died within the window, this time included.
    fn count(&mut self, name: &str) -> usize {
        let now = Instant::now();
        let deaths = self.deaths.entry(name.to_owned()).or_default();
        deaths.push_back(now);
        deaths.retain(|died| now.duration_since(*died) < WINDOW);
        deaths.len()
    }
}
