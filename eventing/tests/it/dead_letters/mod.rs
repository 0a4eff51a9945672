//! What operators can do about dead letters.

mod discard;
mod gaps;
mod help;
mod index;
mod jobs;
mod list;
mod many;
mod preflight;
mod replay;
mod requested;
mod selection;
mod undo;

use clap::Parser;
use eventing::dead_letters::{Context, Desk, Error, Rehearsal, cli::Command};
use serde_json::Value;
use uuid::Uuid;

use crate::consuming::stage::Stage;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Stage {
    /// Runs `dead-letters` with these arguments, and answers what it prints.
    pub(crate) async fn dead_letters(&self, arguments: &[&str]) -> Result<String, Error> {
        self.dead_letters_with(&[], arguments).await
    }

    /// The same in a binary that can try these handlers.
    pub(crate) async fn dead_letters_with(
        &self,
        rehearsals: &[Box<dyn Rehearsal>],
        arguments: &[&str],
    ) -> Result<String, Error> {
        let command = Cli::try_parse_from([&["dead-letters"], arguments].concat())
            .unwrap()
            .command;
        let (groups, resources) = ([self.group.clone()], self.resources());
        let mut out = Vec::new();
        command
            .run(
                &Context {
                    groups: &groups,
                    resources: &resources,
                    rehearsals,
                },
                &mut out,
            )
            .await?;
        Ok(String::from_utf8(out).unwrap())
    }

    pub(crate) fn desk(&self) -> Desk {
        Desk::new(&self.group, &self.resources())
    }

    /// The only job there is.
    pub(crate) async fn only_job(&self) -> Uuid {
        let jobs = self.desk().jobs(None, 10).await.unwrap().rows;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs[0].id
    }

    pub(crate) async fn listed(&self) -> Vec<Value> {
        let list = self.dead_letters(&["list", "--json"]).await.unwrap();
        serde_json::from_str::<Value>(&list)
            .unwrap()
            .as_array()
            .unwrap()
            .clone()
    }

    /// Acts as an operator who says who they are and why.
    pub(crate) async fn operate(&self, arguments: &[&str]) -> Result<String, Error> {
        self.dead_letters(&[arguments, &["--operator", "alice", "--reason", "a test"]].concat())
            .await
    }
}
