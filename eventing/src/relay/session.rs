//! One period of activity: from getting the lock to losing the connection, or to the shutdown.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::failures::{is_about_the_record, is_consequence};
use super::floor::Rising;
use super::health::Health;
use super::leader::{Leader, LeaderError, PROBE_EVERY};

use super::metrics::Metrics;
use super::publisher::{Publisher, Refusal, Report};
use super::rows::Row;
use super::span::send_span;
use super::topics::{self, Topics, Verdict};
use super::vacuum::Deletions;
use super::wake::Wake;
use super::{Parts, Relay};
use crate::crash_point;
use crate::hold::Hold;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How often the outbox is looked at for the gauges.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After so long without all acknowledgements, the relay says that it is held up.
const HELD_UP_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Session<'a> {
    relay: &'a Relay,
    leader: Leader,
    health: &'a Health,
    metrics: &'a Metrics,
    deletions: Deletions<'a>,
    rising: Rising,
    look_at: Instant,
    config: rdkafka::ClientConfig,
    topics: Topics,
    wake: Wake,
    hold: Hold,
    /// How many rows are still to be sent one by one, because one of them made the broker refuse a whole batch.
    suspects: usize,
}

/// Why a period of activity ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Leader(#[from] LeaderError),
    #[error("no producer can be made: {0}")]
    Configuration(KafkaError),
}

/// Why a producer has to be replaced.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("kafka refused {failed} records, the first with: {first}")]
    Refused { failed: usize, first: RDKafkaErrorCode },
    #[error("the producer stopped: {0}")]
    Fatal(String),
    #[error("shut down before all acknowledgements came")]
    Shutdown,
}

impl From<LeaderError> for PublishError {
    fn from(error: LeaderError) -> Self {
        Self::Session(error.into())
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(relay: &'a Relay, parts: &'a Parts, leader: Leader) -> Self {
        Self {
            relay,
            leader,
            health: &parts.health,
            metrics: &parts.metrics,
            deletions: parts.vacuum.deletions(),
            rising: Rising::new(),
            look_at: Instant::now(),
            config: relay.producer_config(),
            topics: Topics::new(relay.settings.unknown_topic_grace),
            wake: Wake::new(relay.outbox.wake()),
            hold: Hold::new(),
            suspects: 0,
        }
    }

    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), SessionError> {
        while !shutdown.is_cancelled() {
            let publisher =
                Publisher::new(&self.config, &self.relay.kafka).map_err(SessionError::Configuration)?;
            let outcome = self.publish_with(&publisher, shutdown).await;
            publisher.discard().await;
            match outcome {
                Ok(()) | Err(PublishError::Shutdown) => break,
                Err(PublishError::Session(error)) => return Err(error),
                Err(error) => self.hold(&error, shutdown).await?,
            }
        }
        self.leader.resign().await;
        Ok(())
    }

