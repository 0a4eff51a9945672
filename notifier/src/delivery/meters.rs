//! What is counted and measured.

use std::convert::Infallible;
use std::time::Duration;

use eventing::Clock;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::domain::notice::Channel;
use crate::store::queue;

/// The counters of deliveries.
pub(super) struct Meters {
    deliveries: Counter<u64>,
    seconds: Histogram<f64>,
}

impl Meters {
    pub(super) fn new() -> Self {
        let meter = global::meter("notifier");
        Self {
            deliveries: meter
                .u64_counter("notifier.deliveries")
                .with_description(
                    "Attempts by channel and outcome; suppressed and postponed ones count as such",
                )
                .build(),
            seconds: meter
                .f64_histogram("notifier.delivery.duration")
                .with_unit("s")
                .with_description("From the beginning of an attempt to its outcome")
                .build(),
        }
    }

    pub(super) fn count(&self, channel: Channel, outcome: &'static str) {
        self.deliveries.add(1, &labels(channel, outcome));
    }

    pub(super) fn took(&self, channel: Channel, outcome: &'static str, duration: Duration) {
        self.seconds
            .record(duration.as_secs_f64(), &labels(channel, outcome));
    }
}

fn labels(channel: Channel, outcome: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("channel", channel.as_str()),
        KeyValue::new("outcome", outcome),
    ]
}

/// How often the queue is measured. The question reads every pending row's index entry.
const QUEUE_MEASURED_EVERY: Duration = Duration::from_secs(5);

/// Measures depth and age of the queue until `shutdown`.
pub async fn watch_queue(pool: PgPool, clock: Clock, shutdown: CancellationToken) -> Result<(), Infallible> {
    let meter = global::meter("notifier");
    let depth = meter
        .u64_gauge("notifier.queue.depth")
        .with_description("Notifications that wait, for their first or their next attempt")
        .build();
    let age = meter
        .f64_gauge("notifier.queue.oldest.age")
        .with_unit("s")
        .with_description("For how long the oldest of them has waited")
        .build();
    loop {
        match queue::depths(&pool).await {
            Ok(depths) => {
                for channel in Channel::ALL {
                    let found = depths.iter().find(|it| it.channel == channel);
                    let labels = [KeyValue::new("channel", channel.as_str())];
                    depth.record(found.map_or(0, |it| it.count), &labels);
                    let oldest_at = found.and_then(|it| it.oldest_at);
                    let waited = oldest_at.map(|at| clock.now().duration_since(at).as_secs_f64());
                    age.record(waited.unwrap_or_default().max(0.0), &labels);
                }
            }
            Err(error) => {
                tracing::warn!(error = %platform::problem::Chain(&error), "the queue cannot be measured");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(QUEUE_MEASURED_EVERY) => {}
        }
    }
}
