//! `consume`: what consumer groups apply in a second, against the same writes without Kafka and promises.

use anyhow::{Context as _, Result};
use eventing::KafkaSettings;
use eventing::consumer::ConsumerGroup;
use schemas::catalogue::PAYMENTS;
use serde_json::json;

use super::on_a_stand;
use crate::child::Child;
use crate::load::{events, tables};
use crate::report::{Report, Row, Target};
use crate::stand::Stand;

/// The group's name.
pub(crate) const GROUP: &str = "bench";
/// Workers of an ordered group, and connections of its ceiling.
pub(crate) const WORKERS: usize = 8;
/// Rows of one COPY.
pub(crate) const BATCH_ROWS: usize = 5_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Events of each measurement.
    #[arg(long, default_value_t = 500_000)]
    rows: u64,
    /// Events for the handler with an INSERT of its own, which is slower.
    #[arg(long, default_value_t = 200_000)]
    own_insert_rows: u64,
    /// How often everything is measured; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A kind of group, its ceiling, and what is asked of it.
struct Kind {
    name: &'static str,
    what: &'static str,
    ceiling: &'static str,
    target: f64,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "own-insert",
        what: "ordered group, an INSERT per event",
        ceiling: "unnest",
        target: 0.14,
    },
    Kind {
        name: "collecting",
        what: "ordered group, rows collected",
        ceiling: "unnest",
        target: 0.6,
    },
    Kind {
        name: "batch",
        what: "batch group, 20 columns, one connection",
        ceiling: "copy",
        target: 0.7,
    },
];

impl Arguments {
    pub(crate) async fn run(self) -> Result<Report> {
        on_a_stand(async |stand| self.measure(stand).await).await
    }

    async fn measure(&self, stand: &Stand) -> Result<Report> {
        let settings = json!({
            "rows": self.rows,
            "own_insert_rows": self.own_insert_rows,
            "rounds": self.rounds,
            "workers": WORKERS,
        });
        let mut report = Report::new("consume", settings);
        // Not counted: a broker that has just started compiles itself.
        group(stand, "collecting", self.rows, 0).await?;
        for kind in &KINDS {
            let rows = if kind.name == "own-insert" {
                self.own_insert_rows
            } else {
                self.rows
            };
            let (mut rates, mut ceilings) = (Vec::new(), Vec::new());
            for round in 1..=self.rounds {
                let before = ceiling(stand, kind.ceiling, rows).await?;
                rates.push(group(stand, kind.name, rows, round).await?);
                let after = ceiling(stand, kind.ceiling, rows).await?;
                ceilings.push(f64::midpoint(before, after));
            }
            report.add(
                Row::new(kind.what, "events/s", rates)
                    .ceilings(ceilings)
                    .target(Target::RatioAtLeast(kind.target)),
            );
        }
        Ok(report)
    }
}

/// Events a second that the tables take.
async fn ceiling(stand: &Stand, kind: &str, rows: u64) -> Result<f64> {
    tables::make(&stand.pool).await?;
    stand.checkpoint().await?;
    let arguments = [("kind", kind.to_owned()), ("events", rows.to_string())];
    rate(Child::start(stand, "tables", &arguments).await?, rows).await
}

/// Events a second that a group applies.
async fn group(stand: &Stand, kind: &str, rows: u64, round: usize) -> Result<f64> {
    tables::make(&stand.pool).await?;
    let mut kafka = KafkaSettings::new(&stand.brokers);
    kafka.topic_prefix = format!("{kind}-{round}.");
    let topics = topics(&kafka);
    for topic in &topics {
        stand.create_topic(topic, &[]).await?;
    }
    let settings = kafka.clone();
    tokio::task::spawn_blocking(move || events::produce(&settings, rows)).await??;
    stand.checkpoint().await?;
    let arguments = [
        ("kind", kind.to_owned()),
        ("events", rows.to_string()),
        ("prefix", kafka.topic_prefix),
    ];
    let rate = rate(Child::start(stand, "group", &arguments).await?, rows).await?;
    for topic in &topics {
        stand.delete_topic(topic).await?;
    }
    Ok(rate)
}

/// What the group reads and writes, on the cluster.
pub(super) fn topics(kafka: &KafkaSettings) -> Vec<String> {
    let group = ConsumerGroup::ordered(GROUP, [PAYMENTS.name]);
    let tiers = (1..).zip(&group.tiers).map(|(tier, _)| group.retry_topic(tier));
    let names = tiers.chain([PAYMENTS.name.to_owned(), group.dead_letter_topic()]);
    names.map(|name| kafka.topic(&name).into_owned()).collect()
}

async fn rate(mut child: Child, rows: u64) -> Result<f64> {
    child.go().await?;
    let found = child.found().await?;
    child.leave().await?;
    let seconds = found["seconds"].as_f64().context("the seconds it took")?;
    Ok(rows as f64 / seconds)
}
