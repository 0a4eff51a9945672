//! The partitions that this member has, and how far it is in each. Shared by the thread that reads from Kafka, by the workers,
//! and by the rebalance callbacks; no lock is held across anything that waits, but for the wait for idleness itself.

mod partition;

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use partition::Partition;

/// Records of one partition between its position and the last one read, beyond which it is paused. A held record keeps the
/// position back while others go on, so this also bounds what is read again after a crash.
const MAX_SPAN: usize = 5_000;

/// Records that wait for a worker, beyond which reading pauses; it goes on below half of it.
const MAX_QUEUED: usize = 4_000;

/// Bytes of them.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// A topic by its place in the subscription, and a partition of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionId {
    pub(crate) topic: usize,
    pub(crate) partition: i32,
}

/// A record on its way to a worker.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) partition: PartitionId,
    /// Tells this assignment of the partition from an earlier one.
    generation: u64,
    /// Cancelled when the partition goes to another member, or this one shuts down.
    pub(crate) stop: CancellationToken,
    pub(crate) record: Record,
    bytes: usize,
}

/// What becomes of a record that was read.
#[derive(Debug)]
pub(crate) enum Admission {
    /// To a worker.
    Ready(Job),
    /// It is not due yet, or stands behind one that is not. Its partition is to be paused.
    Waits,
    /// It was read before, or its partition is not ours any more.
    Ignored,
}

#[derive(Debug, Default)]
pub(crate) struct Assignment {
    state: Mutex<State>,
    /// Told when a worker is done with a record.
    idle: Condvar,
    /// Told when reading may go on.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<PartitionId, Partition>,
    generations: u64,
    queued: usize,
    queued_bytes: usize,
    /// Too much is queued, and nothing is read until it is half.
    full: bool,
}

impl Assignment {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn assign(&self, ids: &[PartitionId]) {
        let mut state = self.state();
        for id in ids {
            state.generations += 1;
            let partition = Partition::new(state.generations);
            state.partitions.insert(*id, partition);
        }
    }

    /// Lets nothing of these partitions begin any more but what lies below records that have begun, and ends the waits of those
    /// that are held.
    pub(crate) fn stop(&self, ids: &[PartitionId]) {
        let mut state = self.state();
        for id in ids {
            if let Some(partition) = state.partitions.get_mut(id) {
                partition.stop();
            }
        }
    }

