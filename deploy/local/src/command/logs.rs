//! `logs`: what a child says.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::state::State;

/// What `logs` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A service, or kafka (of three: kafka-2, kafka-3), registry, postgresql, simulator, traffic, up.
    service: String,
    /// Go on as more is said.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: u32,
    /// The folder it runs in.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let state = State::at(&self.state.unwrap_or_else(crate::default_state))?;
        let logs = state.join("logs");
        let log = logs.join(format!("{}.log", self.service));
        if self.service.contains('/') || !log.is_file() {
            bail!(
                "there is no log of {} in {}{}",
                self.service,
                logs.display(),
                known(&logs)
            );
        }
        let mut tail = Command::new("tail");
        tail.arg("-n").arg(self.lines.to_string());
        if self.follow {
            tail.arg("-F");
        }
        // From here on this process is `tail`.
        Err(tail.arg(&log).exec()).context("cannot run tail")
    }
}

fn known(logs: &std::path::Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".log").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() {
        return String::new();
    }
    format!("; there are {}", names.join(", "))
}
