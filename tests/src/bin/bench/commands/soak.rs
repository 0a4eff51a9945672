//! `soak`: the outbox's size over time, while rows come as fast as the relay takes them away.

use std::time::{Duration, Instant};

use anyhow::Result;
use schemas::catalogue::PAYMENTS;
use serde_json::{Value, json};

use super::on_a_stand;
use crate::child::Child;
use crate::load::staging;
use crate::report::{Report, Row};
use crate::stand::Stand;

const PREFIX: &str = "soak.";
/// Rows of one transaction, and how many may wait before the next: enough that the relay never does, though to count what it has
/// published takes longer than to publish 10,000.
const CHUNK: u64 = 40_000;
const BACKLOG: u64 = 80_000;
/// How many different rows there are; they come round again.
const STAGED: u64 = 400_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// How often the sizes are looked at.
    #[arg(long, default_value_t = 30)]
    every_seconds: u64,
}

/// Sizes in MB, dead rows included.
#[derive(Debug, Clone)]
struct Sizes {
    table: f64,
    indexes: f64,
    toast: f64,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<Report> {
        on_a_stand(async |stand| self.measure(stand).await).await
    }

    async fn measure(&self, stand: &Stand) -> Result<Report> {
        stand.bound_wal().await?;
        staging::stage(&stand.pool, STAGED).await?;
        let topic = format!("{PREFIX}{}", PAYMENTS.name);
        // Half an hour at full rate is more than a disk wants.
        let bounded = [("retention.bytes", "67108864"), ("segment.bytes", "16777216")];
        stand.create_topic(&topic, &bounded).await?;
        let mut relay = Child::start(stand, "relay", &[("prefix", PREFIX.to_owned())]).await?;
        relay.go().await?;
        let (begun, lasting) = (Instant::now(), Duration::from_secs(60 * self.minutes));
        let every = Duration::from_secs(self.every_seconds);
        let (mut written, mut look_at) = (0_u64, every);
        let (mut sizes, mut samples): (Vec<Sizes>, Vec<Value>) = (Vec::new(), Vec::new());
        while begun.elapsed() < lasting {
            // A busy broker may not answer once in half an hour.
            let Ok(records) = stand.records(&topic).await else {
                continue;
            };
            if written.saturating_sub(records) > BACKLOG {
                tokio::time::sleep(Duration::from_millis(20)).await;
            } else {
                let from = written % STAGED;
                staging::fill_outbox(&stand.pool, from, from + CHUNK).await?;
                written += CHUNK;
            }
            if begun.elapsed() >= look_at {
                look_at += every;
                let seen = look(stand).await?;
                let (second, rate) = (
                    begun.elapsed().as_secs(),
                    written as f64 / begun.elapsed().as_secs_f64(),
                );
                println!(
                    "  {second:>5} s  {rate:>8.0} rows/s  table {:>7.1} MB  indexes {:>7.1} MB  toast {:>5.1} MB",
                    seen.table, seen.indexes, seen.toast
                );
                samples.push(json!([second, written, seen.table, seen.indexes, seen.toast]));
                sizes.push(seen);
            }
        }
        let rate = written as f64 / begun.elapsed().as_secs_f64();
        relay.end().await?;
        Ok(self.report(rate, &sizes, &samples))
    }

    fn report(&self, rate: f64, sizes: &[Sizes], samples: &[Value]) -> Report {
        let settings = json!({
            "minutes": self.minutes,
            "samples": { "columns": ["second", "rows", "table_mb", "indexes_mb", "toast_mb"], "rows": samples },
        });
        let mut report = Report::new("soak", settings);
        report.add(Row::new("rows through the outbox", "rows/s", [rate]));
        let (early, late) = sizes.split_at(sizes.len() / 2);
        let most = |half: &[Sizes], of: fn(&Sizes) -> f64| half.iter().map(of).fold(0.0, f64::max);
        // A table that grows is larger in its second half: the ratio says so.
        for (what, of) in [
            (
                "largest table in the second half",
                (|sizes| sizes.table) as fn(&Sizes) -> f64,
            ),
            ("largest indexes in the second half", |sizes| sizes.indexes),
            ("largest toast in the second half", |sizes| sizes.toast),
        ] {
            let row = Row::new(what, "MB", [most(late, of)]);
            let before = most(early, of);
            report.add(if before > 0.0 { row.ceilings([before]) } else { row });
        }
        report
    }
}

/// The sizes of the outbox, its partitions included.
async fn look(stand: &Stand) -> Result<Sizes> {
    let (table, indexes, toast): (i64, i64, i64) = sqlx::query_as(
        "select sum(pg_relation_size(relid))::bigint,
                sum(pg_indexes_size(relid))::bigint,
                sum(coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0))::bigint
         from pg_partition_tree('eventing.outbox')
         join pg_class on oid = relid",
    )
    .fetch_one(&stand.pool)
    .await?;
    let mb = |bytes: i64| bytes as f64 / 1e6;
    Ok(Sizes {
        table: mb(table),
        indexes: mb(indexes),
        toast: mb(toast),
    })
}
