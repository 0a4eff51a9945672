//! What a running service works with.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use eventing::{Clock, Outbox, Relay, SchemaRegistry};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::TokenVerifier;
use crate::client::{self, Client};
use crate::config::{Common, Settings};
use crate::health::Health;
use crate::http;
use crate::service::ServeError;
use crate::tasks::Tasks;

/// Everything a service is given: settings, database, clock, tasks, health. Cheap to clone, and fit as a router's state.
pub struct Context<C>(Arc<Inner<C>>);

struct Inner<C> {
    name: &'static str,
    registry: SchemaRegistry,
    settings: Settings<C>,
    pool: PgPool,
    clock: Clock,
    shutdown: CancellationToken,
    health: Health,
    tasks: Tasks,
    tokens: TokenVerifier,
}

impl<C> Clone for Context<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Context<C> {
    pub(crate) fn new(
        name: &'static str,
        settings: Settings<C>,
        pool: PgPool,
        shutdown: CancellationToken,
    ) -> Result<Self, ServeError> {
        let clock = Clock::system();
        let issuers = Client::new(
            "token-issuer",
            client::Settings {
                deadline: std::time::Duration::from_secs(5),
                max_retries: 1,
                ..client::Settings::default()
            },
        )?;
        let tokens = TokenVerifier::new(&settings.common.trust, &issuers, clock.clone());
        let tasks = Tasks::new(shutdown.clone());
        let registry = SchemaRegistry::new(settings.common.registry.url.as_str(), pool.clone())
            .map_err(ServeError::other)?;
        Ok(Self(Arc::new(Inner {
            name,
            registry,
            settings,
            pool,
            clock,
            shutdown,
            health: Health::default(),
            tasks,
            tokens,
        })))
    }

    /// The service's own settings.
    pub fn config(&self) -> &C {
        &self.0.settings.own
    }

    /// The settings that every service has.
    pub fn common(&self) -> &Common {
        &self.0.settings.common
    }

    /// The service's database.
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// The clock; nobody else tells the time.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Cancelled when the service is to end.
    pub fn shutdown(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }

    /// Where components report how they are.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// The tasks, for those who start some without knowing the rest of the context.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Verifies Bearer tokens of the trusted issuers.
    pub fn tokens(&self) -> TokenVerifier {
        self.0.tokens.clone()
    }

    /// Runs a task for as long as the service: see [`Tasks::spawn`].
    pub fn spawn<E>(&self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.0.tasks.spawn(name, task);
    }

    /// Runs something short that must outlive the request which started it: see [`Tasks::own`].
    pub fn own<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.tasks.own(work)
    }

    /// The schema registry, whose answers are kept in the service's database.
    pub fn registry(&self) -> &SchemaRegistry {
        &self.0.registry
    }

    /// The outbox, once its schemas are known: the first start needs the registry and waits for it.
    pub async fn outbox(&self) -> Result<Outbox, ServeError> {
        Outbox::load(self.0.name, self.registry(), self.clock().clone())
            .await
            .map_err(ServeError::other)
    }

    /// Runs the relay of this outbox beside the service, and its condition as the health component `relay`.
    pub fn spawn_relay(&self, outbox: &Outbox) {
        let relay = Relay::new(self.pool().clone(), self.common().kafka.clone(), outbox);
        self.health().watch("relay", relay.condition());
        self.spawn("relay", relay.run(self.shutdown()));
    }

    /// A client for calls to `destination`, guarded by a breaker, with the platform's bounds.
    pub fn http_client(&self, destination: &'static str) -> Result<Client, ServeError> {
        Ok(Client::new(destination, client::Settings::default())?)
    }

    /// Serves `public` on `http.listen`, and health, metrics and `internal` (which asks for the service token) on
    /// `operations.listen`, until shutdown.
    pub async fn serve_http(&self, public: Router, internal: Router) -> Result<(), ServeError> {
        let common = self.common();
        let listen = async |address, key| {
            let bound = http::Listener::bind(address).await;
            bound.map_err(|source| ServeError::Listen { address, key, source })
        };
        let public_listener = listen(common.http.listen, "http.listen").await?;
        let operations_listener = listen(common.operations_listen(), "operations.listen").await?;
        tracing::info!(
            public = %public_listener.address(),
            operations = %operations_listener.address(),
            "listening"
        );
        let internal = http::operations_router(
            internal,
            self.health().clone(),
            common.operations.service_token.clone(),
        );
        let public = http::guard(public, common.limits);
        let internal = http::guard(internal, common.limits);
        let drained = CancellationToken::new();
        let serve_public = async {
            let served = http::run(public_listener, public, self.shutdown(), crate::start::DRAIN).await;
            drained.cancel();
            served
        };
        // Operators see the service until its last request is answered.
        let serve_operations = http::run(
            operations_listener,
            internal,
            drained.clone(),
            std::time::Duration::from_secs(1),
        );
        tokio::try_join!(serve_public, serve_operations).map_err(ServeError::Http)?;
        Ok(())
    }
}
