//! What the relay counts. The names are part of the operators' contract; the crate's README lists them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};

use super::rows::{Glance, Row};
use crate::Clock;

#[derive(Debug)]
pub(super) struct Metrics {
    published: Counter<u64>,
    latency_seconds: Histogram<f64>,
    shown: Shown,
}

/// What the gauges show: nothing but their inactivity where the relay stands by, so that its last figures do not stay.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<Figures>>);

#[derive(Debug, Default)]
struct Figures {
    active: bool,
    glance: Option<Glance>,
}

/// Says that this relay is active, until it is dropped.
pub(super) struct Active<'a>(&'a Shown);

impl Metrics {
    pub(super) fn new(clock: &Clock) -> Self {
        let meter = global::meter("eventing");
        let shown = Shown::default();
        shown.observe(&meter, clock);
        Self {
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
            shown,
        }
    }

    pub(super) fn active(&self) -> Active<'_> {
        self.shown.lock().active = true;
        Active(&self.shown)
    }

    pub(super) fn seen(&self, glance: Glance) {
        self.shown.lock().glance = Some(glance);
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
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        *self.0.lock() = Figures::default();
    }
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn glance(&self) -> Option<Glance> {
        self.lock().glance
    }

    /// Has the meter ask for the figures whenever they are collected.
    fn observe(&self, meter: &Meter, clock: &Clock) {
        let shown = self.clone();
        let depth = meter
            .u64_observable_gauge("outbox_depth")
            .with_description("rows not yet published");
        depth
            .with_callback(move |gauge| {
                if let Some(glance) = shown.glance() {
                    gauge.observe(glance.depth.unsigned_abs(), &[]);
                }
            })
            .build();

        let (shown, clock) = (self.clone(), clock.clone());
        let age = meter
            .f64_observable_gauge("outbox_oldest_age")
            .with_unit("s")
            .with_description("age of the row that has waited longest");
        age.with_callback(move |gauge| {
            if let Some(glance) = shown.glance() {
                let age = glance
                    .oldest_at
                    .map(|oldest_at| clock.now().duration_since(oldest_at).as_secs_f64());
                gauge.observe(age.unwrap_or_default().max(0.0), &[]);
            }
        })
        .build();

        let shown = self.clone();
        let set_aside = meter
            .u64_observable_gauge("outbox_set_aside_rows")
            .with_description("rows that cannot be published and wait for an operator");
        set_aside
            .with_callback(move |gauge| {
                if let Some(glance) = shown.glance() {
                    gauge.observe(glance.set_aside.unsigned_abs(), &[]);
                }
            })
            .build();

        let shown = self.clone();
        let active = meter
            .u64_observable_gauge("relay_active")
            .with_description("1 where the relay is active");
        active
            .with_callback(move |gauge| gauge.observe(u64::from(shown.lock().active), &[]))
            .build();
    }
}
