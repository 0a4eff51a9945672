//! What is measured, as a process of its own: from the side of whoever measures.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::stand::Stand;

/// Until a child has connected to everything.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A child that is ready for its work, or at it.
///
/// It says `ready`, begins when it is told `go`, ends when its standard input ends (so it cannot outlive us), and says in a
/// last line of JSON what it found.
pub(crate) struct Child {
    role: String,
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this very program in a role, and waits until it is ready.
    pub(crate) async fn start(stand: &Stand, role: &str, arguments: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "child",
            "--database",
            &stand.database,
            "--brokers",
            &stand.brokers,
            role,
        ]);
        for (name, value) in arguments {
            command.arg(format!("--{name}={value}"));
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .with_context(|| format!("{role} does not start"))?;
        let input = process.stdin.take().context("a child without an input")?;
        let output = process.stdout.take().context("a child without an output")?;
        let mut child = Self {
            role: role.to_owned(),
            process,
            input,
            output: BufReader::new(output).lines(),
        };
        let said = tokio::time::timeout(READY_WITHIN, child.line()).await??;
        if said != "ready" {
            bail!("{role} said {said:?} instead of ready");
        }
        Ok(child)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process
            .id()
            .with_context(|| format!("{} has ended", self.role))
    }

    /// Lets it begin.
    pub(crate) async fn go(&mut self) -> Result<()> {
        self.input.write_all(b"go\n").await?;
        Ok(())
    }

    /// The next line that it says.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let line = self.output.next_line().await?;
        line.with_context(|| format!("{} ended before it was done", self.role))
    }

    /// Waits until it has done its work, and takes what it found.
    pub(crate) async fn found(&mut self) -> Result<Value> {
        Ok(serde_json::from_str(&self.line().await?)?)
    }

    /// Asks it to end, after it has said what it found.
    pub(crate) async fn leave(mut self) -> Result<()> {
        drop(self.input);
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("{} ended ({status})", self.role);
        }
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Asks it to end, and takes what it found.
    pub(crate) async fn end(mut self) -> Result<Value> {
        drop(self.input);
        let last = self
            .output
            .next_line()
            .await?
            .with_context(|| format!("{} ended without a word", self.role))?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("{} ended ({status})", self.role);
        }
        Ok(serde_json::from_str(&last)?)
    }
}
