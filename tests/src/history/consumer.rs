//! A process that consumes: a member of one group, whose handler writes down what it applied.

use std::time::Duration;

use anyhow::{Context as _, Result};
use eventing::consumer::{Consumer, ConsumerGroup, Delivery, Failure, Handler, Resources};
use eventing::{Clock, SchemaRegistry};
use schemas::catalogue::PAYMENTS;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::model::Kind;
use super::plan::Plan;
use super::settings::Settings;
use super::wrong;

const CONNECTIONS: u32 = 12;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Short, so that a history sees many retries.
const TIERS_MS: [u64; 3] = [300, 700, 1_500];

/// The tables of a group's database.
pub const TABLES: &str = "
    create table applied (
        position bigint generated always as identity primary key, event_id uuid not null, key text not null,
        sequence bigint not null, attempt integer not null, replayed boolean not null, member text not null,
        at timestamptz not null default clock_timestamp());
    create table noted (event_id uuid primary key);
    create table totals (key text primary key, events bigint not null);";

/// The group as its processes and its operator know it.
pub fn group(kind: Kind) -> ConsumerGroup {
    let group = match kind {
        Kind::Ordered => ConsumerGroup::ordered(kind.group(), [PAYMENTS.name]),
        Kind::Unordered => ConsumerGroup::unordered(kind.group(), [PAYMENTS.name]),
    };
    group
        .tiers(TIERS_MS.map(Duration::from_millis))
        .workers(4)
        .handler_deadline(Duration::from_secs(10))
        .drain_deadline(Duration::from_secs(5))
}

/// What a member, and its operator, work with.
pub fn resources(settings: &Settings) -> Result<Resources> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_WITHIN)
        .connect_lazy(&settings.database)?;
    Ok(Resources {
        registry: SchemaRegistry::new(&settings.registry, pool.clone())?,
        kafka: settings.kafka(),
        clock: Clock::system(),
        pool,
    })
}

/// Consumes until it is killed or asked to stop.
pub async fn run(settings: Settings, kind: Kind, shutdown: CancellationToken) -> Result<()> {
    let resources = resources(&settings)?;
    let recorder = Recorder {
        kind,
        // The second member of each group collects what the first one writes event by event.
        collects: settings.name.ends_with('2'),
        swallows: settings.wrong.as_deref() == Some(wrong::SWALLOWS_FAILURES),
        seed: settings.seed,
        member: settings.name,
    };
    Consumer::new(group(kind), recorder, resources)
        .run(shutdown)
        .await
        .context("the consumer")
}

/// Writes down what it applies, and fails as planned, after it has written.
#[derive(Debug)]
struct Recorder {
    kind: Kind,
    collects: bool,
    swallows: bool,
    seed: u64,
    member: String,
}

/// What it writes of one event.
#[derive(Debug)]
pub struct Row {
    event_id: Uuid,
    key: String,
    sequence: i64,
    attempt: i32,
    replayed: bool,
}

impl Row {
    fn of(delivery: &Delivery) -> Self {
        Self {
            event_id: delivery.event.event_id().uuid(),
            key: delivery.key.clone(),
            sequence: delivery.sequence,
            attempt: i32::try_from(delivery.attempt).unwrap_or(i32::MAX),
            replayed: delivery.replay.is_some(),
        }
    }
}

impl Handler for Recorder {
    type Prepared = ();
    type Rows = Vec<Row>;

    async fn prepare(&self, delivery: &Delivery) -> Result<(), Failure> {
        // Every second planned retry fails before there is a transaction.
        let plan = self.plan(delivery);
        if plan.fails_at(delivery.attempt) && delivery.sequence % 2 == 0 && matches!(plan, Plan::Retry { .. })
        {
            return Err(Failure::retry("planned, while preparing").class("planned_retry"));
        }
        Ok(())
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        rows: &mut Vec<Row>,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        let row = Row::of(delivery);
        if self.collects {
            rows.push(row);
        } else {
            self.write(tx, vec![row]).await?;
        }
        let plan = self.plan(delivery);
        if self.swallows || !plan.fails_at(delivery.attempt) {
            return Ok(());
        }
        match plan {
            Plan::Pass => Ok(()),
            Plan::Dead => Err(Failure::dead("planned_dead", "planned")),
            Plan::Panic => panic!("planned"),
            Plan::Retry { .. } | Plan::Exhaust => Err(Failure::retry("planned").class("planned_retry")),
        }
    }

    async fn flush(&self, tx: &mut PgConnection, rows: Vec<Row>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write(tx, rows).await.map_err(Failure::from)
    }
}

impl Recorder {
    /// What was dead passes when an operator sends it again: the cause was removed.
    fn plan(&self, delivery: &Delivery) -> Plan {
        let plan = Plan::of(self.seed, &delivery.key, delivery.sequence);
        if delivery.replay.is_some() {
            Plan::Pass
        } else {
            plan
        }
    }

    /// In an ordered group the runtime alone keeps an event from being written twice; an unordered group asks its table `noted`.
    async fn write(&self, tx: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<()> {
        let statement = match self.kind {
            Kind::Ordered => format!("with come as ({COME}), fresh as (select * from come) {WRITE}"),
            Kind::Unordered => format!(
                "with come as ({COME}),
                 new as (insert into noted select event_id from come on conflict do nothing returning event_id),
                 fresh as (select distinct on (event_id) come.* from come join new using (event_id) order by event_id, place)
                 {WRITE}"
            ),
        };
        let (mut ids, mut keys, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        let (mut attempts, mut replayed) = (Vec::new(), Vec::new());
        for row in rows {
            ids.push(row.event_id);
            keys.push(row.key);
            sequences.push(row.sequence);
            attempts.push(row.attempt);
            replayed.push(row.replayed);
        }
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(ids)
            .bind(keys)
            .bind(sequences)
            .bind(attempts)
            .bind(replayed)
            .bind(&self.member)
            .execute(tx)
            .await?;
        Ok(())
    }
}

const COME: &str = "select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::boolean[])
     with ordinality as come (event_id, key, sequence, attempt, replayed, place)";

/// Rows in the order in which they were collected; counters in the order of their keys, so that batches do not deadlock.
const WRITE: &str = ", rows as (
         insert into applied (event_id, key, sequence, attempt, replayed, member)
         select event_id, key, sequence, attempt, replayed, $6 from fresh order by place)
     insert into totals select key, count(*) from fresh group by key order by key
     on conflict (key) do update set events = totals.events + excluded.events";
