//! `dead-letters`: a group with very many of them. How long its index takes to know them, how fast the groups of failures are
//! shown, and how long a replay of all of them takes to its end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::{Action, Changed, Decision, Desk, JobState, Pace, Selection, Start};
use eventing::{Clock, KafkaSettings, SchemaRegistry};
use schemas::catalogue::PAYMENTS;
use serde_json::json;
use uuid::Uuid;

use super::consume::{GROUP, topics};
use super::on_a_stand;
use crate::child::Child;
use crate::load::{letters, tables};
use crate::report::{Report, Row, Target};
use crate::stand::Stand;

const PREFIX: &str = "letters.";
/// How often the page's question is asked.
const ASKED: usize = 30;
const GROUPS_MS: f64 = 300.0;
/// The fastest pace there is.
const RATE: u32 = 10_000;
const DONE_WITHIN: Duration = Duration::from_mins(15);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many dead letters.
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<Report> {
        on_a_stand(async |stand| self.measure(stand).await).await
    }

    async fn measure(&self, stand: &Stand) -> Result<Report> {
        let mut report = Report::new("dead-letters", json!({ "rows": self.rows, "rate": RATE }));
        let mut kafka = KafkaSettings::new(&stand.brokers);
        PREFIX.clone_into(&mut kafka.topic_prefix);
        tables::make(&stand.pool).await?;
        for topic in topics(&kafka) {
            stand.create_topic(&topic, &[]).await?;
        }
        let (settings, rows) = (kafka.clone(), self.rows);
        tokio::task::spawn_blocking(move || letters::produce(&settings, GROUP, rows)).await??;
        let resources = Resources {
            pool: stand.pool.clone(),
            kafka,
            registry: SchemaRegistry::new("http://127.0.0.1:1/", stand.pool.clone())?,
            clock: Clock::system(),
        };
        let desk = Desk::new(&ConsumerGroup::unordered(GROUP, [PAYMENTS.name]), &resources);
        let mut replica = Child::start(
            stand,
            "group",
            &[
                ("kind", "serving".to_owned()),
                ("events", self.rows.to_string()),
                ("prefix", PREFIX.to_owned()),
            ],
        )
        .await?;
        let begun = Instant::now();
        replica.go().await?;
        self.until_indexed(&desk).await?;
        let indexed = self.rows as f64 / begun.elapsed().as_secs_f64();
        report.add(Row::new("letters indexed", "letters/s", [indexed]));
        let (median, slowest) = ask(&desk).await?;
        report.add(Row::new("groups of failures, median answer", "ms", [median]));
        report.add(
            Row::new("groups of failures, slowest answer", "ms", [slowest]).target(Target::AtMost(GROUPS_MS)),
        );
        let begun = Instant::now();
        self.replay_all(&desk).await?;
        let replayed = self.rows as f64 / begun.elapsed().as_secs_f64();
        report.add(Row::new(
            "replay of all of them, plan to end",
            "letters/s",
            [replayed],
        ));
        let (_, slowest) = ask(&desk).await?;
        report.add(
            Row::new("groups of failures after it, slowest answer", "ms", [slowest])
                .target(Target::AtMost(GROUPS_MS)),
        );
        replica.end().await?;
        let applied: i64 = sqlx::query_scalar("select count(*) from booked")
            .fetch_one(&stand.pool)
            .await?;
        ensure!(
            u64::try_from(applied)? == self.rows,
            "{applied} of {} letters were applied",
            self.rows
        );
        Ok(report)
    }

    /// Waits until the serving replica's index has come to the topic's end.
    async fn until_indexed(&self, desk: &Desk) -> Result<()> {
        let begun = Instant::now();
        loop {
            let known: u64 = desk.groups().await?.iter().map(|group| group.letters).sum();
            if known >= self.rows {
                return Ok(());
            }
            if begun.elapsed() > DONE_WITHIN {
                bail!("{known} of {} letters are indexed", self.rows);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Plans, starts, and waits until the job says that every letter was handled.
    async fn replay_all(&self, desk: &Desk) -> Result<()> {
        let pace = Pace {
            rate: RATE,
            canary: 0,
        };
        let plan = desk.plan(Action::Replay, &Selection::all(), pace).await?;
        let decision = Decision::new("bench", "to see how long it takes")?;
        let job = match desk.start(plan.id, &decision, Changed::Refuse).await? {
            Start::Started(job) => job.id,
            Start::Changed { changes, .. } => bail!("the plan changed: {changes:?}"),
        };
        self.until_handled(desk, job).await
    }

    async fn until_handled(&self, desk: &Desk, id: Uuid) -> Result<()> {
        let begun = Instant::now();
        loop {
            let job = desk.job(id).await?;
            if job.state == JobState::Finished && job.handled == self.rows {
                return Ok(());
            }
            let given_up = matches!(job.state, JobState::Stopped | JobState::Cancelled);
            if given_up || begun.elapsed() > DONE_WITHIN {
                bail!(
                    "the job is {}: {} of {} letters were handled, {} failed again ({:?})",
                    job.state.as_str(),
                    job.handled,
                    self.rows,
                    job.failed_again,
                    job.note
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Asks for the groups of failures again and again: the middle and the slowest answer, in milliseconds.
async fn ask(desk: &Desk) -> Result<(f64, f64)> {
    let mut answers = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let asked = Instant::now();
        let groups = desk.groups().await?;
        answers.push(asked.elapsed().as_secs_f64() * 1e3);
        ensure!(!groups.is_empty(), "no failures are shown");
    }
    answers.sort_by(f64::total_cmp);
    Ok((answers[ASKED / 2], answers[ASKED - 1]))
}
