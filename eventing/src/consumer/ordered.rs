use jiff::Timestamp;
use sqlx::PgConnection;

use super::batch::{Item, Ready};
use super::handler::{Delivery, Handler};
use super::parked::{self, Parking};
use super::ready::key;
use super::record::Record;
use super::watermarks::{self, Aggregate, Key, Mark, Run, Turn};

/// The aggregates of a batch of an ordered group, and how far the batch has brought each.
#[derive(Debug)]
pub(crate) struct Frontier<'a> {
    group: &'a str,
    /// In the order in which they are locked.
    aggregates: Vec<Progress<'a>>,
    /// Which of them each item is about, by the items' indices; none for those that have ended.
    of: Vec<Option<usize>>,
    parkings: Vec<Parking<'a>>,
    /// Parked events that were applied: of what key, and up to which sequence.
    unparked: Vec<(Key<'a>, i64)>,
}

#[derive(Debug)]
struct Progress<'a> {
    key: Key<'a>,
    /// The batch's events of it, if they follow on each other and all can be applied.
    run: Option<Run<'a>>,
    /// Where the batch found it.
    before: i64,
    /// Where it is, after what was applied so far.
    last: i64,
    /// What its row says; none while it has none.
    row: Option<i64>,
    parks: bool,
    /// An event whose turn it is was not prepared for it, so that the later ones have to come again with it.
    stalled: bool,
}

impl<'a> Frontier<'a> {
    /// Of what the items are about, not locked yet.
    pub(crate) fn new<H: Handler>(group: &'a str, items: &'a [Item<'_, H>]) -> Self {
        let open = items.iter().enumerate().filter_map(|(index, item)| {
            let delivery = item.delivery.as_ref().filter(|_| item.outcome.is_none())?;
            Some((key(delivery), index, delivery.sequence, &item.ready))
        });
        let mut open: Vec<_> = open.collect();
        open.sort_unstable_by_key(|(key, index, ..)| (*key, *index));
        let mut aggregates: Vec<Progress<'a>> = Vec::with_capacity(open.len());
        let mut of = vec![None; items.len()];
        for (key, index, sequence, ready) in open {
            let mut progress = match aggregates.pop_if(|last| last.key == key) {
                Some(progress) => progress,
                None => Progress::new(key, sequence),
            };
            progress.go_on(sequence, matches!(ready, Ready::Prepared(_) | Ready::Withheld));
            if let Some(slot) = of.get_mut(index) {
                *slot = Some(aggregates.len());
            }
            aggregates.push(progress);
        }
        Self {
            group,
            aggregates,
            of,
            parkings: Vec::new(),
            unparked: Vec::new(),
        }
    }

    /// Where the batch leads each aggregate, if nothing in it speaks against that.
    pub(crate) fn runs(&self) -> Option<Vec<Run<'a>>> {
        self.aggregates.iter().map(|progress| progress.run).collect()
    }

    /// Writes down at once where the batch leads; the rows are locked with it. That is a statement less than to
    /// [lock](Self::lock) first, and half the work.
    ///
    /// `false` when the batch does not lead on from where the aggregates are (an event comes again, or before its turn): then
    /// the transaction has to be rolled back.
    pub(crate) async fn move_ahead(
        &mut self,
        tx: &mut PgConnection,
        runs: Vec<Run<'a>>,
    ) -> Result<bool, sqlx::Error> {
        if !watermarks::move_ahead(tx, self.group, &runs).await? {
            return Ok(false);
        }
        for (progress, run) in self.aggregates.iter_mut().zip(runs) {
            progress.found_at(run.to - run.events);
            progress.row = Some(run.to);
        }
        Ok(true)
    }

    /// Locks the aggregates, and looks up where they are.
    pub(crate) async fn lock(&mut self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        let keys: Vec<Key<'a>> = self.aggregates.iter().map(|progress| progress.key).collect();
        let rows = watermarks::lock_all(tx, self.group, &keys).await?;
        for (progress, row) in self.aggregates.iter_mut().zip(rows) {
            progress.found_at(row.unwrap_or(0));
            progress.row = row;
        }
        Ok(())
    }

