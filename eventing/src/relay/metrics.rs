//! What the relay counts. The names are part of the operators' contract; the crate's README lists them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};

use super::glance::Glance;
use super::rows::Row;
use crate::Clock;

#[derive(Debug)]
pub(super) struct Metrics {
    published: Counter<u64>,
    latency_seconds: Histogram<f64>,
    shown: Shown,
}

/// What the gauges show. The outbox's figures are those of this relay's lanes, so that replicas add up.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<Figures>>);

#[derive(Debug, Default)]
struct Figures {
    owned: usize,
    /// `None` while that cannot be known.
    without_owner: Option<usize>,
    glance: Option<Glance>,
}

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

    /// How many lanes this relay has, and how many nobody has.
    pub(super) fn lanes(&self, owned: usize, without_owner: Option<usize>) {
        let mut figures = self.shown.lock();
        figures.owned = owned;
        figures.without_owner = without_owner;
        if owned == 0 {
            figures.glance = None;
        }
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

        self.observe_lanes(meter);
    }

    fn observe_lanes(&self, meter: &Meter) {
        let shown = self.clone();
        let owned = meter
            .u64_observable_gauge("outbox_lanes_owned")
            .with_description("lanes that this replica relays");
        owned
            .with_callback(move |gauge| gauge.observe(shown.lock().owned as u64, &[]))
            .build();

        let shown = self.clone();
        let without_owner = meter
            .u64_observable_gauge("outbox_lanes_without_owner")
            .with_description("lanes that no replica relays");
        without_owner
            .with_callback(move |gauge| {
                if let Some(lanes) = shown.lock().without_owner {
                    gauge.observe(lanes as u64, &[]);
                }
            })
            .build();
    }
}