    /// Publishes batch after batch until the producer fails.
    async fn publish_with(
        &mut self,
        publisher: &Publisher,
        shutdown: &CancellationToken,
    ) -> Result<(), PublishError> {
        while !shutdown.is_cancelled() {
            self.ask_for_held_topics(publisher).await?;
            self.rising.rise(&mut self.leader).await?;
            self.look().await?;
            let Some(rows) = shutdown.run_until_cancelled(self.read()).await else {
                break;
            };
            let rows = self.take_blocked(rows?).await?;
            let (rows, refused) = self.sort_out(publisher, rows).await?;
            if rows.is_empty() {
                self.health.working();
                let _ = shutdown.run_until_cancelled(self.wake.wait()).await;
                continue;
            }
            let span = send_span(&rows);
            self.publish(publisher, &rows, refused, shutdown)
                .instrument(span)
                .await?;
            self.wake.worked();
            self.hold.reset();
            self.health.working();
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Row>, LeaderError> {
        let settings = &self.relay.settings;
        let limit = if self.suspects > 0 {
            1
        } else {
            i64::from(settings.batch_rows)
        };
        let held = self.topics.held(Instant::now());
        self.leader
            .read(limit, i64::from(settings.batch_bytes), &held, self.rising.floor())
            .await
    }

    /// Looks every few seconds how much there is to do.
    async fn look(&mut self) -> Result<(), LeaderError> {
        if Instant::now() >= self.look_at {
            let glance = self.leader.glance(self.rising.floor()).await?;
            self.metrics.seen(glance);
            self.health.set_aside(glance.set_aside);
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(())
    }

    /// Takes rows of blocked aggregates out of the way, and keeps the others.
    async fn take_blocked(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, LeaderError> {
        let (blocked, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.blocked);
        if !blocked.is_empty() {
            let seqs: Vec<i64> = blocked.iter().map(|row| row.seq).collect();
            self.leader.take_blocked(&seqs).await?;
            self.wake.worked();
        }
        Ok(rows)
    }

    /// Publishes one batch, and marks what became of it.
    async fn publish(
        &mut self,
        publisher: &Publisher,
        rows: &[Row],
        refused: Vec<Refusal>,
        shutdown: &CancellationToken,
    ) -> Result<(), PublishError> {
        crash_point("relay.produce.before");
        let mut refused = publisher.send(rows, refused).await?;
        let settled = self.settle(publisher, shutdown).await;
        crash_point("relay.produce.after");
        if let Err(PublishError::Session(_)) = settled {
            return settled;
        }
        let report = publisher.take_report();
        let failure = self.judge(rows, &report, &mut refused);
        self.mark(rows, &report.published).await?;
        self.set_aside(rows, &refused).await?;
        settled?;
        failure.map_or(Ok(()), Err)
    }

    /// Waits for the acknowledgements, and meanwhile shows the database that we live.
    async fn settle(
        &mut self,
        publisher: &Publisher,
        shutdown: &CancellationToken,
    ) -> Result<(), PublishError> {
        let began = Instant::now();
        let stop = async {
            shutdown.cancelled().await;
            tokio::time::sleep(self.relay.settings.stop_within).await;
        };
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = publisher.settled() => return Ok(()),
                () = &mut stop => return Err(PublishError::Shutdown),
                () = tokio::time::sleep(PROBE_EVERY) => {}
            }
            self.leader.probe().await?;
            self.look().await?;
            if let Some(error) = publisher.fatal_error() {
                return Err(PublishError::Fatal(error));
            }
            if began.elapsed() >= HELD_UP_AFTER {
                let why = publisher.last_error().unwrap_or_else(|| "no answer".to_owned());
                self.health.holding(format!("Kafka does not acknowledge: {why}"));
            }
        }
    }

    /// Decides what the failed records mean. A record that failed alone and because of what it is, is refused; any other
    /// failure is the producer's end.
    fn judge(&mut self, rows: &[Row], report: &Report, refused: &mut Vec<Refusal>) -> Option<PublishError> {
        let Some((index, first)) = report
            .failed
            .iter()
            .copied()
            .find(|(_, code)| !is_consequence(*code))
            .or_else(|| report.failed.first().copied())
        else {
            self.suspects = self.suspects.saturating_sub(rows.len());
            return None;
        };
        for (index, code) in &report.failed {
            if let Some(row) = rows.get(*index).filter(|_| topics::is_missing(*code)) {
                self.topics.forget(&row.topic);
            }
        }
        if is_about_the_record(first) {
            if rows.len() == 1 {
                self.suspects = self.suspects.saturating_sub(1);
                refused.push(Refusal {
                    index,
                    reason: format!("Kafka refuses it: {first}"),
                });
            } else {
                self.suspects = rows.len();
            }
        }
        Some(PublishError::Refused {
            failed: report.failed.len(),
            first,
        })
    }

    async fn mark(&mut self, rows: &[Row], published: &[usize]) -> Result<(), LeaderError> {
        if published.is_empty() {
            return Ok(());
        }
        let rows: Vec<&Row> = published.iter().filter_map(|index| rows.get(*index)).collect();
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        let marked = self.leader.mark(&seqs).await?;
        crash_point("relay.mark.after");
        self.deletions.add(marked);
        self.rising.deleted();
        if marked != seqs.len() as u64 {
            tracing::error!(
                published = seqs.len(),
                marked,
                "outbox rows vanished while their records were sent"
            );
        }
        self.metrics.published(rows.into_iter(), self.relay.clock().now());
        Ok(())
    }

    async fn set_aside(&mut self, rows: &[Row], refused: &[Refusal]) -> Result<(), LeaderError> {
        for refusal in refused {
            let Some(row) = rows.get(refusal.index) else {
                continue;
            };
            let reason = refusal.reason.as_str();
            self.leader
                .set_aside(row, reason, self.relay.clock().now())
                .await?;
            tracing::error!(
                seq = row.seq,
                topic = row.topic,
                key = row.key,
                reason,
                "an outbox row is set aside and blocks its aggregate; see `outbox list`"
            );
        }
        Ok(())
    }

    /// Keeps the rows whose topic exists or is given up, and refuses the first row of each aggregate of the latter.
    async fn sort_out(
        &mut self,
        publisher: &Publisher,
        rows: Vec<Row>,
    ) -> Result<(Vec<Row>, Vec<Refusal>), PublishError> {
        let new: HashSet<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
        let new = new
            .into_iter()
            .filter(|topic| self.topics.is_due(topic, Instant::now()));
        let new: Vec<String> = new.map(str::to_owned).collect();
        self.ask_for(publisher, new).await?;

        let now = Instant::now();
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| self.topics.verdict(&row.topic, now) != Verdict::Hold)
            .collect();
        let mut blocked = HashSet::new();
        let refused = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| self.topics.verdict(&row.topic, now) == Verdict::Refuse)
            .filter(|(_, row)| blocked.insert(row.aggregate()))
            .map(|(index, row)| Refusal {
                index,
                reason: format!("topic {} does not exist", self.relay.kafka.topic(&row.topic)),
            })
            .collect();
        Ok((rows, refused))
    }

    async fn ask_for_held_topics(&mut self, publisher: &Publisher) -> Result<(), PublishError> {
        let now = Instant::now();
        let due = self
            .topics
            .held(now)
            .into_iter()
            .filter(|topic| self.topics.is_due(topic, now))
            .collect();
        self.ask_for(publisher, due).await
    }

    async fn ask_for(&mut self, publisher: &Publisher, topics: Vec<String>) -> Result<(), PublishError> {
        for topic in topics {
            let exists = publisher.topic_exists(&topic).await?;
            if !exists {
                tracing::warn!(topic, "the outbox holds rows for a topic that does not exist");
            }
            self.topics.learn(&topic, exists, Instant::now());
        }
        Ok(())
    }

    /// Pauses before the next producer is tried.
    async fn hold(&mut self, error: &PublishError, shutdown: &CancellationToken) -> Result<(), LeaderError> {
        tracing::warn!(%error, "the relay starts a new producer at the first unpublished row");
        self.health.holding(error.to_string());
        // Before and after, because what failed and the pause together may be longer than the silence allowed.
        self.leader.probe().await?;
        let _ = shutdown.run_until_cancelled(self.hold.pause()).await;
        self.leader.probe().await?;
        self.look().await
    }
}
