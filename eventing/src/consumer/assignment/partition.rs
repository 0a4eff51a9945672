use std::collections::VecDeque;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Job, PartitionId};
use crate::consumer::record::Record;
use crate::consumer::tracker::Tracker;

/// One partition, from when it is assigned until it is revoked.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) generation: u64,
    pub(super) stop: CancellationToken,
    pub(super) tracker: Tracker,
    /// Records that a worker has begun and not finished.
    pub(super) handling: usize,
    /// Records of a retry tier that were read before they are due. Kafka hands out a few after a pause, hence several.
    pub(super) waiting: VecDeque<(Timestamp, Record)>,
    /// What Kafka's client was told last.
    pub(super) paused: bool,
    pub(super) committed: Option<i64>,
}

impl Partition {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            stop: CancellationToken::new(),
            tracker: Tracker::default(),
            handling: 0,
            waiting: VecDeque::new(),
            paused: false,
            committed: None,
        }
    }

    pub(super) fn job(&self, id: PartitionId, record: Record) -> Job {
        Job {
            partition: id,
            generation: self.generation,
            stop: self.stop.clone(),
            bytes: record.bytes(),
            record,
        }
    }
}
