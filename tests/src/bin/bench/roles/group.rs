//! A consumer group at work: three kinds of handler over the same events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use eventing::Clock;
use eventing::consumer::{Consumer, ConsumerGroup, Delivery, Failure, Handler, Resources};
use schemas::Event;
use schemas::catalogue::PAYMENTS;
use schemas::payment::PaymentEvent;
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::{Place, found, ready, registry, runtime, until_told_to_end};
use crate::commands::consume::{BATCH_ROWS, GROUP, WORKERS};
use crate::load::copy::Rows;
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
        found(&json!({ "seconds": seconds }))
    }

    async fn until_done(&self, pool: &PgPool, progress: &Progress, table: &str) -> Result<f64> {
        let asked = Instant::now();
        let count = format!("select count(*) from {table}");
        loop {
            tokio::time::sleep(LOOK).await;
            if asked.elapsed() > DONE_WITHIN {
                bail!("{} of {} events were applied", progress.applied(), self.events);
            }
            if progress.applied() < self.events {
                continue;
            }
            // Applied is not yet committed.
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count.as_str()))
                .fetch_one(pool)
                .await?;
            if u64::try_from(rows)? >= self.events {
                let begun = progress.begun().context("nothing was applied")?;
                return Ok(begun.elapsed().as_secs_f64());
            }
        }
    }
}

/// How far the handler has come. Repetitions count, so this says only when it is worth asking the database.
#[derive(Debug, Clone, Default)]
struct Progress(Arc<(AtomicU64, std::sync::OnceLock<Instant>)>);

impl Progress {
    fn one_more(&self) {
        self.0.1.get_or_init(Instant::now);
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    fn applied(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    fn begun(&self) -> Option<Instant> {
        self.0.1.get().copied()
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
        Ok(rows.insert(tx).await?)
    }
}

struct Batch(Progress);

/// Rows in COPY's own form, so that nothing is kept twice.
#[derive(Default)]
struct Wide(Option<Rows>);

impl Handler for Batch {
    type Prepared = ();
    type Rows = Wide;

    async fn prepare(&self, _delivery: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _tx: &mut PgConnection,
        rows: &mut Wide,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        self.0.one_more();
        let place = tables::Place {
            partition: i64::from(delivery.partition),
            offset: delivery.offset,
            recorded_us: delivery.recorded_at.as_microsecond(),
        };
        let rows = rows.0.get_or_insert_with(Rows::beginning);
        tables::widen(rows, payment(delivery)?, place).map_err(|error| Failure::dead("copy", error))
    }

    /// Straight into the table, and through a staging table when an event was there before.
    async fn flush(&self, tx: &mut PgConnection, rows: Wide) -> Result<(), Failure> {
        let Some(mut rows) = rows.0 else {
            return Ok(());
        };
        rows.end();
        let mut attempt = tx.begin().await?;
        match copy(&mut attempt, "wide", &rows).await {
            Ok(()) => return Ok(attempt.commit().await?),
            Err(error) if is_unique_violation(&error) => attempt.rollback().await?,
            Err(error) => return Err(error.into()),
        }
        sqlx::raw_sql(
            "create temporary table if not exists wide_staging (like wide) on commit delete rows;
             truncate wide_staging",
        )
        .execute(&mut *tx)
        .await?;
        copy(tx, "wide_staging", &rows).await?;
        sqlx::query("insert into wide select * from wide_staging on conflict do nothing")
            .execute(&mut *tx)
            .await?;
        Ok(())
    }
}

async fn copy(connection: &mut PgConnection, table: &str, rows: &Rows) -> Result<(), sqlx::Error> {
    let statement = format!("copy {table} from stdin (format binary)");
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(rows.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
