//! What a service tells the platform about itself.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;

use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::Rehearsal;
use serde::de::DeserializeOwned;
use sqlx::migrate::Migrator;

use crate::client::ClientError;
use crate::context::Context;
use crate::tasks::TaskFailure;

/// A service: `fn main() -> ExitCode { platform::start::<ThisService>() }` is all of its `main.rs`.
pub trait Service: 'static {
    /// Its name, `payment-gateway`: in traces, metrics, the database's list of clients; `PAYMENT_GATEWAY__` begins its
    /// environment variables.
    const NAME: &'static str;
    /// Whether it writes events: then it has the subcommand `outbox`.
    const OUTBOX: bool;
    /// Its own configuration sections, with `#[serde(deny_unknown_fields)]`; the common ones are in [`Context::common`].
    type Config: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static;

    /// Its migrations, which `migrate` runs after those of `eventing`.
    fn migrations() -> Migrator;

    /// The consumer groups that it runs: then it has the subcommand `dead-letters`.
    fn groups() -> Vec<ConsumerGroup> {
        Vec::new()
    }

    /// The handlers of its groups, for `dead-letters preflight`: see [`eventing::dead_letters::rehearsal`].
    fn rehearsals(
        config: &Self::Config,
        resources: &Resources,
    ) -> Result<Vec<Box<dyn Rehearsal>>, ServeError> {
        let _ = (config, resources);
        Ok(Vec::new())
    }

    /// Starts its tasks, then serves until shutdown: it usually ends with [`Context::serve_http`].
    fn serve(service: Context<Self::Config>) -> impl Future<Output = Result<(), ServeError>> + Send;
}

/// Why a service did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port is taken, or the address is not ours.
    #[error("cannot listen on {address} (configured as `{key}`): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting it comes from.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A client for outgoing calls could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A task ended that must not.
    #[error(transparent)]
    Task(#[from] TaskFailure),
    /// The service was told to end before it had started.
    #[error("told to end before the service had started")]
    ShutDown,
    /// Anything else the service needs to start.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

impl ServeError {
    /// Wraps any other failure: `.map_err(ServeError::other)?`.
    pub fn other(failure: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(failure.into())
    }
}
