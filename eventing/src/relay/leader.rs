//! The one connection of an active relay: it holds the lock, and everything that a leader does goes through it.
//!
//! The lock belongs to the session, so whoever loses the connection loses lock and hands at once: a relay that was taken
//! over cannot delete a row, whatever it still believes.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

/// First half of the advisory lock's key ("evnt"); the second half is the lane. There is one lane yet.
pub const LOCK_CLASS: i32 = 0x6576_6e74;
/// Second half of the advisory lock's key.
pub const LOCK_LANE: i32 = 0;

/// How long PostgreSQL lets a relay be silent before it ends the session and with it the lock. This is what takes the lock
/// from a relay that hangs; a living one speaks every [`PROBE_EVERY`].
const SILENCE_ALLOWED_MS: u64 = 4_000;
/// How often a relay that waits for Kafka shows PostgreSQL that it lives, and learns whether it still leads.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);
/// No statement of ours takes long. Without an answer for so long the connection counts as lost.
pub(super) const STATEMENT_DEADLINE: Duration = Duration::from_secs(10);

/// Why the connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaderError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer within {} s", STATEMENT_DEADLINE.as_secs())]
    Silence(#[from] tokio::time::error::Elapsed),
}

/// A connection that may become, or is, the leader's.
#[derive(Debug)]
pub(super) struct Leader(pub(super) PgConnection);

/// Bounds a statement by [`STATEMENT_DEADLINE`].
pub(super) async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> Result<T, LeaderError> {
    Ok(tokio::time::timeout(STATEMENT_DEADLINE, statement).await??)
}

impl Leader {
    /// Opens the connection; it does not lead before [`Leader::try_lead`] says so.
    pub(super) async fn connect(options: &PgConnectOptions, service: &str) -> Result<Self, LeaderError> {
        let options = options
            .clone()
            .application_name(&format!("{service} relay"))
            .options([
                ("idle_session_timeout", SILENCE_ALLOWED_MS.to_string()),
                // So that the server notices a vanished host within seconds as well.
                ("tcp_keepalives_idle", "2".to_owned()),
                ("tcp_keepalives_interval", "1".to_owned()),
                ("tcp_keepalives_count", "3".to_owned()),
                // A deletion that is lost in a crash only means that a record is sent again.
                ("synchronous_commit", "off".to_owned()),
                // The table is mostly empty or mostly full, and statistics are always about the other case. The rows are
                // wanted from the lowest number on, and only the primary key's index gives them without looking at the rest.
                ("enable_seqscan", "off".to_owned()),
                ("enable_bitmapscan", "off".to_owned()),
                ("enable_sort", "off".to_owned()),
                ("jit", "off".to_owned()),
            ]);
        let connection = in_time(options.connect()).await?;
        Ok(Self(connection))
    }

    /// Takes the lock if nobody has it. A lock that was taken is held until the connection ends.
    pub(super) async fn try_lead(&mut self) -> Result<bool, LeaderError> {
        let statement = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock($1, $2) as "leads!""#,
            LOCK_CLASS,
            LOCK_LANE
        )
        .fetch_one(&mut self.0);
        in_time(statement).await
    }

    /// Shows that we live, and fails when we do not lead any more.
    pub(super) async fn probe(&mut self) -> Result<(), LeaderError> {
        in_time(self.0.ping()).await?;
        Ok(())
    }

    /// Gives the lock back at once, rather than when the server notices that we are gone.
    pub(super) async fn resign(self) {
        // If it cannot be closed in order, the server closes it.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.close()).await;
    }
}
