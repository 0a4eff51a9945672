//! `dead-letters`: a group with very many of them. How long its index takes to know them, how fast the groups of failures are
//! shown, and how long a replay of all of them takes to its end, though the process that does it is killed in the middle; and
//! whether each was applied once, though nothing in the table would refuse a second time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::{
    Action, Changed, Decision, Desk, Filter, Job, JobState, Pace, Selection, Start,
};
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
const LOOK: Duration = Duration::from_millis(250);

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
        let begun = Instant::now();
        let killed = self.replica(stand).await?;
        self.until_indexed(&desk).await?;
        let indexed = self.rows as f64 / begun.elapsed().as_secs_f64();
        report.add(Row::new("letters indexed", "letters/s", [indexed]));
        let groups = ask(async || Ok(!desk.groups().await?.is_empty())).await?;
        report.add(groups.median("groups of failures, median answer"));
        report.add(
            groups
                .slowest("groups of failures, slowest answer")
                .target(Target::AtMost(GROUPS_MS)),
        );
        let list =
            ask(async || Ok(!desk.letters(&Filter::default(), None, 100).await?.rows.is_empty())).await?;
        report.add(list.slowest("a page of the list, slowest answer"));

        let begun = Instant::now();
        let job = self.begin(&desk).await?;
        report.add(Row::new(
            "plan and start of the replay",
            "ms",
            [begun.elapsed().as_secs_f64() * 1e3],
        ));
        let begun = Instant::now();
        let half = self.until(&desk, job, |job| job.handled >= self.rows / 2).await?;
        let rate = half.handled as f64 / begun.elapsed().as_secs_f64();
        report.add(Row::new("replay until the kill -9 half way", "letters/s", [rate]));
        killed.kill().await?;
        let (rest, resumed) = (self.rows - half.handled, Instant::now());
        let replica = self.replica(stand).await?;
        self.until(&desk, job, |job| {
            job.state == JobState::Finished && job.handled == self.rows
        })
        .await?;
        let rate = rest as f64 / resumed.elapsed().as_secs_f64();
        report.add(Row::new(
            "the rest, with the time to take over",
            "letters/s",
            [rate],
        ));
        let seconds = begun.elapsed().as_secs_f64();
        report.add(Row::new("the whole replay", "s", [seconds]));
        let groups = ask(async || Ok(!desk.groups().await?.is_empty())).await?;
        report.add(
            groups
                .slowest("groups of failures after it, slowest answer")
                .target(Target::AtMost(GROUPS_MS)),
        );
        let job_page = ask(async || Ok(desk.job(job).await?.handled == self.rows)).await?;
        report.add(job_page.slowest("progress of the job, slowest answer"));
        replica.end().await?;
        self.ensure_once(stand).await?;
        Ok(report)
    }

    /// Starts a process that serves the group.
    async fn replica(&self, stand: &Stand) -> Result<Child> {
        let arguments = [
            ("kind", "serving".to_owned()),
            ("events", self.rows.to_string()),
            ("prefix", PREFIX.to_owned()),
        ];
        let mut replica = Child::start(stand, "group", &arguments).await?;
        replica.go().await?;
        Ok(replica)
    }

    async fn ensure_once(&self, stand: &Stand) -> Result<()> {
        let (applied, events): (i64, i64) =
            sqlx::query_as("select count(*), count(distinct event_id) from booked")
                .fetch_one(&stand.pool)
                .await?;
        ensure!(
            u64::try_from(applied)? == self.rows && applied == events,
            "{applied} times one of {events} of {} letters was applied",
            self.rows
        );
        println!("  each of {events} letters was applied once");
        Ok(())
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

    async fn begin(&self, desk: &Desk) -> Result<Uuid> {
        let pace = Pace {
            rate: RATE,
            canary: 0,
        };
        let plan = desk.plan(Action::Replay, &Selection::all(), pace).await?;
        let decision = Decision::new("bench", "to see how long it takes")?;
        match desk.start(plan.id, &decision, Changed::Refuse).await? {
            Start::Started(job) => Ok(job.id),
            Start::Changed { changes, .. } => bail!("the plan changed: {changes:?}"),
        }
    }

    /// Waits until the job is as far as that. What it says must only ever grow.
    async fn until(&self, desk: &Desk, id: Uuid, is_there: impl Fn(&Job) -> bool) -> Result<Job> {
        let begun = Instant::now();
        let mut before = (0, 0);
        loop {
            let job = desk.job(id).await?;
            let now = (job.done, job.handled);
            ensure!(
                before.0 <= now.0 && before.1 <= now.1 && now.0.max(now.1) <= self.rows,
                "the job said {before:?} letters were sent and handled, and then {now:?}"
            );
            before = now;
            if is_there(&job) {
                return Ok(job);
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

/// How long answers took, in milliseconds, in order.
struct Answers(Vec<f64>);

/// Asks again and again for what must not be empty.
async fn ask(question: impl AsyncFn() -> Result<bool>) -> Result<Answers> {
    let mut answers = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let asked = Instant::now();
        ensure!(question().await?, "the answer is empty");
        answers.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    answers.sort_by(f64::total_cmp);
    Ok(Answers(answers))
}

impl Answers {
    fn median(&self, what: &str) -> Row {
        Row::new(what, "ms", [self.0[ASKED / 2]])
    }

    fn slowest(&self, what: &str) -> Row {
        Row::new(what, "ms", [self.0[ASKED - 1]])
    }
}
