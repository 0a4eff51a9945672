//! An operator: looks at the dead letters every few seconds, and replays or discards the new ones with the subcommand that every
//! consumer has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use eventing::dead_letters::{Desk, Filter, State};

use super::consumer;
use super::model::Kind;
use super::plan::Remedy;
use super::stage::Stage;

/// A command that takes longer is stopped; its letters, if they are still new, are looked after in the next round.
const COMMAND_WITHIN: Duration = Duration::from_mins(1);
/// Letters in one command.
const AT_ONCE: u32 = 200;

/// An operator of one group.
#[derive(Debug)]
pub struct Operator {
    kind: Kind,
    /// What it decided so far, for the report.
    pub decided: usize,
}

impl Operator {
    /// An operator who has done nothing yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, decided: 0 }
    }

    /// Looks after the letters to which nothing was done yet.
    pub async fn attend(&mut self, stage: &Stage) -> Result<()> {
        let resources = consumer::resources(&stage.operator(self.kind))?;
        let desk = Desk::new(&consumer::group(self.kind), &resources);
        desk.refresh().await?;
        let new = Filter {
            state: Some(State::New),
            ..Filter::default()
        };
        let page = desk.letters(&new, None, AT_ONCE).await?;
        resources.pool.close().await;
        let mut by_remedy: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for letter in page.rows {
            let remedy = letter
                .sequence
                .map(|sequence| Remedy::of(stage.seed(), &letter.key, sequence));
            let verb = match remedy {
                Some(Remedy::Replay) => "replay",
                // What is no event will never be one.
                Some(Remedy::Discard) | None => "discard",
            };
            by_remedy.entry(verb).or_default().push(letter.id.to_string());
        }
        for (verb, ids) in by_remedy {
            self.command(stage, verb, &ids).await?;
            self.decided += ids.len();
            stage.timeline.note(format!(
                "the operator of {}: {verb} {}",
                self.kind.group(),
                ids.join(" ")
            ));
        }
        Ok(())
    }

    async fn command(&self, stage: &Stage, verb: &str, ids: &[String]) -> Result<()> {
        let word = match self.kind {
            Kind::Ordered => "ordered",
            Kind::Unordered => "unordered",
        };
        let command = tokio::process::Command::new(std::env::current_exe()?)
            .args(["dead-letters", word, verb])
            .args(ids)
            .args([
                "--yes",
                "--detach",
                "--reason",
                "planned",
                "--operator",
                "history",
            ])
            .envs(stage.operator(self.kind).variables())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(COMMAND_WITHIN, command)
            .await
            .with_context(|| format!("{verb} takes too long"))??;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("{verb} {}: {error}", ids.join(" "));
        }
        Ok(())
    }
}
