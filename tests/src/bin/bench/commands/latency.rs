//! `latency`: how long it takes from the commit until another process has the record, and what the relay takes for it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use schemas::catalogue::PAYMENTS;
use serde_json::{Value, json};

use super::on_a_stand;
use crate::child::Child;
use crate::load::transitions;
use crate::report::{Report, Row, Target};
use crate::stand::Stand;

/// The first so many are not counted: connections and caches warm up.
const WARM_UP: Duration = Duration::from_secs(3);
/// Until the last record has arrived.
const ARRIVE_WITHIN: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often everything is measured; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// One rate, and what is asked of it.
struct Level {
    rate: u32,
    p50_ms: f64,
    p99_ms: f64,
}

const LEVELS: [Level; 2] = [
    Level {
        rate: 500,
        p50_ms: 2.5,
        p99_ms: 10.0,
    },
    Level {
        rate: 2_000,
        p50_ms: 3.5,
        p99_ms: 20.0,
    },
];
/// The rate at which the relay's share of the machine is judged, and its bound.
const JUDGED_RATE: u32 = 2_000;
const RELAY_CORES: f64 = 0.2;

/// Who sends the records that a reader waits for.
#[derive(Clone, Copy)]
enum Sender {
    /// A bare producer.
    Direct,
    /// Writers with a relay in their process, which they wake.
    Shop,
    /// Writers without: a relay in another process has to find out by itself.
    Apart,
}

/// What one measurement came to.
#[derive(Default)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    relay_cores: f64,
    commit_p99_ms: f64,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<Report> {
        on_a_stand(async |stand| self.measure(stand).await).await
    }

    async fn measure(&self, stand: &Stand) -> Result<Report> {
        let settings = json!({ "seconds": self.seconds, "rounds": self.rounds });
        let mut report = Report::new("latency", settings);
        transitions::create_table(&stand.pool).await?;
        // Not counted: a broker that has just started compiles itself, and more under many records than under few.
        for sender in [Sender::Direct, Sender::Shop] {
            self.one(stand, sender, JUDGED_RATE, 0).await?;
        }
        for level in LEVELS {
            let (mut direct, mut shop, mut apart) = (Vec::new(), Vec::new(), Vec::new());
            for round in 1..=self.rounds {
                direct.push(self.one(stand, Sender::Direct, level.rate, round).await?);
                shop.push(self.one(stand, Sender::Shop, level.rate, round).await?);
                apart.push(self.one(stand, Sender::Apart, level.rate, round).await?);
            }
            rows(&mut report, &level, [&direct, &shop, &apart]);
        }
        Ok(report)
    }

    async fn one(&self, stand: &Stand, sender: Sender, rate: u32, round: usize) -> Result<Latency> {
        let name = match sender {
            Sender::Direct => "direct",
            Sender::Shop => "shop",
            Sender::Apart => "apart",
        };
        let prefix = format!("{name}-{rate}-{round}.");
        let topic = format!("{prefix}{}", PAYMENTS.name);
        stand.create_topic(&topic, &[]).await?;
        let on = ("prefix", prefix);
        let mut reader = Child::start(stand, "reader", std::slice::from_ref(&on)).await?;
        reader.go().await?;
        let relay = match sender {
            Sender::Apart => {
                let mut relay = Child::start(stand, "relay", std::slice::from_ref(&on)).await?;
                relay.go().await?;
                Some(relay)
            }
            Sender::Direct | Sender::Shop => None,
        };
        let mut arguments = vec![
            on,
            ("rate", rate.to_string()),
            ("seconds", self.seconds.to_string()),
        ];
        if matches!(sender, Sender::Apart) {
            arguments.push(("relay", false.to_string()));
        }
        let role = match sender {
            Sender::Direct => "direct",
            Sender::Shop | Sender::Apart => {
                arguments.push(("work", "transition".to_owned()));
                "shop"
            }
        };
        let mut writer = Child::start(stand, role, &arguments).await?;
        writer.go().await?;
        let sent = writer.found().await?;
        let commits = sent["commits"].as_array().context("the commits")?;
        stand
            .wait_for_records(&topic, u64::try_from(commits.len())?, ARRIVE_WITHIN)
            .await?;
        // The reader is a moment behind the broker.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = reader.end().await?;
        writer.leave().await?;
        if let Some(relay) = relay {
            relay.end().await?;
        }
        stand.delete_topic(&topic).await?;
        let mut latency = joined(commits, &seen)?;
        latency.relay_cores = sent["relay_cores"].as_f64().unwrap_or(0.0);
        Ok(latency)
    }
}

