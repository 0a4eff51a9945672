//! An operator: reads the dead letters every few seconds, and replays or discards them with the subcommand that every consumer
//! has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::collect;
use super::model::Kind;
use super::plan::Remedy;
use super::stage::Stage;

/// A command that takes longer is stopped, and given again later.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// Letters in one command.
const AT_ONCE: usize = 200;

/// What an operator remembers.
#[derive(Debug)]
pub struct Operator {
    kind: Kind,
    /// What was done about a letter, and when.
    done: BTreeMap<(i32, i64), Instant>,
    /// How often something that had been done was done again.
    pub repeated: usize,
}

impl Operator {
    /// An operator of a group, who has done nothing yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            done: BTreeMap::new(),
            repeated: 0,
        }
    }

    /// How many letters it knows.
    pub fn letters(&self) -> usize {
        self.done.len()
    }

    /// Looks after the letters that are new, and again after those that it looked after longer than `patience` ago: what is done twice is done
    /// once.
    pub async fn attend(&mut self, stage: &Stage, patience: Duration) -> Result<()> {
        let mut by_remedy: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
        for letter in collect::letters(stage.brokers(), self.kind).await? {
            let id = (letter.partition, letter.offset);
            match self.done.get(&id) {
                None => {}
                Some(when) if when.elapsed() > patience => {
                    self.repeated += 1;
                }
                Some(_) => continue,
            }
            let verb = match Remedy::of(stage.seed(), &letter.key, letter.sequence) {
                Remedy::Replay => "replay",
                Remedy::Discard => "discard",
            };
            by_remedy.entry(verb).or_default().push(id);
        }
        for (verb, ids) in by_remedy {
            for ids in ids.chunks(AT_ONCE) {
                self.command(stage, verb, ids).await?;
                stage
                    .timeline
                    .note(format!("{} of {}: {verb}", ids.len(), self.kind.group()));
                let now = Instant::now();
                self.done.extend(ids.iter().map(|id| (*id, now)));
            }
        }
        Ok(())
    }

    async fn command(&self, stage: &Stage, verb: &str, ids: &[(i32, i64)]) -> Result<()> {
        let ids = ids
            .iter()
            .map(|(partition, offset)| format!("{partition}-{offset}"));
        let word = match self.kind {
            Kind::Ordered => "ordered",
            Kind::Unordered => "unordered",
        };
        let child = tokio::process::Command::new(std::env::current_exe()?)
            .args(["dead-letters", word, verb])
            .args(ids)
            .args(["--reason", "planned", "--operator", "history"])
            .envs(stage.operator(self.kind).variables())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(COMMAND_WITHIN, child)
            .await
            .with_context(|| format!("{verb} takes too long"))??;
        if !output.status.success() {
            bail!("{verb}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