    /// Blocks until what may still be finished of these stopped partitions is; `false` when that takes too long.
    pub(crate) fn wait_until_idle(&self, ids: &[PartitionId], deadline: Duration) -> bool {
        let busy = |state: &mut State| {
            ids.iter()
                .filter_map(|id| state.partitions.get(id))
                .any(|partition| partition.unfinished > 0)
        };
        let waited = self.idle.wait_timeout_while(self.state(), deadline, busy);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Forgets partitions: what workers still finish of them counts no more.
    pub(crate) fn remove(&self, ids: &[PartitionId]) {
        let mut state = self.state();
        for id in ids {
            state.partitions.remove(id);
        }
    }

    pub(crate) fn ids(&self) -> Vec<PartitionId> {
        self.state().partitions.keys().copied().collect()
    }

    /// Takes a record that was read; `due` is when its retry tier lets it go.
    pub(crate) fn admit(
        &self,
        id: PartitionId,
        record: Record,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Admission {
        let mut state = self.state();
        let Some(partition) = state.partitions.get_mut(&id) else {
            return Admission::Ignored;
        };
        if partition.stop.is_cancelled() || !partition.tracker.start(record.place.offset) {
            return Admission::Ignored;
        }
        let due = due.unwrap_or(now);
        if due > now || !partition.waiting.is_empty() {
            partition.waiting.push_back((due, record));
            return Admission::Waits;
        }
        let job = partition.job(id, record);
        state.enqueued(&job);
        Admission::Ready(job)
    }

    /// The waiting records that are due, in order, and when the next one is.
    pub(crate) fn due(&self, now: Timestamp) -> (Vec<Job>, Option<Timestamp>) {
        let mut state = self.state();
        let mut jobs = Vec::new();
        for (id, partition) in &mut state.partitions {
            while let Some((_, record)) = partition.waiting.pop_front_if(|(due, _)| *due <= now) {
                jobs.push(partition.job(*id, record));
            }
        }
        for job in &jobs {
            state.enqueued(job);
        }
        let heads = state
            .partitions
            .values()
            .filter_map(|partition| partition.waiting.front());
        let next = heads.map(|(due, _)| *due).min();
        (jobs, next)
    }

    /// A worker takes a job up. `false` when its partition went away meanwhile.
    pub(crate) fn begin(&self, job: &Job) -> bool {
        let mut state = self.state();
        state.dequeued(job);
        if state.full && state.queued <= MAX_QUEUED / 2 && state.queued_bytes <= MAX_QUEUED_BYTES / 2 {
            state.full = false;
            self.freed.notify_one();
        }
        state
            .current(job)
            .is_some_and(|partition| partition.begin(job.record.place.offset))
    }

    /// A worker is done with a job that it began; `completed` when its record need never be read again.
    pub(crate) fn finish(&self, job: &Job, completed: bool) {
        let mut state = self.state();
        let Some(partition) = state.current(job) else {
            return;
        };
        partition.finish(job.record.place.offset, completed);
        if partition.paused && partition.tracker.span() <= MAX_SPAN / 2 {
            self.freed.notify_one();
        }
        self.idle.notify_all();
    }

    /// Waits until reading may go on somewhere.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Which partitions are to be paused now, and which resumed.
    pub(crate) fn pauses(&self) -> (Vec<PartitionId>, Vec<PartitionId>) {
        let mut state = self.state();
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        let full = state.full;
        for (id, partition) in &mut state.partitions {
            let limit = if partition.paused { MAX_SPAN / 2 } else { MAX_SPAN };
            let wanted = full || !partition.waiting.is_empty() || partition.tracker.span() > limit;
            if wanted != partition.paused {
                partition.paused = wanted;
                if wanted { pause.push(*id) } else { resume.push(*id) }
            }
        }
        (pause, resume)
    }

    /// Whether so much is queued that reading has to pause.
    pub(crate) fn is_full(&self, id: PartitionId) -> bool {
        let state = self.state();
        let long = |partition: &Partition| !partition.paused && partition.tracker.span() > MAX_SPAN;
        state.full || state.partitions.get(&id).is_some_and(long)
    }

    /// The positions of these partitions that were not handed over to be committed, which they then are.
    pub(crate) fn take_unstored(&self, ids: &[PartitionId]) -> Vec<(PartitionId, i64)> {
        let mut state = self.state();
        let mut unstored = Vec::new();
        for id in ids {
            let Some(partition) = state.partitions.get_mut(id) else {
                continue;
            };
            let position = partition.tracker.position();
            if let Some(position) = position.filter(|_| position != partition.stored) {
                partition.stored = Some(position);
                unstored.push((*id, position));
            }
        }
        unstored
    }

    /// Whether a position of these partitions is not known to be committed.
    pub(crate) fn has_uncommitted(&self, ids: &[PartitionId]) -> bool {
        let state = self.state();
        let mut partitions = ids.iter().filter_map(|id| state.partitions.get(id));
        partitions.any(|partition| partition.tracker.position() > partition.committed)
    }

    /// A position was committed.
    pub(crate) fn committed(&self, id: PartitionId, position: i64) {
        if let Some(partition) = self.state().partitions.get_mut(&id) {
            partition.committed = Some(position);
        }
    }

    /// The position of a partition that is ours, if it has moved since it was assigned.
    pub(crate) fn position(&self, id: PartitionId) -> Option<i64> {
        self.state().partitions.get(&id)?.tracker.position()
    }
}

impl State {
    /// The partition as it was when the job was made.
    fn current(&mut self, job: &Job) -> Option<&mut Partition> {
        self.partitions
            .get_mut(&job.partition)
            .filter(|partition| partition.generation == job.generation)
    }

    fn enqueued(&mut self, job: &Job) {
        self.queued += 1;
        self.queued_bytes += job.bytes;
        self.full |= self.queued >= MAX_QUEUED || self.queued_bytes >= MAX_QUEUED_BYTES;
    }

    fn dequeued(&mut self, job: &Job) {
        self.queued -= 1;
        self.queued_bytes -= job.bytes;
    }
}

#[cfg(test)]
mod tests;
