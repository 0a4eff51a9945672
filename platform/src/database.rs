//! The service's own PostgreSQL: how to connect, which failures are the database's and not ours, and when to try again.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};
use url::Url;

mod migrations;
mod probe;

pub(crate) use migrations::{Expected, migrate};
pub(crate) use probe::probe;

use crate::config::Database;
use crate::pauses::Pauses;

/// A statement that takes longer is cancelled by the server: nothing we run on a request takes this long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A lock not had by then means that something else is stuck.
const LOCK_TIMEOUT: Duration = Duration::from_secs(8);
/// A transaction that does nothing for this long is ended by the server, with its locks.
const IDLE_TRANSACTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a request waits for a free connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections kept open while nobody needs them: opening one costs a few milliseconds of password hashing, which would come
/// just when there is a rush.
const MIN_CONNECTIONS: u32 = 4;
/// How often a transaction is tried that conflicts with others.
const CONFLICT_TRIES: u32 = 5;

/// The configured URL cannot be used. The text never shows the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
#[error("configuration: expected a URL like postgres://user@host/name for key `database.url`")]
pub struct UrlError;

/// A pool that connects when it is first used, so that a service starts while its database is away.
pub fn pool(service: &str, database: &Database) -> Result<PgPool, UrlError> {
    let milliseconds = |bound: Duration| bound.as_millis().to_string();
    let options = connect_options(service, database)?.options([
        ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
        ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(IDLE_TRANSACTION_TIMEOUT),
        ),
    ]);
    Ok(PgPoolOptions::new()
        .min_connections(MIN_CONNECTIONS.min(database.max_connections))
        .max_connections(database.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// The configured database, under the service's name.
fn connect_options(service: &str, database: &Database) -> Result<PgConnectOptions, UrlError> {
    let url: Url = database.url.expose_secret().parse().map_err(|_| UrlError)?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(UrlError);
    }
    let options = PgConnectOptions::from_url(&url).map_err(|_| UrlError)?;
    Ok(options.application_name(service))
}

/// Whether the failure says that the database is away or overloaded, rather than that the statement is wrong.
pub fn is_unavailable(failure: &sqlx::Error) -> bool {
    match failure {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(failure) => failure.code().is_some_and(|code| is_unavailable_code(&code)),
        _ => false,
    }
}

/// Connection exceptions, insufficient resources, operator intervention, conflicts, lock timeouts.
fn is_unavailable_code(code: &str) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57")
        || code == LOCK_NOT_AVAILABLE
        || is_conflict_code(code)
}

/// Serialization failure and deadlock: the transaction was rolled back whole, and may go through the next time.
fn is_conflict_code(code: &str) -> bool {
    matches!(code, "40001" | "40P01")
}

/// Whether a conflict with other transactions is among the causes of this failure.
pub fn is_conflict(failure: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        if code_of(error).is_some_and(|code| is_conflict_code(&code)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The SQLSTATE, if this is sqlx's error or, where a transparent error hides that one, its cause.
fn code_of<'a>(error: &'a (dyn Error + 'static)) -> Option<Cow<'a, str>> {
    match error.downcast_ref::<sqlx::Error>() {
        Some(error) => error.as_database_error()?.code(),
        None => error.downcast_ref::<Box<dyn DatabaseError>>()?.code(),
    }
}

/// Runs a transaction, from its `begin` to its `commit`, again while it conflicts with others, a few times.
///
/// `transaction` must have no effect beside its database transaction: it may run more than once.
pub async fn with_retries<T, E: Error + 'static>(
    mut transaction: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut pauses = Pauses::new(Duration::from_millis(10), Duration::from_millis(200));
    for _ in 1..CONFLICT_TRIES {
        match transaction().await {
            Err(failure) if is_conflict(&failure) => tokio::time::sleep(pauses.next()).await,
            done => return done,
        }
    }
    transaction().await
}
