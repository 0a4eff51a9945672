//! One lane's task: from taking the lane to giving it back or losing it.

mod destinations;
mod failed;
mod marks;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::marks::Unmarked;
use super::Shared;
use super::connection::{ConnectionError, connect_lane};
use super::floor::Floor;
use super::leases::Lease;
use super::publisher::{Publisher, Refusal};
use super::rows::{Batch, Bounds, Row, Rows};
use super::span::send_span;
use super::state::LaneState;
use super::topics::Topics;
use crate::crash_point;
use crate::hold::Hold;

/// After so long without all acknowledgements, the relay says that it is held up.
const HELD_UP_AFTER: Duration = Duration::from_secs(5);
/// How often a producer that does not settle is looked at.
const LOOK_AT_PRODUCER_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether aggregates of the lane are still blocked.
const LOOK_AT_BLOCKED_EVERY: Duration = Duration::from_secs(1);
/// An idle lane looks for itself so often, whoever should have woken it.
const LOOK_ANYWAY_AFTER: Duration = Duration::from_secs(2);

/// How a lane's task is ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    /// Finish what is under way.
    pub(super) politely: CancellationToken,
    /// Somebody else has the lane.
    pub(super) at_once: CancellationToken,
}

/// Why a lane's task ended although nobody had told it to.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error("the lease of the lane is over")]
    Lost,
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("no producer can be made: {0}")]
    Configuration(KafkaError),
}

/// Why a producer has to be replaced.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Lane(#[from] LaneError),
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("kafka refused {failed} records, the first with: {first}")]
    Refused { failed: usize, first: RDKafkaErrorCode },
    #[error("the producer stopped: {0}")]
    Fatal(String),
    #[error("stopped before all acknowledgements came")]
    Stopped,
}

impl From<ConnectionError> for PublishError {
    fn from(error: ConnectionError) -> Self {
        Self::Lane(error.into())
    }
}

/// Relays a lane until it is stopped or lost.
pub(super) async fn relay(
    shared: Arc<Shared>,
    lease: Lease,
    state: Arc<LaneState>,
    stop: Stop,
) -> Result<(), LaneError> {
    let _relayed_here = shared.outbox.wakes().relay_here(lease.lane);
    let mut hold = Hold::new();
    let mut outcome = Ok(());
    while !stop.politely.is_cancelled() {
        outcome = relay_on_one_connection(&shared, lease, &state, &stop, &mut hold).await;
        match &outcome {
            Err(LaneError::Connection(error)) => {
                tracing::warn!(%error, lane = lease.lane.number(), "a lane of the outbox cannot be read; it is tried again");
                let reason = format!("the outbox cannot be read: {error}");
                shared.health.holding(lease.lane, reason);
                let _ = stop.politely.run_until_cancelled(hold.pause()).await;
            }
            Ok(()) | Err(LaneError::Lost | LaneError::Configuration(_)) => break,
        }
    }
    shared.health.working(lease.lane);
    match outcome {
        // It was stopped while it held.
        Err(LaneError::Connection(_)) => Ok(()),
        outcome => outcome,
    }
}

async fn relay_on_one_connection(
    shared: &Shared,
    lease: Lease,
    state: &LaneState,
    stop: &Stop,
    hold: &mut Hold,
) -> Result<(), LaneError> {
    let connect = connect_lane(&shared.database, shared.outbox.service());
    let Some(connection) = stop.politely.run_until_cancelled(connect).await else {
        return Ok(());
    };
    // A server that crashed may have forgotten what we deleted, so nothing is known of the low numbers any more.
    state.raise(Floor::default());
    let session = Session {
        shared,
        lease,
        state,
        stop,
        rows: Rows::new(connection?, shared.name, lease),
        topics: Topics::new(shared.settings.unknown_topic_grace),
        hold,
        is_any_blocked: true,
        is_in_trouble: false,
        suspects: 0,
        unmarked: Unmarked::default(),
    };
    session.run().await
}

