//! `dead-letters list | show | replay | discard`, a subcommand of every consumer's binary.

use std::io::Write;

use clap::{Args, Subcommand};

use super::{Context, Error};

/// What to do with a group's dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Lists the dead letters, newest first.
    List(List),
    /// Shows one letter with its decoded event, its headers and its attempts.
    Show(Show),
    /// Sends letters to the group's first retry tier, due now.
    Replay(Act),
    /// Gives letters up: later events of their aggregates go on without them.
    Discard(Act),
}

/// Which group, and how it is printed.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The consumer group; may be left out where the binary has one only.
    #[arg(long)]
    pub group: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Which letters.
#[derive(Clone, Debug, Args)]
pub struct Filter {
    /// Letters whose failure has this fingerprint.
    #[arg(long)]
    pub fingerprint: Option<String>,
    /// Letters of this aggregate.
    #[arg(long)]
    pub key: Option<String>,
}

/// `list`
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub common: Common,
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub filter: Filter,
    /// Only letters in this state: new, replayed or discarded.
    #[arg(long)]
    pub state: Option<String>,
    /// The most letters to print.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// `show`
#[derive(Clone, Debug, Args)]
pub struct Show {
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub common: Common,
    /// The letter's id, such as 3-17.
    pub id: String,
}

/// `replay` and `discard`
#[derive(Clone, Debug, Args)]
pub struct Act {
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub common: Common,
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub filter: Filter,
    /// Letters by id, such as 3-17.
    pub ids: Vec<String>,
    /// Every letter that is still new.
    #[arg(long)]
    pub all: bool,
    /// Why. It is kept with your name.
    #[arg(long)]
    pub reason: String,
    /// Who you are.
    #[arg(long = "as", env = "USER")]
    pub operator: String,
}

impl Command {
    /// Does it, and writes what an operator reads to `out`.
    pub async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let _ = context;
        writeln!(out)?;
        Ok(())
    }
}
