//! `consume`: what consumer groups apply in a second, against the same writes without Kafka and promises.

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use eventing::KafkaSettings;
use eventing::consumer::ConsumerGroup;
use schemas::catalogue::PAYMENTS;
use serde_json::json;

use super::on_a_stand;
use crate::child::Child;
use crate::load::{events, tables};
use crate::report::{Report, Row, Target};
use crate::stand::Stand;
use crate::usage;

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
    /// Measures this kind of group only.
    #[arg(long, value_parser = PossibleValuesParser::new(KINDS.map(|kind| kind.name)))]
    only: Option<String>,
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
        let chosen = |kind: &&Kind| self.only.as_ref().is_none_or(|only| only == kind.name);
        for kind in KINDS.iter().filter(chosen) {
            let rows = if kind.name == "own-insert" {
                self.own_insert_rows
            } else {
                self.rows
            };
            let (mut rates, mut ceilings, mut costs) = (Vec::new(), Vec::new(), Vec::new());
            let mut together = Vec::new();
            for round in 1..=self.rounds {
                let before = ceiling(stand, kind.ceiling, rows).await?;
                let applied = group(stand, kind.name, rows, round).await?;
                let after = ceiling(stand, kind.ceiling, rows).await?;
                rates.push(applied.rate);
                costs.push(applied.cost_us);
                together.extend(applied.rows_a_flush);
                ceilings.push(f64::midpoint(before.rate, after.rate));
            }
            report.add(
                Row::new(kind.what, "events/s", rates)
                    .ceilings(ceilings)
                    .target(Target::RatioAtLeast(kind.target)),
            );
            report.add(Row::new("its process, and no database", "µs/event", costs));
            if !together.is_empty() {
                report.add(Row::new("rows that it flushes at once", "rows", together));
            }
        }
        Ok(report)
    }
}

/// What a child has done.
struct Applied {
    /// Events a second.
    rate: f64,
    /// Processor time that its process took for each event.
    cost_us: f64,
    /// How many rows went to the database at once; none when each went by itself.
    rows_a_flush: Option<f64>,
}

/// How fast the tables are.
async fn ceiling(stand: &Stand, kind: &str, rows: u64) -> Result<Applied> {
    tables::make(&stand.pool).await?;
    stand.checkpoint().await?;
    let arguments = [("kind", kind.to_owned()), ("events", rows.to_string())];
    applied(Child::start(stand, "tables", &arguments).await?, rows).await
}

/// How fast a group is.
async fn group(stand: &Stand, kind: &str, rows: u64, round: usize) -> Result<Applied> {
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
    let applied = applied(Child::start(stand, "group", &arguments).await?, rows).await?;
    for topic in &topics {
        stand.delete_topic(topic).await?;
    }
    Ok(applied)
}

/// What the group reads and writes, on the cluster.
pub(super) fn topics(kafka: &KafkaSettings) -> Vec<String> {
    let group = ConsumerGroup::ordered(GROUP, [PAYMENTS.name]);
    let tiers = (1..).zip(&group.tiers).map(|(tier, _)| group.retry_topic(tier));
    let names = tiers.chain([PAYMENTS.name.to_owned(), group.dead_letter_topic()]);
    names.map(|name| kafka.topic(&name).into_owned()).collect()
}

async fn applied(mut child: Child, rows: u64) -> Result<Applied> {
    child.go().await?;
    let found = child.found().await?;
    let cost = usage::processor_seconds(child.pid()?)?;
    child.leave().await?;
    let seconds = found["seconds"].as_f64().context("the seconds it took")?;
    Ok(Applied {
        rate: rows as f64 / seconds,
        cost_us: cost / rows as f64 * 1e6,
        rows_a_flush: found["flushes"]
            .as_f64()
            .filter(|flushes| *flushes > 0.0)
            .map(|flushes| rows as f64 / flushes),
    })
}
