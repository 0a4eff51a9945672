//! What the workers of a member share, and the way of what they take up.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt as _, poll};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, PgTransaction};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::Resources;
use super::batch::{Drain, Item};
use super::breaker::Breakers;
use super::envelope::Envelope;
use super::failure::Failure;
use super::group::ConsumerGroup;
use super::handler::Handler;
use super::holds::{Holds, Stopped};
use super::kept::Kept;
use super::metrics::Metrics;
use super::publisher::Publisher;
use super::record::Record;
use super::shortcut::Shortcut;
use super::watermarks::Aggregate;
use super::worker::Begun;
use crate::headers::TRACEPARENT;
use crate::trace::parse_traceparent;
use crate::{Clock, SchemaRegistry};

/// What the runtime's own statements may take together, beside the handler's.
pub(crate) const BOOKKEEPING_DEADLINE: Duration = Duration::from_secs(15);

/// A statement outside a transaction. Longer than a pool waits for a connection, because a wait that is given up in the middle can
/// cost the pool one.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(45);

/// A database that works answers far sooner.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// What all workers of one member share.
#[derive(Debug)]
pub(crate) struct Runtime<H> {
    pub(crate) group: ConsumerGroup,
    pub(crate) handler: H,
    pub(crate) pool: PgPool,
    pub(crate) registry: SchemaRegistry,
    pub(crate) clock: Clock,
    pub(crate) publisher: Publisher,
    pub(crate) holds: Arc<Holds>,
    pub(crate) breakers: Breakers,
    pub(crate) metrics: Metrics,
    /// To move a batch's watermarks without a look at where they are.
    pub(crate) shortcut: Shortcut,
}

/// How work on a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Settled(Settled),
    /// It failed, and is on a retry tier or among the dead letters now.
    SentOn,
}

/// How a record was settled without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// By the handler; `drain` when a parked event's turn has come with it.
    Applied { drain: bool },
    /// It had been applied before.
    Duplicate,
    /// It waits in the database for an earlier event.
    Parked,
    /// There is nothing to apply.
    PassedOver,
}

impl<H: Handler> Runtime<H> {
    /// Settles records that were read from topics, or sends them on. Those that are told to stop before that are left as they are.
    pub(crate) async fn process(&self, begun: &[Begun<'_>], kept: &mut Kept) {
        let mut batch = Vec::with_capacity(begun.len());
        for begun in begun {
            let (record, span) = (begun.record(), span(begun.record(), &self.group.name));
            let admitted = self.admit(record, begun.stop()).instrument(span.clone());
            match admitted.await {
                Ok(Some(envelope)) => batch.push(Item::begun(begun, envelope, span)),
                Ok(None) => begun.finish(true),
                Err(Stopped) => {}
            }
        }
        let batch = self.claim(batch).await;
        let drains = self.settle_all(batch, kept).await.drains;
        if !drains.is_empty() {
            kept.give_back();
        }
        for Drain { topic, key, stop } in drains {
            // The records themselves are done: what is left to drain is not lost when this stops.
            let _ = self.drain(&topic, &key, stop).await;
        }
    }

    /// What is known about a record that is to be applied; none when it says too little for that, and is dead.
    pub(crate) async fn admit(
        &self,
        record: &Record,
        stop: &CancellationToken,
    ) -> Result<Option<Envelope>, Stopped> {
        match Envelope::read(record, &self.group.name, &self.group.topics) {
            Ok(envelope) => Ok(Some(envelope)),
            Err(error) => {
                let failure = Failure::dead("envelope", error.to_string());
                let envelope = Envelope::first(record);
                // On the heap, because what this rarely waits for is large, and all of it would be copied for every record.
                Box::pin(self.fail(record, &envelope, &failure, stop)).await?;
                Ok(None)
            }
        }
    }

    pub(crate) async fn database_answers(&self) -> bool {
        let probe = sqlx::query("select").execute(&self.pool);
        matches!(timeout(PROBE_DEADLINE, probe).await, Ok(Ok(_)))
    }

    /// What its member works with, for what is done beside its records.
    pub(crate) fn resources(&self) -> Resources {
        Resources {
            pool: self.pool.clone(),
            kafka: self.publisher.kafka().clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Repeats a statement of the runtime's own until it succeeds: whatever is wrong with our tables is no record's fault.
    pub(crate) async fn held<T, F>(
        &self,
        stop: &CancellationToken,
        statement: impl Fn() -> F,
    ) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send,
    {
        let mut hold = self.holds.step(stop);
        loop {
            match bounded(statement()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => hold.wait(&failure.to_string()).await?,
            }
        }
    }

    pub(crate) fn aggregate<'a>(&'a self, topic: &'a str, key: &'a str) -> Aggregate<'a> {
        Aggregate {
            group: &self.group.name,
            topic,
            key,
        }
    }

    /// One call of a handler's step, within the group's deadline and with its panic caught.
    pub(crate) async fn guarded<T>(
        &self,
        step: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        guarded(self.group.handler_deadline, step).await
    }

    /// Begins a transaction in which no statement, lock or pause outlasts the handler's deadline. A deadline on our side alone
    /// would leave the statement, and with it the locks, to the server.
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.pool.begin_with(self.begin_statement()).await
    }

    /// The same on a connection that is there already.
    pub(crate) async fn begin_on<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<PgTransaction<'c>, sqlx::Error> {
        connection.begin_with(self.begin_statement()).await
    }

    fn begin_statement(&self) -> AssertSqlSafe<String> {
        let deadline = self.group.handler_deadline.as_millis();
        AssertSqlSafe(format!(
            "begin; set local statement_timeout = {deadline}; set local lock_timeout = {}; \
             set local idle_in_transaction_session_timeout = {}",
            (deadline / 2).max(1),
            deadline * 2,
        ))
    }
}

/// A statement of the runtime's own, within its deadline.
pub(crate) async fn bounded<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>> + Send,
) -> Result<T, Failure> {
    match timeout(STATEMENT_DEADLINE, statement).await {
        Ok(answer) => answer.map_err(Failure::bookkeeping),
        Err(_) => Err(Failure::infrastructure("the database does not answer")),
    }
}

/// A handler's step within a deadline, and with its panic caught.
pub(crate) async fn guarded<T>(
    deadline: Duration,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut step = pin!(AssertUnwindSafe(step).catch_unwind());
    let ended = match poll!(&mut step) {
        // Most have nothing to wait for, and need no timer.
        Poll::Ready(ended) => Ok(ended),
        Poll::Pending => timeout(deadline, step).await,
    };
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Failure::dead("panic", panic_message(&*panic))),
        Err(_) => Err(Failure::retry(format!("the handler took longer than {deadline:?}")).class("deadline")),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", message.unwrap_or("without a message"))
}

/// A span for a record, linked to the context in which its event was created: that trace is over, and one of its own per
/// consumer keeps it readable.
fn span(record: &Record, group: &str) -> tracing::Span {
    let span = tracing::info_span!(
        "process",
        otel.kind = "consumer",
        otel.name = %format_args!("process {}", record.place.topic),
        messaging.system = "kafka",
        messaging.operation.type = "process",
        messaging.destination.name = &*record.place.topic,
        messaging.destination.partition.id = record.place.partition,
        messaging.kafka.offset = record.place.offset,
        messaging.consumer.group.name = group,
        messaging.kafka.message.key = record.key_text(),
    );
    if span.is_disabled() {
        return span;
    }
    let created = record.headers.readable.text(TRACEPARENT);
    if let Some(context) = created.and_then(parse_traceparent) {
        span.add_link(context);
    }
    span
}
