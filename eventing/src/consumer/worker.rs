use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::Event;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Job};
use super::batch::BATCH_TIME;
use super::handler::Handler;
use super::kept::Kept;
use super::record::Record;
use super::runtime::Runtime;

/// So many records that wait for a worker are a backlog.
const BACKLOG: usize = 50;
/// In a backlog, a worker waits so long for its batch to fill; a full one takes longer than that. Without, workers that leave the
/// reader no processor find little each time that they look, and as small batches cost more for each record, that is how it
/// stays. On 2 cores, 8 workers with 500 at most had 180 to 240 rows in a batch, and have 420; a fifth more is applied.
const FILL_WITHIN: Duration = Duration::from_millis(20);

/// Works on the records of its keys, batch after batch. How many may wait for it is bounded where they are read.
pub(crate) async fn work<H: Handler>(
    runtime: Arc<Runtime<H>>,
    assignment: Arc<Assignment>,
    mut jobs: UnboundedReceiver<Job>,
) {
    let mut size = Size::up_to(runtime.group.batch);
    // Both are large, and come anew with each batch.
    let (mut waiting, mut begun) = (Vec::new(), Vec::new());
    let mut kept = Kept::default();
    while jobs.recv_many(&mut waiting, size.records).await > 0 {
        fill(&mut waiting, &mut jobs, size.records).await;
        let begins = assignment.begin(&waiting);
        let taken = waiting.drain(..).zip(begins).filter(|(_, begins)| *begins);
        begun.extend(taken.map(|(job, _)| Begun::new(&assignment, job)));
        let started = Instant::now();
        runtime.process(&begun, &mut kept).await;
        size.learn(begun.len(), started.elapsed());
        begun.clear();
        if jobs.is_empty() {
            kept.give_back();
        }
    }
}

/// In a backlog, waits a moment until there are so many.
async fn fill<T>(waiting: &mut Vec<T>, jobs: &mut UnboundedReceiver<T>, records: usize) {
    if waiting.len() < BACKLOG {
        return;
    }
    let until = Instant::now() + FILL_WITHIN;
    while let missing @ 1.. = records.saturating_sub(waiting.len())
        && let Ok(1..) = timeout_at(until, jobs.recv_many(waiting, missing)).await
    {}
}

/// How many records are taken up at once: as many as are done within the time of a batch, because whoever takes a partition away
/// waits for all that was begun.
#[derive(Debug)]
struct Size {
    records: usize,
    max: usize,
}

impl Size {
    fn up_to(max: usize) -> Self {
        Self { records: 1, max }
    }

    fn learn(&mut self, records: usize, took: Duration) {
        if took > BATCH_TIME {
            let in_time = records as u128 * BATCH_TIME.as_micros() / took.as_micros();
            self.records = usize::try_from(in_time).unwrap_or(self.max).clamp(1, self.max);
        } else if records >= self.records {
            self.records = self.records.saturating_mul(2).min(self.max);
        }
    }
}

/// A job in work. Dropping it says that it is over, also when the worker is aborted in the middle.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    assignment: &'a Assignment,
    job: Job,
    event: Mutex<Option<Event>>,
    finished: AtomicBool,
}

impl<'a> Begun<'a> {
    fn new(assignment: &'a Assignment, mut job: Job) -> Self {
        Self {
            assignment,
            event: Mutex::new(job.event.take()),
            job,
            finished: AtomicBool::new(false),
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.job.record
    }

    /// What is in the record, if that is known already. To be had once.
    pub(crate) fn take_event(&self) -> Option<Event> {
        self.event.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.job.stop
    }

    /// It is over; `completed` when its record need never be read again. Counts once.
    pub(crate) fn finish(&self, completed: bool) {
        if self.ends() {
            self.assignment.finish([&self.job], completed);
        }
    }

    /// These are over, and their records need never be read again.
    pub(crate) fn complete_all<'b>(begun: impl Iterator<Item = &'b Self>)
    where
        'a: 'b,
    {
        let mut ended = begun.filter(|begun| begun.ends()).peekable();
        if let Some(assignment) = ended.peek().map(|begun| begun.assignment) {
            assignment.finish(ended.map(|begun| &begun.job), true);
        }
    }

    /// `false` when it was over already.
    fn ends(&self) -> bool {
        !self.finished.swap(true, Ordering::Relaxed)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.finish(false);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn a_batch_grows_while_it_is_quick_and_full_and_shrinks_to_what_its_time_allows() {
        let mut size = Size::up_to(100);
        for expected in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
            assert_eq!(size.records, expected);
            size.learn(expected, Duration::from_millis(5));
        }
        size.learn(20, Duration::from_millis(5));
        assert_eq!(size.records, 100, "a batch that was not full says nothing");
        size.learn(100, BATCH_TIME * 4);
        assert_eq!(size.records, 25);
        size.learn(25, Duration::from_hours(1));
        assert_eq!(size.records, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_of_a_backlog_is_full_or_waits_a_moment() {
        let (sender, mut jobs) = unbounded_channel();
        let send = |count: u32| (0..count).for_each(|job| sender.send(job).unwrap());
        let mut waiting = vec![0; BACKLOG];
        send(40);
        let began = Instant::now();
        fill(&mut waiting, &mut jobs, BACKLOG + 30).await;
        assert_eq!((waiting.len(), began.elapsed()), (BACKLOG + 30, Duration::ZERO));
        let late = async {
            tokio::time::sleep(FILL_WITHIN / 2).await;
            send(5);
        };
        tokio::join!(fill(&mut waiting, &mut jobs, BACKLOG + 100), late);
        assert_eq!(
            (waiting.len(), began.elapsed()),
            (BACKLOG + 45, FILL_WITHIN),
            "what came before, and what came meanwhile"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_records_do_not_wait_for_others() {
        let (_sender, mut jobs) = unbounded_channel();
        let mut waiting = vec![0; BACKLOG - 1];
        let began = Instant::now();
        fill(&mut waiting, &mut jobs, BACKLOG * 2).await;
        assert_eq!((waiting.len(), began.elapsed()), (BACKLOG - 1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_does_not_wait_for_readers_that_have_ended() {
        let (sender, mut jobs) = unbounded_channel();
        sender.send(1).unwrap();
        drop(sender);
        let mut waiting = vec![0; BACKLOG];
        let began = Instant::now();
        fill(&mut waiting, &mut jobs, BACKLOG * 2).await;
        assert_eq!((waiting.len(), began.elapsed()), (BACKLOG + 1, Duration::ZERO));
    }
}
