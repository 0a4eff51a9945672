//! The service's own PostgreSQL: pool, readiness, and which failures are the database's and not ours.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config::Database;

/// A statement that takes longer is cancelled by the server: nothing we run on a request takes this long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A lock not had by then means that something else is stuck.
const LOCK_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a request waits for a free connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The configured URL cannot be used. The text never shows the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
#[error("configuration: expected a URL like postgres://user@host/name for key `database.url`")]
pub struct UrlError;

/// A pool that connects when it is first used, so that a service starts while its database is away.
pub fn pool(service: &str, database: &Database) -> Result<PgPool, UrlError> {
    let options = connect_options(service, database)?;
    Ok(PgPoolOptions::new()
        .max_connections(database.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// How the service connects: named, and with bounds on statements and locks.
pub fn connect_options(service: &str, database: &Database) -> Result<PgConnectOptions, UrlError> {
    let options: PgConnectOptions = database.url.expose_secret().parse().map_err(|_| UrlError)?;
    let milliseconds = |bound: Duration| bound.as_millis().to_string();
    Ok(options.application_name(service).options([
        ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
        ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
    ]))
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

/// Connection exceptions, insufficient resources, operator intervention, serialization failures, deadlocks, lock timeouts.
fn is_unavailable_code(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57")
        || matches!(code, "40001" | "40P01" | "55P03")
}
