//! A process that writes: several tasks that make transitions, and a relay beside them, as in a service.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use eventing::outbox::Appended;
use eventing::{Clock, Outbox, Relay, SchemaRegistry};
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, DomainEvent as _, EventId, MerchantId, PaymentNo};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, PgTransaction};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::random::Random;
use super::settings::Settings;
use super::wrong;

/// The service whose outbox it is: the one that may write the topic.
pub const SERVICE: &str = "payment-gateway";
const TASKS: u64 = 8;
const CONNECTIONS: u32 = 12;
/// So much lies between two transactions of a task, at most.
const MAX_PAUSE_MS: u64 = 400;
const AGAIN: Duration = Duration::from_millis(200);
/// A connection that is not there after this long counts as gone.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// The tables of the writers' database.
pub const TABLES: &str = "
    create table aggregates (number bigint primary key, sequence bigint not null default 0);
    create table committed (
        event_id uuid primary key, key text not null, sequence bigint not null, transaction text not null,
        at timestamptz not null default clock_timestamp());";

/// What a transaction is to do.
#[derive(Debug, Clone)]
struct Draft {
    name: String,
    /// Aggregates, each once and in order, so that transactions do not deadlock; with how many events each.
    parts: Vec<(i64, i64)>,
    /// How long it stays open.
    open_for: Duration,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    RollBack,
}

