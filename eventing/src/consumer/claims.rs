use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::envelope::Envelope;
use super::handler::{Handler, Replay};
use super::holds::Stopped;
use super::record::Place;
use super::runtime::{End, Runtime, Settled};

/// Whether this copy of a replayed letter is the one that counts: the first that asked is.
///
/// The same copy may ask again, because it is read again after a crash. A letter that fails again travels on as a further
/// attempt, and of that one as well the first copy counts.
pub(crate) async fn claim(
    pool: &PgPool,
    group: &str,
    replay: &Replay,
    attempt: u32,
    copy: &Place,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let copy = copy.to_string();
    let counts = sqlx::query_scalar!(
        "insert into eventing.replay_claims as claim (consumer_group, job_id, letter, attempt, copy, claimed_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint replay_claims_pkey do update set claimed_at = claim.claimed_at
         returning copy",
        group,
        replay.job,
        replay.letter,
        i32::try_from(attempt).unwrap_or(i32::MAX),
        copy,
        now.to_sqlx() as _,
    )
    .fetch_one(pool)
    .await?;
    Ok(counts == copy)
}

/// How a replayed letter ended this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was applied, or needed nothing.
    Handled,
    /// It goes to a further tier, or is a letter again.
    Failed,
}

/// Writes down how a claimed letter ended, for the job that sent it. May be repeated.
pub(crate) async fn settled(
    pool: &PgPool,
    group: &str,
    replay: &Replay,
    attempt: u32,
    outcome: Outcome,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.replay_claims set outcome = $5
         where consumer_group = $1 and job_id = $2 and letter = $3 and attempt = $4",
        group,
        replay.job,
        replay.letter,
        i32::try_from(attempt).unwrap_or(i32::MAX),
        match outcome {
            Outcome::Handled => "handled",
            Outcome::Failed => "failed",
        },
    )
    .execute(pool)
    .await?;
    Ok(())
}

impl<H: Handler> Runtime<H> {
    /// Tells the job that sent a dead letter again how that went.
    pub(crate) async fn note_replay(
        &self,
        envelope: &Envelope,
        end: End,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let (Some(replay), Some(outcome)) = (&envelope.replay, Outcome::of(end)) else {
            return Ok(());
        };
        self.held(stop, || async move {
            settled(&self.pool, &self.group.name, replay, envelope.attempts, outcome).await
        })
        .await
    }
}

impl Outcome {
    /// What waits has no outcome yet.
    fn of(end: End) -> Option<Self> {
        match end {
            End::Settled(Settled::Parked) => None,
            End::Settled(Settled::Applied { .. } | Settled::Duplicate | Settled::PassedOver) => {
                Some(Self::Handled)
            }
            End::SentOn => Some(Self::Failed),
        }
    }
}
