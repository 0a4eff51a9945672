//! The relay's own connections to PostgreSQL: one per lane that it has, and one with which it keeps its leases.
//!
//! Not the service's pool, because a relay that has to wait for a connection loses its lanes, and one that drains would keep the
//! service waiting. A lane's connection comes and goes with the lane, so a service has eight of them however many replicas
//! it has, and one more per replica. They may go through a pooler that shares sessions, but for notifications.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::leases::{EVENTS_CHANNEL, LANES_CHANNEL};

/// No statement of a lane takes long. Without an answer for so long the connection counts as lost.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(10);
/// The same for the leases' connection: it has to be replaced before they run out.
const LEASES_DEADLINE: Duration = Duration::from_secs(2);
/// The server ends a session of a relay that hangs, so that notifications do not pile up for it.
const SILENCE_ALLOWED_MS: u64 = 30_000;

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error("the connection was closed")]
    Closed,
}

/// Bounds a statement of a lane.
pub(super) async fn in_time<T>(
    statement: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, ConnectionError> {
    Ok(tokio::time::timeout(STATEMENT_DEADLINE, statement).await??)
}

/// Opens a lane's connection.
pub(super) async fn connect_lane(
    options: &PgConnectOptions,
    service: &str,
) -> Result<PgConnection, ConnectionError> {
    let options = reachable(options, service).options([
        // A deletion that is lost when the server crashes only means that a record is sent again. Neither is anything else at
        // stake: rows that are set aside or taken out of the way are back in the outbox then, and an operator's decision, which
        // does wait for the disk, makes what was committed before it last as well.
        ("synchronous_commit", "off"),
        // The table is mostly empty or mostly full, and statistics are always about the other case. The rows are wanted from
        // the lowest number on, and only the primary key's index gives them without looking at the rest.
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_sort", "off"),
        ("jit", "off"),
        // Planned once. To plan for the rows at hand costs more than it takes to read and delete a few of them, and a third of
        // what it takes for a thousand; the executor finds the lane's partition without it.
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    in_time(options.connect()).await
}

/// Closes a lane's connection in order, if the server lets us.
pub(super) async fn close(connection: PgConnection) {
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
}

/// The connection with which a relay keeps its leases, looks for rows, and listens: one for all, so that a connection that is
/// gone without a word is noticed by the next renewal.
#[derive(Debug)]
pub(super) struct Control(PgListener);

impl Control {
    pub(super) async fn connect(options: &PgConnectOptions, service: &str) -> Result<Self, ConnectionError> {
        let options = reachable(options, service).options([
            ("idle_session_timeout", SILENCE_ALLOWED_MS.to_string().as_str()),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ]);
        let connect = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_with(options)
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.ignore_pool_close_event(true);
            listener.eager_reconnect(false);
            listener.listen_all([EVENTS_CHANNEL, LANES_CHANNEL]).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        Ok(Self(tokio::time::timeout(LEASES_DEADLINE, connect).await??))
    }

    /// Runs a statement, bounded in time.
    pub(super) async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut PgListener) -> sqlx::Result<T>,
    ) -> Result<T, ConnectionError> {
        Ok(tokio::time::timeout(LEASES_DEADLINE, statement(&mut self.0)).await??)
    }

    /// Waits for a notification. May be dropped at any time without losing one.
    pub(super) async fn notified(&mut self) -> Result<PgNotification, ConnectionError> {
        self.0.try_recv().await?.ok_or(ConnectionError::Closed)
    }
}

fn reachable(options: &PgConnectOptions, service: &str) -> PgConnectOptions {
    options
        .clone()
        .application_name(&format!("{service} relay"))
        .options([
            // So that the server notices a vanished host within seconds.
            ("tcp_keepalives_idle", "2"),
            ("tcp_keepalives_interval", "1"),
            ("tcp_keepalives_count", "3"),
        ])
}
