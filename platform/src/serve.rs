//! Serving: a service from its first task to its last.

use std::time::Duration;

use eventing::Condition;
use eventing::dead_letters::Desk;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::context::Context;
use crate::database::{self, Expected};
use crate::http::operations::Operations;
use crate::http::{self, Bounds, Internal, Listener};
use crate::service::{ServeError, Service};

/// How long requests in work may take to finish once shutdown has begun.
pub(crate) const DRAIN: Duration = Duration::from_secs(15);
/// How long tasks may take after that.
const FINISH: Duration = Duration::from_secs(10);
/// How long an operator's request may take to finish at the very end.
const DRAIN_OPERATIONS: Duration = Duration::from_secs(1);

/// Runs the service until a signal or the end of one of its tasks, and ends it in order: requests, tasks, connections.
pub(crate) async fn serve<S: Service>(settings: Settings<S::Config>) -> Result<(), ServeError> {
    let pool = database::pool(S::NAME, &settings.common.database).map_err(ServeError::other)?;
    let operations = listen_for_operators(&settings).await?;
    let shutdown = CancellationToken::new();
    let signals = Signals::install().map_err(ServeError::other)?;
    // Ends with this function; it is not among the tasks, because it is needed until they have ended.
    let mut watching = JoinSet::new();
    watching.spawn(signals.watch(shutdown.clone()));
    let internal = Internal::default();
    let context = Context::new(S::NAME, settings, pool, shutdown.clone(), internal.clone())?;

    let ended = CancellationToken::new();
    let routes = Operations {
        service: S::NAME,
        address: operations.address(),
        settings: context.common().operations.clone(),
        health: context.health().clone(),
        tokens: context.tokens(),
        internal,
        desks: S::groups()
            .iter()
            .map(|group| Desk::new(group, &context.resources()))
            .collect(),
        clock: context.clock().clone(),
    };
    let routes = routes.routes().map_err(ServeError::other)?;
    let routes = http::guard(routes, context.common().limits);
    // Operators see the service until its last task has ended.
    let serve_operators = http::run(
        operations,
        routes,
        ended.clone(),
        Bounds::draining_within(DRAIN_OPERATIONS),
    );
    let serve_service = async {
        let outcome = run::<S>(&context).await;
        ended.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(serve_service, serve_operators);
    context.pool().close().await;
    outcome
}

async fn run<S: Service>(context: &Context<S::Config>) -> Result<(), ServeError> {
    let starting = Condition::Down("the database was not asked yet".to_owned());
    let reporter = context.health().register("database", starting);
    let expected = Expected::new(&S::migrations());
    context.spawn(
        "database probe",
        database::probe(context.pool().clone(), expected, reporter, context.shutdown()),
    );
    let served = S::serve(context.clone()).await;
    context.shutdown().cancel();
    if !context.tasks().finish(FINISH).await {
        tracing::warn!("tasks were still running when the time to finish them was over");
    }
    // A task's failure came first: it is what made the service stop.
    if let Some(failure) = context.tasks().take_failure() {
        return Err(failure.into());
    }
    match served {
        Err(ServeError::ShutDown) => Ok(()),
        served => served,
    }
}

async fn listen_for_operators<C>(settings: &Settings<C>) -> Result<Listener, ServeError> {
    let address = settings.common.operations_listen();
    let bound = Listener::bind(address).await;
    let listener = bound.map_err(|source| ServeError::Listen {
        address,
        key: "operations.listen",
        source,
    })?;
    tracing::info!(address = %listener.address(), "listening for operators");
    Ok(listener)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Self, std::io::Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal begins an orderly shutdown; a second one means now.
    async fn watch(mut self, shutdown: CancellationToken) {
        self.next().await;
        tracing::info!("shutting down");
        shutdown.cancel();
        self.next().await;
        tracing::warn!("ending at once, on a second signal");
        std::process::exit(1);
    }
}
