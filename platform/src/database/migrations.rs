//! Bringing a database to this version, and telling whether it is there.
//!
//! Two migrators share a service's database: eventing's, which keeps its tables and its account of migrations in the schema
//! `eventing`, and the service's own. Each takes sqlx's advisory lock on the database, so that two replicas that migrate at once
//! do it one after the other.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::config::Database;

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    #[error(transparent)]
    Url(#[from] super::UrlError),
    #[error("the database cannot be reached")]
    Connect(#[source] sqlx::Error),
    #[error("the database was not migrated")]
    Migrate(#[from] MigrateError),
}

/// Runs what is missing of eventing's migrations, then of the service's.
pub(crate) async fn migrate(
    service: &str,
    database: &Database,
    own: &Migrator,
) -> Result<(), MigrationError> {
    // Without the pool's bounds on statements: building an index takes as long as it takes.
    let options = super::connect_options(service, database)?;
    let mut connection = options.connect().await.map_err(MigrationError::Connect)?;
    eventing::MIGRATOR.run(&mut connection).await?;
    own.run(&mut connection).await?;
    tracing::info!(
        eventing = Expected::latest(&eventing::MIGRATOR),
        own = Expected::latest(own),
        "the database is at this version"
    );
    connection.close().await.map_err(MigrationError::Connect)
}

/// The migrations that this binary needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    eventing: i64,
    own: i64,
}

impl Expected {
    pub(crate) fn new(own: &Migrator) -> Self {
        Self {
            eventing: Self::latest(&eventing::MIGRATOR),
            own: Self::latest(own),
        }
    }

    fn latest(migrator: &Migrator) -> i64 {
        migrator
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or_default()
    }

    /// Whether the database has them all. A later version is fine: the next release migrates before it serves.
    pub(crate) async fn are_applied(self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let applied = sqlx::query_as(
            "select coalesce((select max(version) from eventing._sqlx_migrations where success), 0),
                    coalesce((select max(version) from _sqlx_migrations where success), 0)",
        )
        .fetch_one(connection)
        .await;
        match applied {
            Ok((eventing, own)) => {
                let (eventing, own): (i64, i64) = (eventing, own);
                Ok(eventing >= self.eventing && own >= self.own)
            }
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
            Err(error) => Err(error),
        }
    }
}
