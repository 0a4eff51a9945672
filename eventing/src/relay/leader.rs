//! The one connection of an active relay: it holds the lock, reads rows, and deletes what is published.
//!
//! The lock belongs to the session, so whoever loses the connection loses lock and hands at once: a relay that was taken
//! over cannot delete a row, whatever it still believes.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
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
const STATEMENT_DEADLINE: Duration = Duration::from_secs(10);

/// A committed event that is not known to be on its topic.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<u8>,
    pub(super) created_at: Timestamp,
    /// An earlier row of its aggregate is set aside.
    pub(super) blocked: bool,
}

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
pub(super) struct Leader(PgConnection);

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
            ]);
        let connection = tokio::time::timeout(STATEMENT_DEADLINE, options.connect()).await??;
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
        Ok(tokio::time::timeout(STATEMENT_DEADLINE, statement).await??)
    }

    /// Shows that we live, and fails when we do not lead any more.
    pub(super) async fn probe(&mut self) -> Result<(), LeaderError> {
        tokio::time::timeout(STATEMENT_DEADLINE, self.0.ping()).await??;
        Ok(())
    }

    /// The first rows in their order: at most `limit`, and no more once they are `max_bytes` together.
    ///
    /// It starts from the bottom every time and sees whatever is committed, so a row that commits late is not missed. Rows
    /// of an aggregate are numbered in the order of their commits (they are inserted under its lock), so whichever of them
    /// one snapshot shows are its first unsent ones, without a gap.
    pub(super) async fn read(
        &mut self,
        limit: i64,
        max_bytes: i64,
        held_topics: &[String],
    ) -> Result<Vec<Row>, LeaderError> {
        let statement = sqlx::query!(
            r#"select seq as "seq!", topic as "topic!", key as "key!", payload as "payload!", headers as "headers!",
                      created_at as "created_at!", blocked as "blocked!"
               from (
                   select *,
                          exists (
                              select from eventing.outbox_set_aside as aside
                              where aside.topic = candidate.topic and aside.key = candidate.key
                          ) as blocked,
                          sum(octet_length(payload) + octet_length(headers))
                              over (order by seq rows between unbounded preceding and 1 preceding) as bytes_before
                   from eventing.outbox as candidate
                   where topic <> all ($1)
                   order by seq
                   limit $2
               ) as batch
               where coalesce(bytes_before, 0) < $3
               order by seq"#,
            held_topics,
            limit,
            max_bytes,
        )
        .fetch_all(&mut self.0);
        let rows = tokio::time::timeout(STATEMENT_DEADLINE, statement).await??;
        Ok(rows
            .into_iter()
            .map(|row| Row {
                seq: row.seq,
                topic: row.topic,
                key: row.key,
                payload: row.payload,
                headers: row.headers,
                created_at: row.created_at.to_jiff(),
                blocked: row.blocked,
            })
            .collect())
    }

    /// Marks rows as published, which is to delete them. Returns how many were still there.
    pub(super) async fn mark(&mut self, published: &[i64]) -> Result<u64, LeaderError> {
        let statement =
            sqlx::query!("delete from eventing.outbox where seq = any ($1)", published).execute(&mut self.0);
        Ok(tokio::time::timeout(STATEMENT_DEADLINE, statement)
            .await??
            .rows_affected())
    }

    /// Sets a row aside, which blocks its aggregate until an operator decides.
    pub(super) async fn set_aside(
        &mut self,
        row: &Row,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LeaderError> {
        let statement = sqlx::query!(
            "with taken as (
                 delete from eventing.outbox where seq = $1 returning *
             ), blocked as (
                 insert into eventing.outbox_blocked (seq, topic, key, sequence, payload, headers, created_at)
                 select seq, topic, key, sequence, payload, headers, created_at from taken
             )
             insert into eventing.outbox_set_aside (seq, topic, key, reason, set_aside_at)
             select seq, topic, key, $2, $3 from taken",
            row.seq,
            reason,
            now.to_sqlx() as _,
        )
        .execute(&mut self.0);
        tokio::time::timeout(STATEMENT_DEADLINE, statement).await??;
        Ok(())
    }

    /// Takes rows of blocked aggregates out of the way.
    ///
    /// The lock on the mark makes this and an operator's decision exclude each other: a row that is taken here finds its
    /// way back with the others, and once they went back no row of theirs is taken any more.
    pub(super) async fn take_blocked(&mut self, seqs: &[i64]) -> Result<(), LeaderError> {
        let statement = sqlx::query!(
            "with aside as (
                 select topic, key from eventing.outbox_set_aside
                 where (topic, key) in (select topic, key from eventing.outbox where seq = any ($1))
                 for share
             ), taken as (
                 delete from eventing.outbox as row using aside
                 where row.seq = any ($1) and row.topic = aside.topic and row.key = aside.key
                 returning row.*
             )
             insert into eventing.outbox_blocked (seq, topic, key, sequence, payload, headers, created_at)
             select seq, topic, key, sequence, payload, headers, created_at from taken",
            seqs,
        )
        .execute(&mut self.0);
        tokio::time::timeout(STATEMENT_DEADLINE, statement).await??;
        Ok(())
    }

    /// Gives the lock back at once, rather than when the server notices that we are gone.
    pub(super) async fn resign(self) {
        // If it cannot be closed in order, the server closes it.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.close()).await;
    }
}
