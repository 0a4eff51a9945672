use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use schemas::Event;
use tokio_util::sync::CancellationToken;

use super::{Job, PartitionId};
use crate::consumer::record::Record;
use crate::consumer::tracker::Tracker;

/// One partition, from when it is assigned until it is revoked.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) generation: u64,
    /// Shared, because each further handle of a token counts under its lock.
    stop: Arc<CancellationToken>,
    pub(super) is_stopped: bool,
    pub(super) tracker: Tracker,
    /// The highest offset that a worker has begun.
    pub(super) begun_up_to: i64,
    /// Once stopped: how many records up to there are not finished.
    pub(super) unfinished: usize,
    /// Records of a retry tier that were read before they are due. Kafka hands out a few after a pause, hence several.
    pub(super) waiting: VecDeque<(Timestamp, Record)>,
    /// What Kafka's client was told last.
    pub(super) paused: bool,
    /// The position that Kafka's client commits with its next round.
    pub(super) stored: Option<i64>,
    pub(super) committed: Option<i64>,
}

impl Partition {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            stop: Arc::default(),
            is_stopped: false,
            tracker: Tracker::default(),
            begun_up_to: -1,
            unfinished: 0,
            waiting: VecDeque::new(),
            paused: false,
            stored: None,
            committed: None,
        }
    }

    /// Lets nothing begin any more but what lies below a record that was begun: done, that one would be read again otherwise.
    pub(super) fn stop(&mut self) {
        if !self.is_stopped {
            self.is_stopped = true;
            self.stop.cancel();
            self.unfinished = self.tracker.open_up_to(self.begun_up_to);
        }
    }

    pub(super) fn begin(&mut self, offset: i64) -> bool {
        if self.is_stopped {
            return offset <= self.begun_up_to;
        }
        self.begun_up_to = self.begun_up_to.max(offset);
        true
    }

    pub(super) fn finish(&mut self, offset: i64, completed: bool) {
        if self.is_stopped && offset <= self.begun_up_to {
            self.unfinished = self.unfinished.saturating_sub(1);
        }
        if completed {
            self.tracker.complete(offset);
        }
    }

    pub(super) fn job(&self, id: PartitionId, record: Record, event: Option<Event>) -> Job {
        Job {
            partition: id,
            generation: self.generation,
            stop: Arc::clone(&self.stop),
            bytes: record.bytes(),
            record,
            event,
        }
    }
}
