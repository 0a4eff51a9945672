//! The connection that a worker keeps while one batch follows another.
//!
//! A pool hands its connections out in turn, each with caches of its own at the server, and asks the server before and after whether
//! they are alive. Between two batches of a busy worker, that is for nothing.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::time::Instant;

/// After this it goes back to the pool in any case, which knows how old a connection may be.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// What a worker keeps; nothing at first, and whenever it has nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Kept(Option<Taken>);

/// A connection that was taken from the pool.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) connection: PoolConnection<Postgres>,
    since: Instant,
}

impl Kept {
    /// The connection that is kept, or one of the pool.
    pub(crate) async fn take(&mut self, pool: &PgPool) -> Result<Taken, sqlx::Error> {
        match self.0.take() {
            Some(taken) => Ok(taken),
            None => Ok(Taken {
                connection: pool.acquire().await?,
                since: Instant::now(),
            }),
        }
    }

    /// Keeps a connection on which nothing is left to do, as long as the pool has others for whoever wants one.
    pub(crate) fn keep(&mut self, taken: Taken, pool: &PgPool) {
        let has_others = pool.num_idle() > 0 || pool.size() < pool.options().get_max_connections();
        if has_others && taken.since.elapsed() < KEPT_FOR {
            self.0 = Some(taken);
        }
    }

    /// Before a wait for anything else.
    pub(crate) fn give_back(&mut self) {
        self.0 = None;
    }
}
