//! `relay`: how fast the outbox drains and what that takes, what the relay costs at rest, and what the outbox costs its writer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use schemas::catalogue::PAYMENTS;
use serde_json::json;
use sqlx::Executor as _;

use super::on_a_stand;
use crate::child::Child;
use crate::load::{purchases, staging};
use crate::report::{Report, Row, Target};
use crate::stand::Stand;
use crate::usage;

/// Whatever the machine, a drain that takes longer has gone wrong.
const DRAIN_WITHIN: Duration = Duration::from_mins(10);
/// Not counted: a broker that has just started compiles itself. Of the 43 s of processor that one took for three rounds, its
/// compiler took 18, and the rounds drained 58k, 76k and 96k rows a second, under ceilings of 173k, 219k and 230k. After two
/// rounds the ceiling is at 280k.
const WARM_UP_ROUNDS: usize = 2;
const REST: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rows of the drain.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often everything is measured; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long the writers write, each time.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// What a drain came to.
struct Drain {
    records_per_second: f64,
    memory_mb: f64,
    cores: f64,
    rest_cores: f64,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<Report> {
        on_a_stand(async |stand| self.measure(stand).await).await
    }

    async fn measure(&self, stand: &Stand) -> Result<Report> {
        let settings = json!({ "rows": self.rows, "rounds": self.rounds, "seconds": self.seconds });
        let mut report = Report::new("relay", settings);
        purchases::create_tables(&stand.pool).await?;
        staging::stage(&stand.pool, self.rows).await?;
        let (mut drains, mut ceilings) = (Vec::new(), Vec::new());
        for round in 0..WARM_UP_ROUNDS + self.rounds {
            // Before and after, so that a machine that slows down or speeds up meanwhile tilts no ratio.
            let before = self.ceiling(stand, &format!("ceiling-{round}-a.")).await?;
            let drain = self.drain(stand, &format!("drain-{round}.")).await?;
            let after = self.ceiling(stand, &format!("ceiling-{round}-b.")).await?;
            if round >= WARM_UP_ROUNDS {
                drains.push(drain);
                ceilings.push(f64::midpoint(before, after));
            }
        }
        let each = |of: fn(&Drain) -> f64| drains.iter().map(of).collect::<Vec<f64>>();
        report.add(
            Row::new(
                "drain of the outbox",
                "records/s",
                each(|drain| drain.records_per_second),
            )
            .ceilings(ceilings)
            .target(Target::RatioAtLeast(0.55)),
        );
        report.add(
            Row::new(
                "relay's peak memory in the drain",
                "MB",
                each(|drain| drain.memory_mb),
            )
            .target(Target::AtMost(150.0)),
        );
        report.add(Row::new(
            "relay's processor in the drain",
            "cores",
            each(|drain| drain.cores),
        ));
        report.add(
            Row::new(
                "relay's processor at rest",
                "cores",
                each(|drain| drain.rest_cores),
            )
            .target(Target::AtMost(0.02)),
        );
        self.cost_to_writers(stand, &mut report).await?;
        Ok(report)
    }

    /// Records a second of a bare producer.
    async fn ceiling(&self, stand: &Stand, prefix: &str) -> Result<f64> {
        let topic = format!("{prefix}{}", PAYMENTS.name);
        stand.create_topic(&topic, &[]).await?;
        let arguments = [("records", self.rows.to_string()), ("prefix", prefix.to_owned())];
        let mut child = Child::start(stand, "producer", &arguments).await?;
        child.go().await?;
        let found = child.found().await?;
        ensure!(
            stand.records(&topic).await? == self.rows,
            "the ceiling's records are not all there"
        );
        stand.delete_topic(&topic).await?;
        let seconds = found["seconds"].as_f64().context("the ceiling's seconds")?;
        Ok(self.rows as f64 / seconds)
    }

    /// From a relay's start until the last row is deleted.
    async fn drain(&self, stand: &Stand, prefix: &str) -> Result<Drain> {
        let topic = format!("{prefix}{}", PAYMENTS.name);
        stand.create_topic(&topic, &[]).await?;
        // Before the rows, and not between them and the relay: an outbox's rows come and go between two checkpoints, and after one
        // each page that a row is deleted from would be logged whole.
        stand.checkpoint().await?;
        staging::fill_outbox(&stand.pool, 0, self.rows).await?;
        let mut child = Child::start(stand, "relay", &[("prefix", prefix.to_owned())]).await?;
        let pid = child.pid()?;
        let (used, begun) = (usage::processor_seconds(pid)?, Instant::now());
        child.go().await?;
        stand.wait_for_records(&topic, self.rows, DRAIN_WITHIN).await?;
        while !staging::outbox_is_empty(&stand.pool).await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cores = (usage::processor_seconds(pid)? - used) / seconds;
        let memory_mb = usage::peak_memory_mb(pid)?;
        let rest_cores = rest(stand, pid).await?;
        child.end().await?;
        stand.delete_topic(&topic).await?;
        Ok(Drain {
            records_per_second: self.rows as f64 / seconds,
            memory_mb,
            cores,
            rest_cores,
        })
    }

    async fn cost_to_writers(&self, stand: &Stand, report: &mut Report) -> Result<()> {
        let (mut without, mut with, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            without.push(self.writers(stand, false, false, round).await?);
            with.push(self.writers(stand, true, false, round).await?);
            stand.pool.execute("truncate eventing.outbox").await?;
            relayed.push(self.writers(stand, true, true, round).await?);
            stand.pool.execute("truncate eventing.outbox").await?;
        }
        report.add(
            Row::new("16 writers that append", "transactions/s", with)
                .ceilings(without.clone())
                .target(Target::RatioAtLeast(0.8)),
        );
        report.add(
            Row::new(
                "the same while a relay shares the machine",
                "transactions/s",
                relayed,
            )
            .ceilings(without),
        );
        Ok(())
    }

    /// Transactions a second.
    async fn writers(&self, stand: &Stand, append: bool, relay: bool, round: usize) -> Result<f64> {
        let prefix = format!("writers-{round}-{append}-{relay}.");
        stand
            .create_topic(&format!("{prefix}{}", PAYMENTS.name), &[])
            .await?;
        let arguments = [
            ("seconds", self.seconds.to_string()),
            ("append", append.to_string()),
            ("relay", relay.to_string()),
            ("prefix", prefix),
        ];
        let mut child = Child::start(stand, "shop", &arguments).await?;
        child.go().await?;
        let found = child.found().await?;
        child.leave().await?;
        let figure = |name| {
            found[name]
                .as_f64()
                .with_context(|| format!("the writers' {name}"))
        };
        Ok(figure("transactions")? / figure("seconds")?)
    }
}

/// The share of a core that the relay takes when there is nothing to do, once the drain's remains are vacuumed away.
async fn rest(stand: &Stand, pid: u32) -> Result<f64> {
    stand.pool.execute("vacuum eventing.outbox").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = usage::processor_seconds(pid)?;
    tokio::time::sleep(REST).await;
    Ok((usage::processor_seconds(pid)? - used) / REST.as_secs_f64())
}