    fn progress(&mut self, index: usize) -> Option<&mut Progress<'a>> {
        let of = self.of.get(index).copied().flatten()?;
        self.aggregates.get_mut(of)
    }

    /// Whether it is the turn of the item of this index, after what was applied in the batch before it. None when that cannot be
    /// said yet.
    pub(crate) fn turn(&mut self, index: usize, delivery: &Delivery) -> Option<Turn> {
        let progress = self.progress(index)?;
        (!progress.stalled).then(|| Turn::of(delivery.sequence, progress.last))
    }

    /// An event was applied.
    pub(crate) fn advance(&mut self, index: usize, delivery: &'a Delivery, record: &Record) {
        if let Some(progress) = self.progress(index) {
            progress.last = delivery.sequence;
        }
        if record.parked {
            self.unparked.push((key(delivery), delivery.sequence));
        }
    }

    /// An event has to wait for an earlier one.
    pub(crate) fn park(&mut self, index: usize, delivery: &'a Delivery, record: &'a Record) {
        if let Some(progress) = self.progress(index) {
            progress.parks = true;
        }
        if !record.parked {
            self.parkings.push(Parking {
                key: key(delivery),
                sequence: delivery.sequence,
                record,
            });
        }
    }

    /// An event's turn has come, but it is not ready.
    pub(crate) fn stall(&mut self, index: usize) {
        if let Some(progress) = self.progress(index) {
            progress.stalled = true;
        }
    }

    /// Writes down what waits and how far the aggregates are. Answers those of which a parked event's turn has come; none at all
    /// when someone else has begun one of the aggregates at the same time, after which nothing may be committed.
    pub(crate) async fn write(
        &self,
        tx: &mut PgConnection,
        now: Timestamp,
    ) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
        for ((topic, key), sequence) in self.unparked.iter().copied() {
            let aggregate = Aggregate {
                group: self.group,
                topic,
                key,
            };
            parked::remove_up_to(tx, &aggregate, sequence).await?;
        }
        if !self.parkings.is_empty() {
            parked::park_all(tx, self.group, &self.parkings, now).await?;
        }
        let marks = |which: fn(&Progress<'a>) -> bool| -> Vec<Mark<'a>> {
            let which = self.aggregates.iter().filter(|progress| which(progress));
            which.map(Progress::mark).collect()
        };
        if !watermarks::create_all(tx, self.group, &marks(Progress::lacks_row)).await? {
            return Ok(None);
        }
        watermarks::write_all(tx, self.group, &marks(Progress::has_stale_row)).await?;
        let due = watermarks::take_drains(tx, self.group, &marks(Progress::has_changed)).await?;
        Ok(Some(due))
    }
}

impl<'a> Progress<'a> {
    /// Of an aggregate whose first event in the batch has this sequence.
    fn new(key: Key<'a>, sequence: i64) -> Self {
        let run = Run {
            key,
            events: 0,
            to: sequence - 1,
        };
        Self {
            key,
            run: Some(run),
            before: 0,
            last: 0,
            row: None,
            parks: false,
            stalled: false,
        }
    }

    /// The batch has another event of it.
    fn go_on(&mut self, sequence: i64, is_ready: bool) {
        let follows = |run: &Run<'a>| is_ready && sequence == run.to + 1;
        self.run = self.run.filter(follows).map(|run| Run {
            events: run.events + 1,
            to: sequence,
            ..run
        });
    }

    fn found_at(&mut self, last: i64) {
        self.before = last;
        self.last = last;
    }

    fn mark(&self) -> Mark<'a> {
        Mark {
            key: self.key,
            last: self.last,
        }
    }

    /// An aggregate without a row gets one also when events of it are parked: its lock is what keeps parking and draining apart.
    fn lacks_row(&self) -> bool {
        self.row.is_none() && (self.last > 0 || self.parks)
    }

    fn has_stale_row(&self) -> bool {
        self.row.is_some_and(|row| row != self.last)
    }

    /// Also what was moved ahead and has to be taken back: that it was due for a drain is gone from its row.
    fn has_changed(&self) -> bool {
        self.last > self.before || self.lacks_row() || self.has_stale_row()
    }
}