struct Session<'a> {
    shared: &'a Shared,
    lease: Lease,
    state: &'a LaneState,
    stop: &'a Stop,
    rows: Rows,
    topics: Topics,
    hold: &'a mut Hold,
    /// An aggregate of the lane may be blocked, so each batch has to be compared with those that are. Only the lane's owner
    /// blocks one.
    is_any_blocked: bool,
    /// A record of this lane was refused, and it sends with a producer of its own until it is past it.
    is_in_trouble: bool,
    /// How many rows are still to be sent one by one, because one of them made the broker refuse a whole batch.
    suspects: usize,
    /// What is published and not yet marked.
    unmarked: Unmarked,
}

impl Session<'_> {
    async fn run(mut self) -> Result<(), LaneError> {
        let producers = &self.shared.producers;
        while !self.stop.politely.is_cancelled() {
            let publisher =
                Publisher::new(producers, &self.shared.kafka, self.lease.lane, self.is_in_trouble)
                    .map_err(LaneError::Configuration)?;
            let mut outcome = self.publish_with(&publisher).await;
            if !matches!(outcome, Err(PublishError::Lane(_)))
                && let Err(error) = self.mark().await
            {
                outcome = Err(error.into());
            }
            match &outcome {
                Ok(()) | Err(PublishError::Lane(_) | PublishError::Kafka(_)) => {
                    publisher.close(producers).await;
                }
                Err(PublishError::Refused { .. } | PublishError::Fatal(_) | PublishError::Stopped) => {
                    publisher.discard(producers).await;
                }
            }
            match outcome {
                Ok(()) => {}
                Err(PublishError::Stopped) => break,
                Err(PublishError::Lane(error)) => return Err(error),
                Err(error) => self.pause_after(&error).await,
            }
        }
        self.rows.close().await;
        Ok(())
    }

    /// Publishes batch after batch until the producer fails, or is not the one to use any more.
    async fn publish_with(&mut self, publisher: &Publisher) -> Result<(), PublishError> {
        let mut looked_blocked_at = Instant::now();
        let mut behind = Vec::new();
        while !self.stop.politely.is_cancelled() {
            self.ask_for_held_topics(publisher).await?;
            if self.is_any_blocked && looked_blocked_at.elapsed() > LOOK_AT_BLOCKED_EVERY {
                self.is_any_blocked = self.rows.is_any_blocked().await?;
                looked_blocked_at = Instant::now();
            }
            let unannounced = self.state.take_found_by_poll();
            let (Batch { rows, is_cut }, later) = self.next(std::mem::take(&mut behind)).await?;
            let rows = self.take_blocked(rows).await?;
            let (rows, refused) = self.sort_out(publisher, rows).await?;
            if rows.is_empty() {
                self.shared.health.working(self.lease.lane);
                self.wait().await?;
                continue;
            }
            self.shared.activity.worked(unannounced);
            let span = send_span(&rows);
            let count = self.publish(publisher, &rows, refused).instrument(span).await?;
            if self.unmarked.are_many() || unannounced {
                self.mark().await?;
            }
            self.hold.reset();
            self.shared.health.working(self.lease.lane);
            if publisher.is_alone && self.suspects == 0 {
                self.is_in_trouble = false;
                return Ok(());
            }
            if count == rows.len() {
                behind = later;
                // If these were all, whatever else is committed has woken us already, or will.
                if behind.is_empty() && !is_cut {
                    self.wait().await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until there may be rows, and marks what is due meanwhile.
    async fn wait(&mut self) -> Result<(), LaneError> {
        loop {
            // Rows that are not marked would be found by whoever looks for rows.
            self.state.set_idle(self.unmarked.is_empty());
            let woken = self.shared.outbox.wakes().woken(self.lease.lane);
            let is_marking = tokio::select! {
                () = woken => false,
                () = self.unmarked.due() => true,
                () = tokio::time::sleep(LOOK_ANYWAY_AFTER) => false,
                () = self.stop.politely.cancelled() => false,
            };
            self.state.set_idle(false);
            if !is_marking {
                return Ok(());
            }
            self.mark().await?;
        }
    }

    fn limit(&self) -> usize {
        if self.suspects > 0 {
            1
        } else {
            usize::from(self.shared.settings.batch_rows)
        }
    }

    /// The rows behind those that were published just now; or rows that have none of their aggregate before them, and those behind.
    async fn next(&mut self, behind: Vec<Row>) -> Result<(Batch, Vec<Row>), ConnectionError> {
        if behind.is_empty() {
            let mut batch = self.read().await?;
            let behind = batch.split_off_behind();
            return Ok((batch, behind));
        }
        let batch = Batch {
            rows: behind,
            is_cut: true,
        };
        Ok((batch, Vec::new()))
    }

    async fn read(&mut self) -> Result<Batch, ConnectionError> {
        let bounds = Bounds {
            rows: self.limit(),
            bytes: self.shared.settings.batch_bytes as usize,
        };
        let held = self.topics.held(Instant::now());
        let floor = self.state.floor();
        self.rows.read(bounds, &held, floor, self.unmarked.seqs()).await
    }

    /// Takes rows of blocked aggregates out of the way, and keeps the others.
    async fn take_blocked(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, ConnectionError> {
        if !self.is_any_blocked || rows.is_empty() {
            return Ok(rows);
        }
        let blocked = self.rows.blocked_among(&rows).await?;
        if blocked.is_empty() {
            return Ok(rows);
        }
        self.rows.take_blocked(&blocked).await?;
        let blocked: HashSet<i64> = blocked.into_iter().collect();
        Ok(rows
            .into_iter()
            .filter(|row| !blocked.contains(&row.seq))
            .collect())
    }

    /// Publishes one batch, and keeps what became of it. Returns how many rows were published.
    async fn publish(
        &mut self,
        publisher: &Publisher,
        rows: &[Row],
        refused: Vec<Refusal>,
    ) -> Result<usize, PublishError> {
        crash_point("relay.produce.before");
        let mut refused = publisher.send(rows, refused).await?;
        let settled = self.settle(publisher).await;
        crash_point("relay.produce.after");
        if let Err(error @ PublishError::Lane(_)) = settled {
            return Err(error);
        }
        let report = publisher.take_report();
        let failure = self.judge(rows, &report, &mut refused);
        self.note_published(rows, &report.published);
        if !refused.is_empty() {
            // An aggregate's earlier rows are gone when it is blocked.
            self.mark().await?;
            self.set_aside(rows, &refused).await?;
        }
        settled?;
        failure.map_or(Ok(report.published.len()), Err)
    }

    /// Waits for the acknowledgements.
    async fn settle(&mut self, publisher: &Publisher) -> Result<(), PublishError> {
        let began = Instant::now();
        let stop = async {
            self.stop.politely.cancelled().await;
            tokio::time::sleep(self.shared.settings.stop_within).await;
        };
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = publisher.settled() => return Ok(()),
                () = &mut stop => return Err(PublishError::Stopped),
                () = self.stop.at_once.cancelled() => return Err(LaneError::Lost.into()),
                () = tokio::time::sleep(LOOK_AT_PRODUCER_EVERY) => {}
            }
            if let Some(error) = publisher.fatal_error() {
                return Err(PublishError::Fatal(error));
            }
            if began.elapsed() >= HELD_UP_AFTER {
                let why = publisher.last_error().unwrap_or_else(|| "no answer".to_owned());
                let reason = format!("Kafka does not acknowledge: {why}");
                self.shared.health.holding(self.lease.lane, reason);
            }
        }
    }

    /// Pauses before the next producer is tried.
    async fn pause_after(&mut self, error: &PublishError) {
        tracing::warn!(%error, lane = self.lease.lane.number(), "the relay starts a new producer at the lane's first unpublished row");
        self.shared.health.holding(self.lease.lane, error.to_string());
        let _ = self.stop.politely.run_until_cancelled(self.hold.pause()).await;
    }
}
