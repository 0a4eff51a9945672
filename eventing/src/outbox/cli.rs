//! `outbox list | retry | discard`: the subcommand of a service that writes events.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use sqlx::PgPool;

use super::set_aside::{self, Decision, LIST_BOUND, SetAside, SetAsideError};
use crate::{Clock, SchemaRegistry};

/// Looks after outbox rows that cannot be published.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the rows that are set aside, why, and how many events wait behind each
    List,
    /// Let the relay try rows again, after their cause was removed
    Retry(Retry),
    /// Give a row up: a `withheld` record with its key and sequence is published in its place
    Discard(Discard),
}

/// Which rows to try again.
#[derive(Clone, Debug, Args)]
pub struct Retry {
    /// The rows, as `outbox list` numbers them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub seqs: Vec<i64>,
    /// All rows that are set aside
    #[arg(long)]
    pub all: bool,
    /// Who decides this
    #[arg(long, env = "USER")]
    pub operator: String,
}

/// Which row to give up.
#[derive(Clone, Debug, Args)]
pub struct Discard {
    /// The row, as `outbox list` numbers it
    pub seq: i64,
    /// Why it may be given up; kept in the audit table
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who decides this
    #[arg(long, env = "USER")]
    pub operator: String,
}

/// What the commands work on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The service's own database.
    pub pool: PgPool,
    /// For the schema of a row that is given up.
    pub registry: SchemaRegistry,
    /// For the audit.
    pub clock: Clock,
}

impl Command {
    /// Does it and prints what was done.
    pub async fn run(self, ctx: Context) -> Result<(), SetAsideError> {
        print!("{}", self.execute(&ctx).await?);
        Ok(())
    }

    /// Does it and tells what was done.
    pub async fn execute(self, ctx: &Context) -> Result<String, SetAsideError> {
        match self {
            Self::List => Ok(table(&set_aside::list(&ctx.pool).await?)),
            Self::Retry(retry) => retry.execute(ctx).await,
            Self::Discard(discard) => discard.execute(ctx).await,
        }
    }
}

impl Retry {
    async fn execute(self, ctx: &Context) -> Result<String, SetAsideError> {
        let seqs = if self.all {
            set_aside::list(&ctx.pool)
                .await?
                .into_iter()
                .map(|row| row.seq)
                .collect()
        } else {
            self.seqs
        };
        let mut told = String::new();
        for seq in &seqs {
            let decision = Decision {
                operator: &self.operator,
                reason: None,
                at: ctx.clock.now(),
            };
            set_aside::retry(&ctx.pool, *seq, &decision).await?;
            let _ = writeln!(told, "row {seq} will be tried again");
        }
        if seqs.is_empty() {
            told.push_str("no row is set aside\n");
        }
        Ok(told)
    }
}

impl Discard {
    async fn execute(self, ctx: &Context) -> Result<String, SetAsideError> {
        let decision = Decision {
            operator: &self.operator,
            reason: Some(&self.reason),
            at: ctx.clock.now(),
        };
        set_aside::discard(&ctx.pool, &ctx.registry, self.seq, &decision).await?;
        Ok(format!(
            "row {} is given up; a withheld record will be published in its place\n",
            self.seq
        ))
    }
}

fn table(rows: &[SetAside]) -> String {
    if rows.is_empty() {
        return "no row is set aside\n".to_owned();
    }
    let mut told = String::new();
    for row in rows {
        let event_type = row.event_type.as_deref().unwrap_or("unreadable");
        let _ = writeln!(
            told,
            "{}  {} {} sequence {} ({event_type}, {} bytes)\n    since {}: {}\n    {} later events wait behind it",
            row.seq, row.topic, row.key, row.sequence, row.bytes, row.set_aside_at, row.reason, row.waiting
        );
    }
    if i64::try_from(rows.len()) == Ok(LIST_BOUND) {
        let _ = writeln!(
            told,
            "more than {LIST_BOUND} rows are set aside; these are the oldest"
        );
    }
    told
}
