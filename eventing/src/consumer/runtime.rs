//! What happens to one record, from its bytes to its outcome.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, PgTransaction};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::Resources;
use super::breaker::{Breakers, Judged};
use super::claims;
use super::decode::decode;
use super::envelope::Envelope;
use super::failure::{Failure, Kind};
use super::group::{ConsumerGroup, Ordering};
use super::handler::{Delivery, Handler};
use super::holds::{Holds, Stopped};
use super::metrics::Metrics;
use super::publisher::Publisher;
use super::record::Record;
use crate::headers::TRACEPARENT;
use crate::trace::parse_traceparent;
use crate::{Clock, SchemaRegistry};

/// What the runtime's own statements may take together, beside the handler's.
const BOOKKEEPING_DEADLINE: Duration = Duration::from_secs(15);

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
    /// Settles a record that was read from a topic. `Err` when it was told to stop before that.
    pub(crate) async fn process(&self, record: &Record, stop: &CancellationToken) -> Result<(), Stopped> {
        let span = span(record, &self.group.name);
        async {
            match Envelope::read(record, &self.group.name, &self.group.topics) {
                Ok(envelope) => self.process_known(record, &envelope, stop).await,
                Err(error) => {
                    let failure = Failure::dead("envelope", error.to_string());
                    self.fail(record, &Envelope::first(record), &failure, stop).await
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn process_known(
        &self,
        record: &Record,
        envelope: &Envelope,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        if !self.counts(record, envelope, stop).await? {
            tracing::info!(copy = %record.place, "passing over a further copy of a replayed letter");
            return Ok(());
        }
        let end = self.settle(record, envelope, stop).await?;
        if end == End::Settled(Settled::Applied { drain: true })
            && let Some(key) = record.key_text()
        {
            // The record itself is done: what is left to drain is not lost when this stops.
            let _ = self.drain(&envelope.origin.topic, key, stop).await;
        }
        Ok(())
    }

    /// Settles a record, or sends it on if it fails.
    pub(crate) async fn settle(
        &self,
        record: &Record,
        envelope: &Envelope,
        stop: &CancellationToken,
    ) -> Result<End, Stopped> {
        let started = Instant::now();
        let end = loop {
            let admission = self.breakers.admit(record, stop).await?;
            let settled = self.try_until_it_is_its_own_fault(record, envelope, stop).await?;
            match self.judge(record, envelope, admission, settled, stop).await? {
                Judged::Ended(end) => break end,
                Judged::Held => {}
            }
        };
        self.note_replay(envelope, end, stop).await?;
        self.metrics
            .record(&envelope.origin.topic, end, started.elapsed());
        Ok(end)
    }

    /// Tries a record until it is settled, or fails for a reason that is its own.
    async fn try_until_it_is_its_own_fault(
        &self,
        record: &Record,
        envelope: &Envelope,
        stop: &CancellationToken,
    ) -> Result<Result<Settled, Failure>, Stopped> {
        let mut hold = self.holds.step(stop);
        loop {
            match self.blamed(self.attempt(record, envelope).await).await {
                Err(failure) if failure.kind() == Kind::Infrastructure => {
                    hold.wait(&failure.to_string()).await?;
                }
                settled => return Ok(settled),
            }
        }
    }

    /// A handler that took too long may have waited for a database that does not answer, which is not its record's fault.
    async fn blamed(&self, attempt: Result<Settled, Failure>) -> Result<Settled, Failure> {
        match attempt {
            Err(failure) if failure.is_overdue() && !self.database_answers().await => Err(
                Failure::infrastructure(format!("the database does not answer: {failure}")),
            ),
            attempt => attempt,
        }
    }

    async fn database_answers(&self) -> bool {
        let probe = sqlx::query("select").execute(&self.pool);
        matches!(timeout(PROBE_DEADLINE, probe).await, Ok(Ok(_)))
    }

    /// One attempt at a record.
    async fn attempt(&self, record: &Record, envelope: &Envelope) -> Result<Settled, Failure> {
        let topic = &envelope.origin.topic;
        let event = decode(record, topic, &self.registry, self.group.bounds()).await?;
        let delivery = Delivery {
            topic: topic.clone(),
            partition: envelope.origin.partition,
            offset: envelope.origin.offset,
            recorded_at: envelope.recorded_at,
            key: event.aggregate_key(),
            sequence: event.sequence(),
            attempt: envelope.attempts.saturating_add(1),
            replay: envelope.replay.clone(),
            event,
        };
        match self.group.ordering {
            Ordering::PerKey => self.apply_in_order(record, &delivery).await,
            Ordering::Unordered => self.apply_unordered(&delivery).await,
        }
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

    /// Whether this copy of a replayed letter counts. Other records always do.
    async fn counts(
        &self,
        record: &Record,
        envelope: &Envelope,
        stop: &CancellationToken,
    ) -> Result<bool, Stopped> {
        let Some(replay) = &envelope.replay else {
            return Ok(true);
        };
        self.held(stop, || async move {
            let now = self.clock.now();
            claims::claim(
                &self.pool,
                &self.group.name,
                replay,
                envelope.attempts,
                &record.place,
                now,
            )
            .await
        })
        .await
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

    pub(crate) async fn prepare(&self, delivery: &Delivery) -> Result<H::Prepared, Failure> {
        guarded(self.group.handler_deadline, async {
            self.handler.prepare(delivery).await
        })
        .await
    }

    pub(crate) async fn apply(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery,
        prepared: &H::Prepared,
    ) -> Result<(), Failure> {
        let mut rows = H::Rows::default();
        guarded(self.group.handler_deadline, async {
            self.handler.apply(tx, &mut rows, delivery, prepared).await
        })
        .await?;
        guarded(self.group.handler_deadline, async {
            self.handler.flush(tx, rows).await
        })
        .await
    }

    /// Begins a transaction in which no statement, lock or pause outlasts the handler's deadline. A deadline on our side alone
    /// would leave the statement, and with it the locks, to the server.
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        let deadline = self.group.handler_deadline.as_millis();
        let begin = format!(
            "begin; set local statement_timeout = {deadline}; set local lock_timeout = {}; \
             set local idle_in_transaction_session_timeout = {}",
            (deadline / 2).max(1),
            deadline * 2,
        );
        self.pool.begin_with(AssertSqlSafe(begin)).await
    }

    /// The deadline over a whole transaction, for a database that does not answer at all.
    pub(crate) async fn in_time<T>(
        &self,
        transaction: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(self.group.handler_deadline + BOOKKEEPING_DEADLINE, transaction)
            .await
            .unwrap_or_else(|_| Err(Failure::infrastructure("the database does not answer")))
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

/// A handler's step within its deadline, and with its panic caught.
pub(crate) async fn guarded<T>(
    deadline: Duration,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match timeout(deadline, AssertUnwindSafe(step).catch_unwind()).await {
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
        otel.name = format!("process {}", record.place.topic),
        messaging.system = "kafka",
        messaging.operation.type = "process",
        messaging.destination.name = record.place.topic,
        messaging.destination.partition.id = record.place.partition,
        messaging.kafka.offset = record.place.offset,
        messaging.consumer.group.name = group,
        messaging.kafka.message.key = record.key_text(),
    );
    if let Some(context) = record
        .headers
        .readable
        .text(TRACEPARENT)
        .and_then(parse_traceparent)
    {
        span.add_link(context);
    }
    span
}
