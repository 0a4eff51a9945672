//! The partitions that this member has, and how far it is in each. Shared by the threads that read from Kafka, by the workers,
//! and by the rebalance callbacks; no lock is held across anything that waits, but for the wait for idleness itself.

mod partition;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use schemas::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use super::subscription::Part;
use partition::Partition;

/// Records of one partition between its position and the last one read, beyond which it is paused. A held record keeps the
/// position back while others go on, so this also bounds what is read again after a crash. More than a member has in hand, or
/// a partition that is read in one go would be paused for nothing.
const MAX_SPAN: usize = 20_000;

/// Bytes of what a member has in hand.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long reading just waits while too much is in hand. After that, partitions are paused, and reading goes on for what else
/// comes that way: news of the group, which would take a silent member for dead.
const PATIENCE: Duration = Duration::from_secs(1);

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
    pub(crate) stop: Arc<CancellationToken>,
    pub(crate) record: Record,
    /// What is in the record, if it was decoded when it was read.
    pub(crate) event: Option<Event>,
    bytes: usize,
}

/// A record that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) partition: PartitionId,
    pub(crate) record: Record,
    pub(crate) event: Option<Event>,
    /// When its retry tier lets it go.
    pub(crate) due: Option<Timestamp>,
    /// The [`Assignment::generation`] that it was read under.
    pub(crate) generation: u64,
}

/// What becomes of records that were read. Those that were read before, or whose partition is not ours any more, are left out.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// To the workers.
    pub(crate) jobs: Vec<Job>,
    /// When the first of those is due that have to wait, if any has. Their partitions are to be paused.
    pub(crate) next_due: Option<Timestamp>,
    /// Whether partitions have to be paused.
    pub(crate) pauses: bool,
}

/// What a member has: its partitions, and the records in hand, from when they are read until a worker is done with them.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// Records in hand, beyond which reading stops until it is half.
    max_records: usize,
    state: Mutex<State>,
    /// How many partitions were ever assigned.
    generations: AtomicU64,
    /// Told when a worker is done with a record.
    idle: Condvar,
    /// Told when reading may go on.
    freed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<PartitionId, Partition>,
    records: usize,
    bytes: usize,
    /// Since when too much is in hand, and nothing more is taken until it is half.
    full_since: Option<Instant>,
}

impl Assignment {
    /// Of a member that has so many records in hand at most.
    pub(crate) fn new(max_records: usize) -> Self {
        Self {
            max_records,
            state: Mutex::default(),
            generations: AtomicU64::new(0),
            idle: Condvar::new(),
            freed: watch::Sender::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn assign(&self, ids: &[PartitionId]) {
        let mut state = self.state();
        for id in ids {
            let generation = self.generations.fetch_add(1, Ordering::AcqRel) + 1;
            state.partitions.insert(*id, Partition::new(generation));
        }
    }

    /// Tells what is read now from what was read before a partition was assigned the last time.
    pub(crate) fn generation(&self) -> u64 {
        self.generations.load(Ordering::Acquire)
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

    /// The partitions of a part that are ours.
    pub(crate) fn ids(&self, part: &Part) -> Vec<PartitionId> {
        let state = self.state();
        let mine = state.partitions.keys().filter(|id| part.has(**id));
        mine.copied().collect()
    }

    /// Takes records that were read, in their order.
    pub(crate) fn admit(&self, read: Vec<Read>, now: Timestamp) -> Admitted {
        let mut admitted = Admitted::default();
        let mut state = self.state();
        for Read {
            partition: id,
            record,
            event,
            due,
            generation,
        } in read
        {
            let Some(partition) = state.partitions.get_mut(&id) else {
                continue;
            };
            // What was read before the partition went away and came back is read again.
            let current = partition.generation <= generation && !partition.is_stopped;
            if !current || !partition.tracker.start(record.place.offset) {
                continue;
            }
            admitted.pauses |= !partition.paused && partition.tracker.span() > MAX_SPAN;
            let due = due.unwrap_or(now);
            if due > now || !partition.waiting.is_empty() {
                partition.waiting.push_back((due, record));
                admitted.next_due = Some(admitted.next_due.map_or(due, |next| next.min(due)));
                admitted.pauses = true;
                continue;
            }
            let job = partition.job(id, record, event);
            state.take(&job, self.max_records);
            admitted.jobs.push(job);
        }
        admitted.pauses |= state.is_full_for_long();
        admitted
    }

    /// The waiting records of a part that are due, in order, and when the next one is.
    pub(crate) fn due(&self, part: &Part, now: Timestamp) -> (Vec<Job>, Option<Timestamp>) {
        let mut state = self.state();
        let mut jobs = Vec::new();
        for (id, partition) in state.of(part) {
            while let Some((_, record)) = partition.waiting.pop_front_if(|(due, _)| *due <= now) {
                jobs.push(partition.job(*id, record, None));
            }
        }
        for job in &jobs {
            state.take(job, self.max_records);
        }
        let heads = state
            .of(part)
            .filter_map(|(_, partition)| partition.waiting.front().map(|(due, _)| *due));
        let next = heads.min();
        (jobs, next)
    }

    /// A worker takes jobs up. `false` for those whose partition went away meanwhile.
    pub(crate) fn begin<'j>(&self, jobs: impl IntoIterator<Item = &'j Job>) -> Vec<bool> {
        let mut state = self.state();
        let begin = |job: &Job| {
            let begins = state
                .current(job)
                .is_some_and(|partition| partition.begin(job.record.place.offset));
            if !begins {
                self.let_go(&mut state, job);
            }
            begins
        };
        jobs.into_iter().map(begin).collect()
    }

    /// A worker is done with jobs that it began; `completed` when their records need never be read again.
    pub(crate) fn finish<'j>(&self, jobs: impl IntoIterator<Item = &'j Job>, completed: bool) {
        let mut state = self.state();
        for job in jobs {
            self.let_go(&mut state, job);
            let Some(partition) = state.current(job) else {
                continue;
            };
            partition.finish(job.record.place.offset, completed);
            if partition.paused && partition.tracker.span() <= MAX_SPAN / 2 {
                self.freed.send_replace(());
            }
        }
        self.idle.notify_all();
    }

    /// A job is in hand no more.
    fn let_go(&self, state: &mut State, job: &Job) {
        state.records -= 1;
        state.bytes -= job.bytes;
        let half = state.records <= self.max_records / 2 && state.bytes <= MAX_BYTES / 2;
        if half && state.full_since.take().is_some() {
            self.freed.send_replace(());
        }
    }

    /// Tells each time when reading may go on somewhere.
    pub(crate) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }

