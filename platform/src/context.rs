//! What a running service works with.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use eventing::consumer::{Consumer, ConsumerGroup, Handler, Resources};
use eventing::{Clock, Condition, Outbox, Relay, SchemaRegistry};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::TokenVerifier;
use crate::client::{self, Client};
use crate::config::{Common, Settings};
use crate::health::{Health, Reporter};
use crate::http::{self, Bounds, Internal, Listener};
use crate::problem::Chain;
use crate::serve::DRAIN;
use crate::service::ServeError;
use crate::tasks::Tasks;

/// Pause between tries to learn the schemas' ids at the first start.
const REGISTRY_PAUSE: Duration = Duration::from_secs(1);

/// Everything a service is given: settings, database, clock, tasks, health. Cheap to clone, and fit as a router's state.
pub struct Context<C>(Arc<Inner<C>>);

struct Inner<C> {
    name: &'static str,
    settings: Settings<C>,
    pool: PgPool,
    registry: SchemaRegistry,
    clock: Clock,
    shutdown: CancellationToken,
    health: Health,
    start: Reporter,
    tasks: Tasks,
    tokens: TokenVerifier,
    internal: Internal,
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
        internal: Internal,
    ) -> Result<Self, ServeError> {
        let clock = Clock::system();
        let registry = SchemaRegistry::new(settings.common.registry.url.as_str(), pool.clone())
            .map_err(ServeError::other)?;
        let issuers = Client::new(
            "token-issuer",
            client::Settings {
                // Somebody's request waits for it.
                deadline: Duration::from_secs(5),
                max_retries: 1,
                ..client::Settings::default()
            },
        )?;
        let health = Health::default();
        Ok(Self(Arc::new(Inner {
            tokens: TokenVerifier::new(&settings.common.trust, &issuers, clock.clone()),
            tasks: Tasks::new(shutdown.clone()),
            start: health.register("service", Condition::Down("starting".to_owned())),
            name,
            settings,
            pool,
            registry,
            clock,
            shutdown,
            health,
            internal,
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

    /// The schema registry, whose answers are kept in the service's database.
    pub fn registry(&self) -> &SchemaRegistry {
        &self.0.registry
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

    /// A client for calls to `destination`, guarded by a breaker, with the platform's bounds. While its breaker is open, the
    /// health component of that name is degraded.
    pub fn http_client(&self, destination: &'static str) -> Result<Client, ServeError> {
        self.http_client_with(destination, client::Settings::default())
    }

    /// As [`Context::http_client`], with other bounds.
    pub fn http_client_with(
        &self,
        destination: &'static str,
        settings: client::Settings,
    ) -> Result<Client, ServeError> {
        let client = Client::new(destination, settings)?;
        self.health().watch(destination, client.breaker().condition());
        Ok(client)
    }

    /// The outbox, once its schemas are known. They are kept in the database; only the first start of a new schema asks the
    /// registry, and waits for it. A schema that is not registered ends the start.
    pub async fn outbox(&self) -> Result<Outbox, ServeError> {
        let shutdown = self.shutdown();
        let loading = async {
            loop {
                match Outbox::load(self.0.name, self.registry(), self.clock().clone()).await {
                    Ok(outbox) => return Ok(outbox),
                    Err(failure) if failure.is_not_found() => return Err(ServeError::other(failure)),
                    Err(failure) => {
                        tracing::warn!(error = %Chain(&failure), "the start waits for the schemas' ids");
                        self.0
                            .start
                            .down(format!("starting, waits for the schemas' ids: {failure}"));
                    }
                }
                tokio::time::sleep(REGISTRY_PAUSE).await;
            }
        };
        shutdown
            .run_until_cancelled(loading)
            .await
            .unwrap_or(Err(ServeError::ShutDown))
    }

    /// Runs the relay of this outbox beside the service, and its condition as the health component `relay`.
    pub fn spawn_relay(&self, outbox: &Outbox) {
        let relay = Relay::new(self.pool().clone(), self.common().kafka.clone(), outbox);
        self.health().watch("relay", relay.condition());
        self.spawn("relay", relay.run(self.shutdown()));
    }

    /// What consumers work with.
    pub fn resources(&self) -> Resources {
        Resources {
            pool: self.pool().clone(),
            kafka: self.common().kafka.clone(),
            registry: self.registry().clone(),
            clock: self.clock().clone(),
        }
    }

    /// Runs a member of this group beside the service, and its condition as the health component `consumer <group>`.
    pub fn spawn_consumer(&self, group: ConsumerGroup, handler: impl Handler) {
        let component = format!("consumer {}", group.name);
        let consumer = Consumer::new(group, handler, self.resources());
        self.health().watch(component, consumer.condition());
        self.spawn("consumer", consumer.run(self.shutdown()));
    }

    /// Serves `public` on `http.listen`, and opens the `internal` endpoints on `operations.listen` for who has the service
    /// token, until shutdown; then lets requests in work finish.
    pub async fn serve_http(&self, public: Router, internal: Router) -> Result<(), ServeError> {
        let address = self.common().http.listen;
        let bound = Listener::bind(address).await;
        let listener = bound.map_err(|source| ServeError::Listen {
            address,
            key: "http.listen",
            source,
        })?;
        self.0.internal.open(internal);
        tracing::info!(address = %listener.address(), "serving");
        self.0.start.up();
        let routes = http::guard(public, self.common().limits);
        let serving = http::run(listener, routes, self.shutdown(), Bounds::draining_within(DRAIN));
        let announcing = async {
            self.shutdown().cancelled().await;
            self.0.start.down("shutting down");
        };
        tokio::join!(serving, announcing);
        Ok(())
    }
}
