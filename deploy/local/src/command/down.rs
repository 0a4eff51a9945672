//! `down`: stops what runs, and keeps or erases its state.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::LOOK_AGAIN;
use crate::state::State;

/// Longer than the layers take to stop one after the other.
const STOPPED_WITHIN: Duration = Duration::from_mins(2);

/// What `down` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove databases, topics, logs and secrets too.
    #[arg(long)]
    erase: bool,
    /// The folder it runs in.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let state = State::at(&self.state.unwrap_or_else(crate::default_state))?;
        match state.holder() {
            Some(pid) => stop(&state, pid)?,
            None => println!("Nothing runs in {}.", state.path().display()),
        }
        if self.erase && state.path().exists() {
            let lock = state.lock()?;
            state.erase(&lock)?;
            println!("Erased what was in {}.", state.path().display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn stop(state: &State, pid: u32) -> Result<()> {
    let launcher = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("the lock names no process")?;
    kill_process(launcher, Signal::TERM).with_context(|| format!("cannot stop process {pid}"))?;
    println!("Stopping process {pid} and what it started.");
    let asked = Instant::now();
    while state.holder() == Some(pid) {
        if asked.elapsed() > STOPPED_WITHIN {
            bail!(
                "process {pid} still runs after {} s; `kill -9 {pid}` ends it and all that it started",
                STOPPED_WITHIN.as_secs()
            );
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    println!("Stopped.");
    Ok(())
}
