//! `dead-letters …`, a subcommand of every consumer's binary: what operators type, over the [`Desk`].

mod acts;
mod asks;
mod gaps;
mod table;
mod told;

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

pub use acts::{Act, Discard, Jobs, Reindex, Replay, Undo};
pub use asks::{Audit, Export, Groups, List, Preflight, Show};
pub use gaps::{Accept, Gaps};

use super::{Context, Decision, Desk, Error, Filter, LetterId, Page, Selection, State};

/// What to do with a group's dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Shows the failures by fingerprint: how many letters, first and last seen, what was done.
    Groups(Groups),
    /// Lists the dead letters, newest first.
    List(List),
    /// Shows one letter with its decoded event, its headers, its attempts, and what was done to it.
    Show(Show),
    /// Tries the handler of this binary on letters and rolls back: how many would pass now.
    Preflight(Preflight),
    /// Sends letters to the group's first retry tier, due now. Serving replicas do it.
    Replay(Replay),
    /// Gives letters up: later events of their aggregates go on without them.
    Discard(Discard),
    /// Shows jobs and how far they are; pauses, resumes and cancels one.
    Jobs(Jobs),
    /// Takes a discard back; in an ordered group until a later event of the key was applied.
    Undo(Undo),
    /// Shows keys of an ordered group whose next event nobody has seen: neither in a retry tier nor among the letters.
    Gaps(Gaps),
    /// Moves a key on past its gap: what is missing is never applied.
    Accept(Accept),
    /// Writes letters as JSON lines, with their events, or as CSV.
    Export(Export),
    /// Shows what operators did, newest first.
    Audit(Audit),
    /// Builds the index of the letters anew from their topic; what was done to them stays.
    Reindex(Reindex),
}

/// Which group, and how it is printed.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The consumer group; may be left out where the binary has one only.
    #[arg(long)]
    group: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Who, and why.
#[derive(Clone, Debug, Args)]
pub struct By {
    /// Why; kept with your name.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who decides this.
    #[arg(long, env = "USER")]
    operator: String,
}

/// Which letters, by what is known of them.
#[derive(Clone, Debug, Args)]
pub struct Narrow {
    /// Letters whose failure has this fingerprint.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Letters whose failure is of this class.
    #[arg(long, value_name = "CLASS")]
    error_class: Option<String>,
    /// Letters of this aggregate.
    #[arg(long)]
    key: Option<String>,
    /// Letters whose event is of this type, such as payment.succeeded.
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Letters since then, such as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Letters before then.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Which letters an operator means.
#[derive(Clone, Debug, Args)]
pub struct Chosen {
    /// Letters by id, such as 3-17.
    ids: Vec<LetterId>,
    #[command(flatten)]
    narrow: Narrow,
    /// Every letter to which nothing was done yet.
    #[arg(long)]
    all: bool,
}

impl Command {
    /// Does it, and writes what an operator reads to `out`.
    pub async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Self::Groups(groups) => groups.run(context, out).await,
            Self::List(list) => list.run(context, out).await,
            Self::Show(show) => show.run(context, out).await,
            Self::Preflight(preflight) => preflight.run(context, out).await,
            Self::Replay(replay) => replay.run(context, out).await,
            Self::Discard(discard) => discard.run(context, out).await,
            Self::Jobs(jobs) => jobs.run(context, out).await,
            Self::Undo(undo) => undo.run(context, out).await,
            Self::Gaps(gaps) => gaps.run(context, out).await,
            Self::Accept(accept) => accept.run(context, out).await,
            Self::Export(export) => export.run(context, out).await,
            Self::Audit(audit) => audit.run(context, out).await,
            Self::Reindex(reindex) => reindex.run(context, out).await,
        }
    }
}

impl Common {
    /// The desk of the group that is meant.
    fn desk(&self, context: &Context<'_>) -> Result<Desk, Error> {
        let names = || {
            let names: Vec<&str> = context.groups.iter().map(|group| group.name.as_str()).collect();
            names.join(", ")
        };
        let group = match (&self.group, context.groups) {
            (None, [only]) => only,
            (None, _) => {
                return Err(Error::Refused(format!(
                    "name the group with --group: {}",
                    names()
                )));
            }
            (Some(name), groups) => groups.iter().find(|group| group.name == *name).ok_or_else(|| {
                Error::NotFound(format!("there is no group {name:?} here, but {}", names()))
            })?,
        };
        Ok(Desk::new(group, context.resources))
    }

    /// The same, with an index that is up to date.
    async fn current(&self, context: &Context<'_>) -> Result<Desk, Error> {
        let desk = self.desk(context)?;
        desk.refresh().await?;
        Ok(desk)
    }

    /// Writes an answer as JSON if that was asked for, or else as `told` puts it.
    fn tell<T: Serialize + ?Sized, W: Write>(
        &self,
        answer: &T,
        out: &mut W,
        told: impl FnOnce(&T, &mut W) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.json {
            told::json(answer, out)
        } else {
            told(answer, out)
        }
    }

    /// The same for a page of a list; a table says how the list goes on.
    fn tell_page<T: Serialize, W: Write>(
        &self,
        page: &Page<T>,
        out: &mut W,
        told: impl FnOnce(&[T], &mut W) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.tell(page.rows.as_slice(), out, |rows, out| {
            told(rows, out)?;
            told::next(page.next.as_deref(), out)
        })
    }
}

impl By {
    fn decision(&self) -> Result<Decision, Error> {
        Decision::new(&self.operator, &self.reason)
    }
}

impl Narrow {
    fn filter(&self, state: Option<State>) -> Filter {
        Filter {
            fingerprint: self.fingerprint.clone(),
            error_class: self.error_class.clone(),
            key: self.key.clone(),
            event_type: self.event_type.clone(),
            state,
            since: self.since,
            until: self.until,
        }
    }
}

impl Chosen {
    /// Exactly one way of choosing has to be there.
    fn selection(&self, again: bool) -> Result<Selection, Error> {
        let filter = self.narrow.filter(None);
        let narrowed = filter != Filter::default();
        match (self.ids.is_empty(), narrowed, self.all) {
            (false, false, false) if again => Ok(Selection::Again(self.ids.clone())),
            (false, false, false) => Ok(Selection::Ids(self.ids.clone())),
            (false, _, _) => Err(Error::Refused(
                "name letters by id, or choose them otherwise, not both".to_owned(),
            )),
            (true, _, _) if again => Err(Error::Refused("--again takes letters by id".to_owned())),
            (true, true, false) => Ok(Selection::Matching(filter)),
            (true, false, true) => Ok(Selection::all()),
            (true, true, true) => Err(Error::Refused(
                "--all takes every letter; leave it out to narrow them".to_owned(),
            )),
            (true, false, false) => Err(Error::Refused(
                "say which letters: by id, --fingerprint, --error-class, --key, --event-type, --since, --until, or --all"
                    .to_owned(),
            )),
        }
    }
}
