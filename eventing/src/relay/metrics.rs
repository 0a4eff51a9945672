//! What the relay counts. The names are part of the operators' contract; the crate's README lists them.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};
use sqlx::PgPool;

use super::health::Health;
use super::leader::Row;
use crate::Clock;

/// How often the table is looked at for the gauges.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The depth is counted up to here: beyond, the exact figure tells nobody anything and would take long.
const DEPTH_BOUND: i64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Metrics {
    published: Counter<u64>,
    latency_seconds: Histogram<f64>,
    depth: Gauge<u64>,
    oldest_age_seconds: Gauge<f64>,
    set_aside: Gauge<u64>,
    active: Gauge<u64>,
}

/// Says that this relay is active, until it is dropped.
pub(super) struct Active<'a>(&'a Gauge<u64>);

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = global::meter("eventing");
        let metrics = Self {
            published: meter
                .u64_counter("outbox_published")
                .with_description("records acknowledged by Kafka")
                .build(),
            latency_seconds: meter
                .f64_histogram("outbox_publish_latency")
                .with_unit("s")
                .with_description("from the append to Kafka's acknowledgement")
                .with_boundaries(vec![
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0,
                ])
                .build(),
            depth: meter
                .u64_gauge("outbox_depth")
                .with_description("rows not yet published")
                .build(),
            oldest_age_seconds: meter
                .f64_gauge("outbox_oldest_age")
                .with_unit("s")
                .with_description("age of the row that has waited longest")
                .build(),
            set_aside: meter
                .u64_gauge("outbox_set_aside_rows")
                .with_description("rows that cannot be published and wait for an operator")
                .build(),
            active: meter
                .u64_gauge("relay_active")
                .with_description("1 where the relay is active")
                .build(),
        };
        metrics.active.record(0, &[]);
        metrics
    }

    pub(super) fn active(&self) -> Active<'_> {
        self.active.record(1, &[]);
        Active(&self.active)
    }

    pub(super) fn published<'a>(&self, rows: impl Iterator<Item = &'a Row>, now: Timestamp) {
        let mut per_topic: HashMap<&str, u64> = HashMap::new();
        for row in rows {
            *per_topic.entry(&row.topic).or_default() += 1;
            self.latency_seconds
                .record(now.duration_since(row.created_at).as_secs_f64().max(0.0), &[]);
        }
        for (topic, count) in per_topic {
            self.published
                .add(count, &[KeyValue::new("topic", topic.to_owned())]);
        }
    }

    /// Looks at the table every few seconds, for ever. Every replica does, so that an outbox without an active relay is
    /// seen to grow.
    pub(super) async fn watch_outbox(&self, pool: &PgPool, clock: &Clock, health: &Health) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.look(pool, clock, health).await {
                tracing::debug!(%error, "the outbox's figures cannot be read");
            }
        }
    }

    async fn look(&self, pool: &PgPool, clock: &Clock, health: &Health) -> Result<(), sqlx::Error> {
        let found = sqlx::query!(
            r#"select
                   (select count(*) from (select from eventing.outbox limit $1) as counted) as "depth!",
                   (select created_at from eventing.outbox order by seq limit 1) as oldest_at,
                   (select count(*) from eventing.outbox_blocked) as "blocked!",
                   (select min(created_at) from eventing.outbox_blocked) as oldest_blocked_at,
                   (select count(*) from eventing.outbox_set_aside) as "set_aside!""#,
            DEPTH_BOUND,
        )
        .fetch_one(pool)
        .await?;
        let age = found
            .oldest_at
            .map(|oldest| clock.now().duration_since(oldest.to_jiff()).as_secs_f64());
        self.depth
            .record((found.depth + found.blocked).unsigned_abs(), &[]);
        self.oldest_age_seconds
            .record(age.unwrap_or_default().max(0.0), &[]);
        self.set_aside.record(found.set_aside.unsigned_abs(), &[]);
        health.set_aside(found.set_aside);
        Ok(())
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.record(0, &[]);
    }
}
