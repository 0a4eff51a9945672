//! A consumer group at work: three kinds of handler over the same events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use eventing::Clock;
use eventing::consumer::{
    Consumer, ConsumerGroup, CopiedInto, CopiedRows, Delivery, Failure, Handler, Resources,
};
use schemas::Event;
use schemas::catalogue::PAYMENTS;
use schemas::payment::PaymentEvent;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::{Place, found, ready, registry, runtime, until_told_to_end};
use crate::commands::consume::{BATCH_ROWS, GROUP, WORKERS};
use crate::load::tables::{self, Booked};

/// Whatever the machine, a run that takes longer has gone wrong.
const DONE_WITHIN: Duration = Duration::from_mins(10);
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    events: u64,
    #[arg(long)]
    prefix: String,
}

/// How a handler writes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// One INSERT of its own per event, in order.
    OwnInsert,
    /// Rows that are collected and inserted together, in order.
    Collecting,
    /// Wide rows by COPY, in any order, on one connection.
    Batch,
    /// Rows that are collected, in any order, until told to end: for replayed dead letters.
    Serving,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let progress = Progress::default();
        let topics = [PAYMENTS.name];
        match self.kind {
            Kind::OwnInsert => {
                let group = ConsumerGroup::ordered(GROUP, topics).workers(WORKERS);
                self.consume(place, group, OwnInsert(progress.clone()), &progress, "booked")
            }
            Kind::Collecting => {
                let group = ConsumerGroup::ordered(GROUP, topics).workers(WORKERS);
                self.consume(place, group, Collecting(progress.clone()), &progress, "booked")
            }
            Kind::Batch => {
                let group = ConsumerGroup::unordered(GROUP, topics)
                    .workers(1)
                    .batch(BATCH_ROWS);
                self.consume(place, group, Batch(progress.clone()), &progress, "wide")
            }
            Kind::Serving => self.serve(
                place,
                ConsumerGroup::unordered(GROUP, topics),
                Collecting(progress),
            ),
        }
    }

    /// Runs the group until told to end.
    fn serve<H: Handler>(&self, place: &Place, group: ConsumerGroup, handler: H) -> Result<()> {
        let runtime = runtime("consumer")?;
        let pool = runtime.block_on(place.pool(u32::try_from(group.workers)? + 4))?;
        let consumer = Consumer::new(group, handler, self.resources(place, &pool)?);
        ready()?;
        runtime.block_on(consumer.run(until_told_to_end()))?;
        found(&json!({}))
    }

    fn resources(&self, place: &Place, pool: &PgPool) -> Result<Resources> {
        Ok(Resources {
            registry: registry(pool)?,
            kafka: place.kafka(&self.prefix),
            clock: Clock::system(),
            pool: pool.clone(),
        })
    }

    /// Runs the group until the table has every event, and says how long that took from the first event's `apply` on.
    fn consume<H: Handler>(
        &self,
        place: &Place,
        group: ConsumerGroup,
        handler: H,
        progress: &Progress,
        table: &str,
    ) -> Result<()> {
        let runtime = runtime("consumer")?;
        let connections = u32::try_from(group.workers)? + 4;
        let pool = runtime.block_on(place.pool(connections))?;
        let consumer = Consumer::new(group, handler, self.resources(place, &pool)?);
        ready()?;
        let stop = CancellationToken::new();
        let running = runtime.spawn(consumer.run(stop.clone()));
        let seconds = runtime.block_on(self.until_done(&pool, progress, table))?;
        stop.cancel();
        runtime.block_on(running)??;
        found(&json!({ "seconds": seconds, "flushes": progress.flushes() }))
    }

    async fn until_done(&self, pool: &PgPool, progress: &Progress, table: &str) -> Result<f64> {
        let asked = Instant::now();
        let count = format!("select count(*) from {table}");
        loop {
            tokio::time::sleep(LOOK).await;
            if asked.elapsed() > DONE_WITHIN {
                bail!("{} of {} events were applied", progress.applied(), self.events);
            }
            if progress.applied() < self.events || works(pool).await? {
                continue;
            }
            let begun = progress.begun().context("nothing was applied")?.elapsed();
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count.as_str()))
                .fetch_one(pool)
                .await?;
            if u64::try_from(rows)? >= self.events {
                return Ok(begun.as_secs_f64());
            }
        }
    }
}

/// Whether anyone's statement or transaction is under way: applied is not yet committed. Counting the rows takes longer than to ask.
async fn works(pool: &PgPool) -> Result<bool> {
    let works = sqlx::query_scalar(
        "select exists (
             select from pg_stat_activity
             where datname = current_database() and backend_type = 'client backend'
                 and state <> 'idle' and pid <> pg_backend_pid()
         )",
    );
    Ok(works.fetch_one(pool).await?)
}

/// How far the handler has come. Repetitions count, so this says only when it is worth asking the database.
#[derive(Debug, Clone, Default)]
struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    applied: AtomicU64,
    flushes: AtomicU64,
    begun: OnceLock<Instant>,
}

impl Progress {
    fn one_more(&self) {
        self.0.begun.get_or_init(Instant::now);
        self.0.applied.fetch_add(1, Ordering::Relaxed);
    }

    fn one_more_flush(&self) {
        self.0.flushes.fetch_add(1, Ordering::Relaxed);
    }

    fn applied(&self) -> u64 {
        self.0.applied.load(Ordering::Relaxed)
    }

    fn flushes(&self) -> u64 {
        self.0.flushes.load(Ordering::Relaxed)
    }

    fn begun(&self) -> Option<Instant> {
        self.0.begun.get().copied()
    }
}

fn payment(delivery: &Delivery) -> Result<&PaymentEvent, Failure> {
    match &delivery.event {
        Event::Payment(event) => Ok(event),
        _ => Err(Failure::dead("topic", "an event of another topic")),
    }
}

struct OwnInsert(Progress);

impl Handler for OwnInsert {
    type Prepared = ();
    type Rows = ();

    const PREPARES: bool = false;

    async fn prepare(&self, _delivery: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        (): &mut (),
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        self.0.one_more();
        Ok(tables::insert_one(tx, payment(delivery)?).await?)
    }
}

struct Collecting(Progress);

impl Handler for Collecting {
    type Prepared = ();
    type Rows = Booked;

    const PREPARES: bool = false;

    async fn prepare(&self, _delivery: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _tx: &mut PgConnection,
        rows: &mut Booked,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        self.0.one_more();
        rows.push(payment(delivery)?);
        Ok(())
    }

    async fn flush(&self, tx: &mut PgConnection, rows: Booked) -> Result<(), Failure> {
        self.0.one_more_flush();
        Ok(rows.insert(tx).await?)
    }
}

struct Batch(Progress);

static WIDE: CopiedInto = CopiedInto::new("wide", tables::WIDE);

impl Handler for Batch {
    type Prepared = ();
    type Rows = CopiedRows;

    const PREPARES: bool = false;

    async fn prepare(&self, _delivery: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _tx: &mut PgConnection,
        rows: &mut CopiedRows,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        self.0.one_more();
        let place = tables::Place {
            partition: i64::from(delivery.partition),
            offset: delivery.offset,
            recorded_at: delivery.recorded_at,
        };
        tables::widen(rows, payment(delivery)?, place).map_err(|error| Failure::dead("copy", error))
    }

    async fn flush(&self, tx: &mut PgConnection, rows: CopiedRows) -> Result<(), Failure> {
        self.0.one_more_flush();
        WIDE.write(tx, rows).await?;
        Ok(())
    }
}
