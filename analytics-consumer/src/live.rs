//! Tells the open dashboards that there is something new.
//!
//! One task asks the database for the number of arrivals, a few times a second and only while a dashboard is open, so
//! that a hundred dashboards cost one query; every replica sees what any of them consumed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::store;

/// How many live sockets a replica serves at once: each may cost a few queries a second.
const MAX_SOCKETS: usize = 200;

/// Between two looks at the database: what a person takes for at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Between two looks while no dashboard is open, or the database does not answer.
const REST: Duration = Duration::from_secs(1);

/// The news that dashboards wait for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    position: watch::Sender<i64>,
    /// A permit each open socket.
    pub(crate) sockets: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            position: watch::Sender::new(0),
            sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
        }
    }
}

impl Live {
    /// Changes whenever an event has arrived.
    pub(crate) fn subscribe(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }
}

/// Watches the database for news until shutdown.
pub(crate) async fn watch(live: Live, pool: PgPool, shutdown: CancellationToken) -> Result<(), sqlx::Error> {
    loop {
        let pause = if live.position.receiver_count() == 0 {
            REST
        } else {
            match store::events::position(&pool).await {
                Ok(position) => {
                    live.position
                        .send_if_modified(|seen| std::mem::replace(seen, position) != position);
                    LOOK_EVERY
                }
                // The consumer's health tells about the database; a dashboard only waits.
                Err(_) => REST,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
