//! Which copies of replayed letters count, and how they ended: in a statement per batch, however many there are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{self, Item};
use super::envelope::Envelope;
use super::handler::{Handler, Replay};
use super::holds::Stopped;
use super::record::Record;
use super::runtime::{End, Runtime, Settled, bounded};
use crate::crash_point;

/// A letter that a job has sent again, and how often it was tried; each further attempt is a record of its own.
type Life<'a> = (Uuid, &'a str, i32);

/// Whether each of these copies is the one that counts, and is not settled already: the first that asked counts.
///
/// The same copy may ask again, because it is read again after a crash. A letter that fails again travels on as a further
/// attempt, and of that one as well the first copy counts.
async fn claim_all(
    pool: &PgPool,
    group: &str,
    copies: &[(Life<'_>, String)],
    now: Timestamp,
) -> Result<Vec<bool>, sqlx::Error> {
    // In one order for all members, because each holds the rows that it has come to; and each life once.
    let mut first = BTreeMap::new();
    for (life, copy) in copies {
        first.entry(life).or_insert(copy.as_str());
    }
    let (jobs, letters, attempts) = columns(first.keys().copied());
    let firsts: Vec<&str> = first.values().copied().collect();
    let rows = sqlx::query!(
        r#"insert into eventing.replay_claims as claim (consumer_group, job_id, letter, attempt, copy, claimed_at)
           select $1, c.job_id, c.letter, c.attempt, c.copy, $6
           from unnest($2::uuid[], $3::text[], $4::integer[], $5::text[]) with ordinality
               as c (job_id, letter, attempt, copy, place)
           order by c.place
           on conflict on constraint replay_claims_pkey do update set claimed_at = claim.claimed_at
           returning job_id, letter, attempt, copy, outcome is null as "open!""#,
        group,
        &jobs,
        &letters as _,
        &attempts,
        &firsts as _,
        now.to_sqlx() as _,
    )
    .fetch_all(pool)
    .await?;
    let counting: BTreeMap<Life<'_>, &str> = rows
        .iter()
        .filter(|row| row.open)
        .map(|row| ((row.job_id, row.letter.as_str(), row.attempt), row.copy.as_str()))
        .collect();
    let counts = |(life, copy): &(Life<'_>, String)| counting.get(life) == Some(&copy.as_str());
    Ok(copies.iter().map(counts).collect())
}

/// How a replayed letter ended this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was applied, or needed nothing.
    Handled,
    /// It goes to a further tier, or is a letter again.
    Failed,
}

/// Writes down how claimed letters ended, for the jobs that sent them. May be repeated.
///
/// Each row is looked up by its key (`on conflict`): a join planned while the table was small would go on scanning it when it has
/// grown.
async fn settle_all(
    connection: &mut PgConnection,
    group: &str,
    copies: &[(Life<'_>, String)],
    outcome: Outcome,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let settled: BTreeMap<&Life<'_>, &str> =
        copies.iter().map(|(life, copy)| (life, copy.as_str())).collect();
    let (jobs, letters, attempts) = columns(settled.keys().copied());
    let places: Vec<&str> = settled.values().copied().collect();
    sqlx::query!(
        "insert into eventing.replay_claims (consumer_group, job_id, letter, attempt, copy, claimed_at, outcome)
         select $1, c.job_id, c.letter, c.attempt, c.copy, $6, $7
         from unnest($2::uuid[], $3::text[], $4::integer[], $5::text[]) with ordinality
             as c (job_id, letter, attempt, copy, place)
         order by c.place
         on conflict on constraint replay_claims_pkey do update set outcome = excluded.outcome",
        group,
        &jobs,
        &letters as _,
        &attempts,
        &places as _,
        now.to_sqlx() as _,
        match outcome {
            Outcome::Handled => "handled",
            Outcome::Failed => "failed",
        },
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn columns<'l, 'a: 'l>(lives: impl Iterator<Item = &'l Life<'a>>) -> (Vec<Uuid>, Vec<&'a str>, Vec<i32>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (job, letter, attempt) in lives {
        columns.0.push(*job);
        columns.1.push(*letter);
        columns.2.push(*attempt);
    }
    columns
}

/// None for a record that nobody replayed.
fn copy<'a>(envelope: &'a Envelope, record: &Record) -> Option<(Life<'a>, String)> {
    let Replay { job, letter } = envelope.replay.as_ref()?;
    let attempt = i32::try_from(envelope.attempts).unwrap_or(i32::MAX);
    Some(((*job, letter, attempt), record.place.to_string()))
}

impl<H: Handler> Runtime<H> {
    /// Leaves out further copies of replayed letters, and those that were settled before; what was not replayed always counts.
    pub(crate) async fn claim<'a>(&self, mut items: Vec<Item<'a, H>>) -> Vec<Item<'a, H>> {
        if items.iter().all(|item| item.envelope.replay.is_none()) {
            return items;
        }
        let mut hold = self.holds.step(batch::never());
        let counts = loop {
            let copies: Vec<(Life<'_>, String)> = items
                .iter()
                .filter_map(|item| copy(&item.envelope, item.record))
                .collect();
            let claiming = claim_all(&self.pool, &self.group.name, &copies, self.clock.now());
            match bounded(claiming).await {
                Ok(counts) => break counts,
                Err(failure) => batch::wait_with(&mut hold, &failure, &mut items).await,
            }
        };
        crash_point("consumer.claim.after");
        let mut counts = counts.into_iter();
        items.retain(|item| {
            let counts = item.envelope.replay.is_none() || counts.next() == Some(true);
            if !counts {
                tracing::info!(copy = %item.record.place, "passing over a copy of a replayed letter");
                item.finish();
            }
            counts
        });
        items
    }

    /// Notes in the transaction that applies replayed letters that it did: whatever dies afterwards, none is applied again.
    pub(crate) async fn note_applied(
        &self,
        tx: &mut PgConnection,
        applied: impl Iterator<Item = (&Envelope, &Record)>,
    ) -> Result<(), sqlx::Error> {
        let copies: Vec<_> = applied
            .filter_map(|(envelope, record)| copy(envelope, record))
            .collect();
        if copies.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        settle_all(tx, &self.group.name, &copies, Outcome::Handled, now).await
    }

    /// Tells the job that sent a dead letter again how that went, unless it was told in a transaction.
    pub(crate) async fn note_replay(
        &self,
        envelope: &Envelope,
        record: &Record,
        end: End,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let (Some(copy), Some(outcome)) = (copy(envelope, record), Outcome::of(end)) else {
            return Ok(());
        };
        crash_point("consumer.outcome.before");
        let copies = &[copy];
        self.held(stop, || async move {
            let mut connection = self.pool.acquire().await?;
            let now = self.clock.now();
            settle_all(&mut connection, &self.group.name, copies, outcome, now).await
        })
        .await
    }
}

impl Outcome {
    /// What waits has no outcome yet, and what was applied has it already.
    fn of(end: End) -> Option<Self> {
        match end {
            End::Settled(Settled::Parked | Settled::Applied { .. }) => None,
            End::Settled(Settled::Duplicate | Settled::PassedOver) => Some(Self::Handled),
            End::SentOn => Some(Self::Failed),
        }
    }
}