    /// Which partitions of a part are to be paused now, and which resumed.
    ///
    /// Kafka's client throws away what it has fetched of a partition that is paused, and fetches it again. So this is for waits
    /// that are long.
    pub(crate) fn pauses(&self, part: &Part) -> (Vec<PartitionId>, Vec<PartitionId>) {
        let mut state = self.state();
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        let full = state.is_full_for_long();
        for (id, partition) in state.of(part) {
            let limit = if partition.paused { MAX_SPAN / 2 } else { MAX_SPAN };
            let wanted = full || !partition.waiting.is_empty() || partition.tracker.span() > limit;
            if wanted != partition.paused {
                partition.paused = wanted;
                if wanted { pause.push(*id) } else { resume.push(*id) }
            }
        }
        (pause, resume)
    }

    /// Those of these partitions that are paused.
    pub(crate) fn paused(&self, ids: &[PartitionId]) -> Vec<PartitionId> {
        let state = self.state();
        let is_paused = |id: &PartitionId| state.partitions.get(id).is_some_and(|found| found.paused);
        ids.iter().copied().filter(is_paused).collect()
    }

    /// Whether records may be read: not for a while, when too much is in hand. After that they may again, with all partitions
    /// paused.
    pub(crate) fn may_read(&self) -> bool {
        let state = self.state();
        state.full_since.is_none() || state.is_full_for_long()
    }

    /// How many records are in hand, and how many bytes they have.
    pub(crate) fn in_hand(&self) -> (usize, usize) {
        let state = self.state();
        (state.records, state.bytes)
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
    fn of<'s>(&'s mut self, part: &Part) -> impl Iterator<Item = (&'s PartitionId, &'s mut Partition)> {
        let mine = |(id, _): &(&PartitionId, _)| part.has(**id);
        self.partitions.iter_mut().filter(mine)
    }

    /// The partition as it was when the job was made.
    fn current(&mut self, job: &Job) -> Option<&mut Partition> {
        self.partitions
            .get_mut(&job.partition)
            .filter(|partition| partition.generation == job.generation)
    }

    fn take(&mut self, job: &Job, max_records: usize) {
        self.records += 1;
        self.bytes += job.bytes;
        if self.records >= max_records || self.bytes >= MAX_BYTES {
            self.full_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_full_for_long(&self) -> bool {
        self.full_since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}

#[cfg(test)]
mod tests;