fn rows(report: &mut Report, level: &Level, [direct, shop, apart]: [&[Latency]; 3]) {
    let rate = level.rate;
    let each = |of: fn(&Latency) -> f64, all: &[Latency]| all.iter().map(of).collect::<Vec<f64>>();
    let p50 = |latency: &Latency| latency.p50_ms;
    let p99 = |latency: &Latency| latency.p99_ms;
    let row = |what: String, of: fn(&Latency) -> f64, all: &[Latency]| {
        Row::new(what, "ms", each(of, all)).ceilings(each(of, direct))
    };
    report.add(
        row(format!("commit → consumed at {rate}/s, p50"), p50, shop).target(Target::AtMost(level.p50_ms)),
    );
    report.add(
        row(format!("commit → consumed at {rate}/s, p99"), p99, shop).target(Target::AtMost(level.p99_ms)),
    );
    report.add(row(
        "the same with the relay elsewhere, p50".to_owned(),
        p50,
        apart,
    ));
    report.add(row(
        "the same with the relay elsewhere, p99".to_owned(),
        p99,
        apart,
    ));
    let cores = Row::new(
        format!("relay's processor at {rate}/s"),
        "cores",
        each(|latency| latency.relay_cores, shop),
    );
    report.add(if rate == JUDGED_RATE {
        cores.target(Target::AtMost(RELAY_CORES))
    } else {
        cores
    });
    report.add(Row::new(
        format!("writer's commit at {rate}/s, p99"),
        "ms",
        each(|latency| latency.commit_p99_ms, shop),
    ));
}

/// Puts what was sent and what was seen together: from the moment at which the writer knew of its commit.
fn joined(commits: &[Value], seen: &Value) -> Result<Latency> {
    let seen = seen["seen"].as_array().context("what the reader saw")?;
    let seen: HashMap<&str, i64> = seen
        .iter()
        .rev()
        .filter_map(|record| Some((record[0].as_str()?, record[1].as_i64()?)))
        .collect();
    let first = commits
        .iter()
        .filter_map(|commit| commit[2].as_i64())
        .min()
        .context("nothing was committed")?;
    let counted_from = first + i64::try_from(WARM_UP.as_micros())?;
    let (mut latencies, mut commit_times) = (Vec::new(), Vec::new());
    for commit in commits {
        let id = commit[0].as_str().context("an event's id")?;
        let began = commit[1].as_i64().context("when a commit began")?;
        let committed = commit[2].as_i64().context("when a commit was done")?;
        let seen = seen
            .get(id)
            .with_context(|| format!("event {id} never arrived"))?;
        if committed >= counted_from {
            latencies.push(seen - committed);
            commit_times.push(committed - began);
        }
    }
    ensure!(
        !latencies.is_empty(),
        "the measurement was shorter than its warm-up"
    );
    Ok(Latency {
        p50_ms: percentile_ms(&mut latencies, 50),
        p99_ms: percentile_ms(&mut latencies, 99),
        relay_cores: 0.0,
        commit_p99_ms: percentile_ms(&mut commit_times, 99),
    })
}

fn percentile_ms(microseconds: &mut [i64], percent: usize) -> f64 {
    microseconds.sort_unstable();
    let index = (microseconds.len() * percent / 100).min(microseconds.len().saturating_sub(1));
    microseconds.get(index).copied().unwrap_or(0) as f64 / 1e3
}
