//! What the group counts and measures, through the OpenTelemetry API: whoever runs it decides where that goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use opentelemetry::metrics::{AsyncInstrument, Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

use super::blocks;
use super::envelope::Verdict;
use super::runtime::{End, Settled};

/// A topic's name and a partition.
type LagKey = (String, i32);

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    group: KeyValue,
    handled: Histogram<f64>,
    records: Counter<u64>,
    batches: Histogram<u64>,
    retries: Counter<u64>,
    dead_letters: Counter<u64>,
    held: Counter<f64>,
    holding: Gauge<u64>,
    in_hand: Gauge<u64>,
    in_hand_bytes: Gauge<u64>,
    parked: Gauge<u64>,
    blocked: Gauge<u64>,
    lag: Arc<Mutex<HashMap<LagKey, u64>>>,
}

fn outcome(end: End) -> &'static str {
    match end {
        End::Settled(Settled::Applied { .. }) => "applied",
        End::Settled(Settled::Duplicate) => "duplicate",
        End::Settled(Settled::Parked) => "parked",
        End::Settled(Settled::PassedOver) => "passed_over",
        End::SentOn => "failed",
    }
}

impl Metrics {
    pub(crate) fn new(group: &str) -> Self {
        let meter = global::meter("eventing");
        let group = KeyValue::new("group", group.to_owned());
        let lag = Arc::<Mutex<HashMap<LagKey, u64>>>::default();
        let observed = Arc::downgrade(&lag);
        let of_group = group.clone();
        // The callback outlives the consumer; what it reads does not.
        meter
            .u64_observable_gauge("kafka_consumergroup_lag")
            .with_description("Records of a partition that the group has not completed")
            .with_callback(move |observer| observe(&observed, &of_group, observer))
            .build();
        Self {
            group,
            handled: meter
                .f64_histogram("eventing_handler_duration")
                .with_unit("s")
                .with_description("From a record's turn to its outcome, waiting for infrastructure included")
                .build(),
            records: meter
                .u64_counter("eventing_records")
                .with_description("Records by what became of them")
                .build(),
            batches: meter
                .u64_histogram("eventing_batch_records")
                .with_description("Records that were applied in one transaction")
                .with_boundaries(vec![
                    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0,
                ])
                .build(),
            retries: meter
                .u64_counter("eventing_retries")
                .with_description("Records that were sent to a retry tier")
                .build(),
            dead_letters: meter
                .u64_counter("eventing_dead_letters")
                .with_description("Records that were sent to the dead letters")
                .build(),
            held: meter
                .f64_counter("eventing_held")
                .with_unit("s")
                .with_description("Time that records were held because infrastructure was gone")
                .build(),
            holding: meter
                .u64_gauge("eventing_held_records")
                .with_description(
                    "What is held in place at this moment, Kafka itself counted as one when it is gone",
                )
                .build(),
            in_hand: meter
                .u64_gauge("eventing_in_hand_records")
                .with_description("Records in the member's memory, waiting or in work")
                .build(),
            in_hand_bytes: meter
                .u64_gauge("eventing_in_hand_bytes")
                .with_description("Bytes of the records in the member's memory")
                .build(),
            parked: meter
                .u64_gauge("eventing_parked_events")
                .with_description("Events that wait for an earlier event of their aggregate")
                .build(),
            blocked: meter
                .u64_gauge("eventing_blocked_keys")
                .with_description("Aggregates whose events wait, by what they wait for")
                .build(),
            lag,
        }
    }

    /// So many records of a topic have ended alike.
    pub(crate) fn ended(&self, topic: &str, end: End, records: usize, took: Duration) {
        let labels = [
            self.group.clone(),
            KeyValue::new("topic", topic.to_owned()),
            KeyValue::new("outcome", outcome(end)),
        ];
        self.records.add(records as u64, &labels);
        for _ in 0..records {
            self.handled.record(took.as_secs_f64(), &labels);
        }
    }

    pub(crate) fn batch(&self, records: usize) {
        self.batches
            .record(records as u64, std::slice::from_ref(&self.group));
    }

    pub(crate) fn retried(&self, tier: u32, verdict: &Verdict) {
        let tier = KeyValue::new("tier", i64::from(tier));
        self.retries.add(
            1,
            &[
                self.group.clone(),
                tier,
                KeyValue::new("class", verdict.class.clone()),
            ],
        );
    }

    pub(crate) fn dead(&self, verdict: &Verdict) {
        let class = KeyValue::new("class", verdict.class.clone());
        let fingerprint = KeyValue::new("fingerprint", verdict.fingerprint.clone());
        self.dead_letters
            .add(1, &[self.group.clone(), class, fingerprint]);
    }

    pub(crate) fn held(&self, time: Duration) {
        self.held
            .add(time.as_secs_f64(), std::slice::from_ref(&self.group));
    }

    pub(crate) fn holding(&self, count: usize) {
        self.holding
            .record(count as u64, std::slice::from_ref(&self.group));
    }

    pub(crate) fn in_hand(&self, records: usize, bytes: usize) {
        let group = std::slice::from_ref(&self.group);
        self.in_hand.record(records as u64, group);
        self.in_hand_bytes.record(bytes as u64, group);
    }

    pub(crate) fn parked(&self, events: u64) {
        self.parked.record(events, std::slice::from_ref(&self.group));
    }

    /// How many aggregates wait, by reason. A reason that is not among these has none.
    pub(crate) fn blocked(&self, counts: &[(String, u64)]) {
        for reason in blocks::REASONS {
            let count = counts.iter().find(|(counted, _)| counted == reason);
            let labels = [self.group.clone(), KeyValue::new("reason", reason)];
            self.blocked.record(count.map_or(0, |(_, count)| *count), &labels);
        }
    }

    /// Replaces the lag of all partitions: those that went to another member are no longer told.
    pub(crate) fn lag(&self, lag: HashMap<LagKey, u64>) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }
}

fn observe(lag: &Weak<Mutex<HashMap<LagKey, u64>>>, group: &KeyValue, observer: &dyn AsyncInstrument<u64>) {
    let Some(lag) = lag.upgrade() else { return };
    for ((topic, partition), records) in &*lag.lock().unwrap_or_else(PoisonError::into_inner) {
        let topic = KeyValue::new("topic", topic.clone());
        let partition = KeyValue::new("partition", i64::from(*partition));
        observer.observe(*records, &[group.clone(), topic, partition]);
    }
}
