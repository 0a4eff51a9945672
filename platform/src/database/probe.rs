//! Whether the database answers, asked all the time on a connection of its own.
//!
//! Not through the pool: a pool that is busy is no reason to call the database down, and giving up on a pool's connection
//! half-way may lose it.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, PgPool};

use super::Expected;
use crate::health::Reporter;

const EVERY: Duration = Duration::from_secs(1);
/// Slower than this is as good as down for whoever waits for a request.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Reports the database's condition until shutdown.
pub(crate) async fn probe(
    pool: PgPool,
    expected: Expected,
    reporter: Reporter,
    shutdown: tokio_util::sync::CancellationToken,
) -> Result<(), Infallible> {
    let options = pool.connect_options();
    let mut connection = None;
    let asking = async {
        loop {
            let answer =
                tokio::time::timeout(ANSWERS_WITHIN, ask(&options, expected, connection.take())).await;
            match answer {
                Ok(Ok((kept, is_migrated))) => {
                    connection = Some(kept);
                    report_version(&reporter, is_migrated);
                }
                // What sqlx says names hosts and users, which is for operators; it never shows a password.
                Ok(Err(error)) => reporter.down(error.to_string()),
                Err(_) => reporter.down(format!("no answer within {ANSWERS_WITHIN:?}")),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    shutdown.run_until_cancelled(asking).await;
    Ok(())
}

async fn ask(
    options: &PgConnectOptions,
    expected: Expected,
    connection: Option<PgConnection>,
) -> Result<(PgConnection, bool), sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let is_migrated = expected.are_applied(&mut connection).await?;
    Ok((connection, is_migrated))
}

fn report_version(reporter: &Reporter, is_migrated: bool) {
    if is_migrated {
        reporter.up();
    } else {
        reporter.down("the database is not at this version yet: run the subcommand migrate");
    }
}
