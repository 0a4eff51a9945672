//! `backbone`: a program, such as `cargo test`, with a backbone of its own on free ports.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::interrupt::Interrupt;
use crate::backbone::{Backbone, Durability};
use crate::distribution::Distribution;
use crate::ports::Ports;
use crate::progress::Progress;
use crate::run::Run;
use crate::state::State;

/// What `backbone` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it keeps its files; they are erased at the next start.
    #[arg(long)]
    state: Option<PathBuf>,
    /// The program and its arguments; it finds `TEST_DATABASE_URL`, `TEST_KAFKA_BROKERS` and
    /// `TEST_SCHEMA_REGISTRY_URL` in its environment.
    #[arg(trailing_var_arg = true, required = true)]
    program: Vec<OsString>,
}

impl Arguments {
    /// Runs the program and ends with its exit code.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let mut interrupt = Interrupt::listen()?;
        let state = State::at(
            &self
                .state
                .clone()
                .unwrap_or_else(|| crate::default_state().join("backbone")),
        )?;
        let run = Run::prepare_afresh(state)?;
        let ended = tokio::select! {
            ended = self.beside(&run) => ended,
            () = interrupt.received() => Err(anyhow::anyhow!("interrupted")),
        };
        run.stop().await;
        ended
    }

    async fn beside(&self, run: &Run) -> Result<ExitCode> {
        let progress = Progress::Shown;
        let distribution = Distribution::fetch(&crate::downloads(), progress).await?;
        let ports = Ports::free(&[])?;
        let durability = Durability::ProcessCrashOnly;
        let backbone = Backbone::start(
            &run.state,
            &ports,
            &distribution,
            durability,
            &run.processes,
            progress,
        )
        .await?;
        let Some((program, arguments)) = self.program.split_first() else {
            bail!("no program was given");
        };
        let status = tokio::process::Command::new(program)
            .args(arguments)
            .env("TEST_DATABASE_URL", backbone.postgres.admin_url())
            .env("TEST_KAFKA_BROKERS", &backbone.kafka)
            .env("TEST_SCHEMA_REGISTRY_URL", &backbone.registry)
            .kill_on_drop(true)
            .status()
            .await
            .with_context(|| format!("cannot run {}", program.display()))?;
        if let Some(dead) = run.processes.died() {
            let status = dead.exited().await;
            bail!("{}", dead.obituary(status));
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
