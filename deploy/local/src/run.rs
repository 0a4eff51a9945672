//! One run of a platform in its folder: the lock, the children, and the record that other commands read.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::processes::Processes;
use crate::state::{Lock, State, write_private};

/// What a run stands on. Dropping it kills every child.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub state: State,
    /// The children.
    pub processes: Processes,
    lock: Lock,
}

impl Run {
    /// Takes the folder, or fails because a platform runs in it.
    pub fn prepare(state: State) -> Result<Self> {
        let lock = state.lock()?;
        state.check_disk(state.path())?;
        let processes = Processes::new(state.folder("logs")?);
        Ok(Self {
            state,
            processes,
            lock,
        })
    }

    /// As [`Run::prepare`], with nothing left of earlier runs.
    pub fn prepare_afresh(state: State) -> Result<Self> {
        let run = Self::prepare(state)?;
        run.state.erase(&run.lock)?;
        run.state.folder("logs")?;
        Ok(run)
    }

    /// Stops the children, those on top first.
    pub async fn stop(&self) {
        self.processes.stop().await;
    }
}

/// What runs: `run.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Whether everything was ready.
    pub ready: bool,
    /// Every child.
    pub processes: Vec<Entry>,
}

/// A child in the [`Record`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, also that of its log.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Where people find it.
    pub url: Option<String>,
    /// What says whether it is ready, over HTTP.
    pub health: Option<String>,
}

impl Record {
    const FILE: &str = "run.json";

    /// Reads the record of the last run in the folder.
    pub fn read(state: &State) -> Result<Self> {
        let path = state.join(Self::FILE);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not ours", path.display()))
    }

    /// Writes it.
    pub fn write(&self, state: &State) -> Result<()> {
        write_private(&state.join(Self::FILE), &serde_json::to_string_pretty(self)?)
    }

    /// Removes it, so that nobody takes an earlier run for this one.
    pub fn remove(state: &State) {
        // There is none before the first run.
        let _ = std::fs::remove_file(state.join(Self::FILE));
    }
}

/// How often somebody who waits for a run looks again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);
