//! Commands that change nothing.

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;

use clap::{Args, ValueEnum};
use futures::StreamExt as _;

use super::{Chosen, Common, Narrow, told};
use crate::dead_letters::{Context, Error, Format, LetterId, State};

/// `groups`
#[derive(Clone, Debug, Args)]
pub struct Groups {
    #[command(flatten)]
    common: Common,
}

/// `list`
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    narrow: Narrow,
    /// Only letters to which this was done.
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// The most letters to print, up to 1,000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Goes on where the list before ended: its `next`.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

fn state(word: &str) -> Result<State, String> {
    State::parse(word).ok_or_else(|| format!("{word:?} is not one of new, taken, replayed, discarded, copy"))
}

/// `show`
#[derive(Clone, Debug, Args)]
pub struct Show {
    #[command(flatten)]
    common: Common,
    /// The letter's id, such as 3-17.
    id: LetterId,
}

/// `preflight`
#[derive(Clone, Debug, Args)]
pub struct Preflight {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
}

/// `export`
#[derive(Clone, Debug, Args)]
pub struct Export {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    narrow: Narrow,
    /// Only letters to which this was done.
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// How it is written; --json is the same as jsonl.
    #[arg(long, value_enum, default_value_t = File::Jsonl)]
    format: File,
    /// The file to write; standard output if left out.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum File {
    /// One JSON object per line, with the decoded event.
    Jsonl,
    /// Comma-separated values, safe to open in a spreadsheet.
    Csv,
}

/// `audit`
#[derive(Clone, Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    common: Common,
    /// The most entries to print, up to 1,000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Goes on where the list before ended: its `next`.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

impl Groups {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let groups = self.common.current(context).await?.groups().await?;
        self.common.tell(groups.as_slice(), out, told::groups)
    }
}

impl List {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.current(context).await?;
        let filter = self.narrow.filter(self.state);
        let page = desk.letters(&filter, self.after.as_deref(), self.limit).await?;
        self.common.tell_page(&page, out, told::letters)
    }
}

impl Show {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let detail = self.common.current(context).await?.letter(self.id).await?;
        self.common.tell(&detail, out, told::sections)
    }
}

impl Preflight {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.current(context).await?;
        let group = &desk.group().name;
        let rehearsal = context
            .rehearsals
            .iter()
            .find(|rehearsal| rehearsal.group() == group)
            .ok_or_else(|| Error::Refused(format!("this binary cannot try the handler of group {group}")))?;
        let selection = self.chosen.selection(false)?;
        let preflight = desk.preflight(&selection, &**rehearsal).await?;
        self.common.tell(&preflight, out, told::preflight)
    }
}

impl Export {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.current(context).await?;
        let format = match self.format {
            File::Csv if !self.common.json => Format::Csv,
            File::Csv | File::Jsonl => Format::JsonLines,
        };
        let mut file = self.output.map(std::fs::File::create).transpose()?;
        let mut chunks = pin!(desk.export(&self.narrow.filter(self.state), format));
        while let Some(chunk) = chunks.next().await.transpose()? {
            match &mut file {
                Some(file) => file.write_all(&chunk)?,
                None => out.write_all(&chunk)?,
            }
        }
        Ok(())
    }
}

impl Audit {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let page = desk.audit(self.after.as_deref(), self.limit).await?;
        self.common.tell_page(&page, out, told::audit)
    }
}