/// Writes and relays until it is killed; writing ends when the settings say so.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_WITHIN)
        .connect_lazy(&settings.database)?;
    let registry = SchemaRegistry::new(&settings.registry, pool.clone())?;
    // It may be started while nothing is there.
    let outbox = loop {
        match Outbox::load(SERVICE, &registry, Clock::system()).await {
            Ok(outbox) => break outbox,
            Err(error) => println!("the outbox cannot be loaded yet: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    let journal = Journal::open(Path::new(&settings.journals), &settings.name)?;
    let writer = Arc::new(Writer {
        settings,
        pool,
        outbox,
        journal,
    });
    let mut tasks = JoinSet::new();
    let relay_writer = Arc::clone(&writer);
    let stop = shutdown.clone();
    tasks.spawn(async move { relay_writer.relay(stop).await });
    for task in 0..TASKS {
        tasks.spawn(Arc::clone(&writer).write(task, shutdown.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

struct Writer {
    settings: Settings,
    pool: PgPool,
    outbox: Outbox,
    journal: Journal,
}

impl Writer {
    async fn relay(&self, shutdown: CancellationToken) -> Result<()> {
        let kafka = self.settings.kafka();
        match self.settings.wrong.as_deref() {
            Some(wrong::MARKS_BEFORE_ACKS) => {
                wrong::relay_that_marks_before_acks(&self.pool, &kafka, shutdown).await
            }
            _ => Relay::new(self.pool.clone(), kafka, &self.outbox)
                .run(shutdown)
                .await
                .context("the relay"),
        }
    }

    async fn write(self: Arc<Self>, task: u64, shutdown: CancellationToken) -> Result<()> {
        // Not of the seed alone: a restarted process would try the same again.
        let moment = u64::try_from(self.settings.timeline().now()).unwrap_or_default();
        let mut random = Random::named(
            self.settings.seed ^ moment,
            &format!("{}-{task}", self.settings.name),
        );
        let mut count = 0;
        while self.settings.writes() && !shutdown.is_cancelled() {
            count += 1;
            let name = format!("{}-{task}-{moment}-{count}", self.settings.name);
            let draft = draft(name, self.settings.timeline().now(), &mut random);
            self.transact(&draft).await?;
            tokio::time::sleep(Duration::from_millis(random.below(MAX_PAUSE_MS))).await;
        }
        Ok(())
    }

    async fn transact(&self, draft: &Draft) -> Result<()> {
        let mut events = Vec::new();
        let (began, appended) = match self.attempt(draft, &mut events).await {
            Ok(begun) => begun,
            // Nothing was committed: the transaction was dropped, whatever became of its connection.
            Err(error) => {
                println!("{}: {error:#}", draft.name);
                self.journal.write("rolled-back", &events)?;
                tokio::time::sleep(AGAIN).await;
                return Ok(());
            }
        };
        if draft.ending == Ending::RollBack {
            // A connection that is lost instead rolls it back too.
            let _ = began.rollback().await;
            return self.journal.write("rolled-back", &events);
        }
        match began.commit().await {
            Ok(()) => {
                self.outbox.committed(appended);
                self.journal.write("committed", &events)
            }
            Err(error) => {
                println!("{}: the commit's outcome is unknown: {error}", draft.name);
                let outcome = self.ask(draft, &events).await;
                self.journal.write(outcome, &events)
            }
        }
    }

    /// Everything of a transaction but its end.
    async fn attempt(
        &self,
        draft: &Draft,
        events: &mut Vec<Uuid>,
    ) -> Result<(PgTransaction<'static>, Appended)> {
        for (number, _) in &draft.parts {
            sqlx::query("insert into aggregates (number) values ($1) on conflict do nothing")
                .bind(number)
                .execute(&self.pool)
                .await?;
        }
        let mut tx = self.pool.begin().await?;
        let mut appended = Appended::default();
        for (number, count) in &draft.parts {
            let last: i64 = sqlx::query_scalar(
                "update aggregates set sequence = sequence + $2 where number = $1 returning sequence",
            )
            .bind(number)
            .bind(count)
            .fetch_one(&mut *tx)
            .await?;
            for sequence in last - count + 1..=last {
                let event = event(self.settings.seed, *number, sequence);
                appended = appended.and(self.outbox.append(&mut tx, &event).await?);
                sqlx::query(
                    "insert into committed (event_id, key, sequence, transaction) values ($1, $2, $3, $4)",
                )
                .bind(event.event_id.uuid())
                .bind(event.aggregate_key())
                .bind(sequence)
                .bind(&draft.name)
                .execute(&mut *tx)
                .await?;
                events.push(event.event_id.uuid());
            }
        }
        tokio::time::sleep(draft.open_for).await;
        Ok((tx, appended))
    }

    /// Asks the database what became of a commit. The locks of the transaction's aggregates come first: its backend may still
    /// be at it, although the connection to us is gone.
    async fn ask(&self, draft: &Draft, events: &[Uuid]) -> &'static str {
        loop {
            match self.look(draft, events).await {
                Ok(true) => return "unknown-committed",
                Ok(false) => return "unknown-rolled-back",
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn look(&self, draft: &Draft, events: &[Uuid]) -> sqlx::Result<bool> {
        let numbers: Vec<i64> = draft.parts.iter().map(|(number, _)| *number).collect();
        let mut tx = self.pool.begin().await?;
        sqlx::query("select from aggregates where number = any($1) order by number for update")
            .bind(&numbers)
            .execute(&mut *tx)
            .await?;
        let count: i64 = sqlx::query_scalar("select count(*) from committed where event_id = any($1)")
            .bind(events)
            .fetch_one(&mut *tx)
            .await?;
        Ok(count > 0)
    }
}

fn draft(name: String, now: i64, random: &mut Random) -> Draft {
    let mut parts: Vec<(i64, i64)> = Vec::new();
    let aggregates = if random.per_mille(150) {
        random.between(2, 4)
    } else {
        1
    };
    for _ in 0..aggregates {
        let number = aggregate(now / 1000, random);
        let events = if random.per_mille(250) {
            random.between(2, 6)
        } else {
            1
        };
        if parts.iter().all(|(other, _)| *other != number) {
            parts.push((number, events.cast_signed()));
        }
    }
    parts.sort_unstable();
    let open_ms = match random.below(1000) {
        0..5 => random.between(2_000, 8_000),
        5..50 => random.between(200, 1_500),
        50..400 => random.between(1, 30),
        _ => 0,
    };
    let ending = if random.per_mille(100) {
        Ending::RollBack
    } else {
        Ending::Commit
    };
    Draft {
        name,
        parts,
        open_for: Duration::from_millis(open_ms),
        ending,
    }
}

/// Aggregates come and go with time, so that one that waits for an operator does not gather events for ever; a few are hot.
pub(super) fn aggregate(second: i64, random: &mut Random) -> i64 {
    if random.per_mille(300) {
        1_000_000 + second / 20 * 4 + random.below(4).cast_signed()
    } else {
        second * 2 + random.below(60).cast_signed()
    }
}

/// An event of an aggregate.
pub(super) fn event(seed: u64, number: i64, sequence: i64) -> PaymentEvent {
    PaymentEvent {
        event_id: EventId::generate(),
        event_type: PaymentEventType::Processing,
        occurred_at: Clock::system().now(),
        payment_no: PaymentNo::from_uuid(Uuid::from_u64_pair(seed, number.cast_unsigned())),
        merchant_id: MerchantId::from_uuid(Uuid::from_u64_pair(seed, 1)),
        sequence,
        old_status: Some(PaymentStatus::Pending),
        new_status: PaymentStatus::Processing,
        amount: 1_999,
        amount_refunded: 0,
        currency: Currency::parse("EUR").expect("a currency"),
        order_no: format!("order-{number}"),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    }
}

/// What a writer was told about its transactions, in a file that outlives it.
#[derive(Debug)]
struct Journal(File);

impl Journal {
    fn open(folder: &Path, name: &str) -> Result<Self> {
        let path: PathBuf = folder.join(format!("{name}.journal"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self(file))
    }

    /// One write, which a process that is killed has done or not.
    fn write(&self, outcome: &str, events: &[Uuid]) -> Result<()> {
        let events: Vec<String> = events.iter().map(Uuid::to_string).collect();
        let line = format!("{outcome} {}\n", events.join(","));
        (&self.0).write_all(line.as_bytes())?;
        Ok(())
    }
}
