//! `dead-letters list | show | replay | discard`, a subcommand of every consumer's binary.

use std::io::Write;

use clap::{Args, Subcommand};

use super::act;
use super::chosen::Selection;
use super::jobs::{self, Action, Order};
use super::view;
use super::{Context, Error};
use crate::consumer::ConsumerGroup;

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
    #[arg(long, value_parser = [jobs::NEW, jobs::REPLAYED, jobs::DISCARDED])]
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
    #[arg(conflicts_with_all = ["fingerprint", "key", "all"])]
    pub ids: Vec<String>,
    /// Every letter that is still new.
    #[arg(long, conflicts_with_all = ["fingerprint", "key"])]
    pub all: bool,
    /// Why; kept with your name.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who decides this.
    #[arg(long, env = "USER")]
    pub operator: String,
}

impl Command {
    /// Does it, and writes what an operator reads to `out`.
    pub async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let resources = context.resources;
        match self {
            Self::List(list) => {
                let group = list.common.group(context)?;
                let filter = list.filter.selection();
                let letters =
                    view::list(group, resources, &filter, list.state.as_deref(), list.limit).await?;
                view::write_list(&letters, list.common.json, out)
            }
            Self::Show(show) => {
                let group = show.common.group(context)?;
                let id = show.id.parse()?;
                view::show(group, resources, id, show.common.json, out).await
            }
            Self::Replay(act) => act.run(context, Action::Replay, out).await,
            Self::Discard(act) => act.run(context, Action::Discard, out).await,
        }
    }
}

impl Common {
    fn group<'a>(&self, context: &Context<'a>) -> Result<&'a ConsumerGroup, Error> {
        let names = || {
            context
                .groups
                .iter()
                .map(|group| group.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (&self.group, context.groups) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::Refused(format!(
                "name the group with --group: {}",
                names()
            ))),
            (Some(name), groups) => groups
                .iter()
                .find(|group| group.name == *name)
                .ok_or_else(|| Error::Refused(format!("there is no group {name:?} here, but {}", names()))),
        }
    }
}

impl Filter {
    fn selection(&self) -> Selection {
        Selection::New {
            fingerprint: self.fingerprint.clone(),
            key: self.key.clone(),
        }
    }
}

impl Act {
    async fn run(self, context: &Context<'_>, action: Action, out: &mut impl Write) -> Result<(), Error> {
        let group = self.common.group(context)?;
        let selection = self.selection()?;
        let words = selection.words();
        let order = Order {
            group: &group.name,
            action,
            selection: &words,
            operator: &self.operator,
            reason: &self.reason,
        };
        let report = act::act(group, context.resources, order, &selection).await?;
        if self.common.json {
            return view::write_json(&serde_json::json!(report), out);
        }
        let what = match action {
            Action::Replay => "sent again",
            Action::Discard => "discarded",
        };
        match report.job {
            None => writeln!(out, "no letter matches; nothing was done")?,
            Some(job) => writeln!(out, "job {job}: {what}: {}", report.letters.join(" "))?,
        }
        Ok(())
    }

    fn selection(&self) -> Result<Selection, Error> {
        if !self.ids.is_empty() {
            let ids = self.ids.iter().map(|id| id.parse()).collect::<Result<_, _>>();
            return Ok(Selection::Ids(ids?));
        }
        if self.all || self.filter.fingerprint.is_some() || self.filter.key.is_some() {
            return Ok(self.filter.selection());
        }
        Err(Error::Refused(
            "say which letters: by id, --fingerprint, --key, or --all".to_owned(),
        ))
    }
}
