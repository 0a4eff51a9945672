use std::collections::VecDeque;

/// Which records of one partition are being worked on, so that no offset is committed before all records below it are done.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// In the order of their offsets, which need not be dense: compaction and transactions leave holes.
    in_work: VecDeque<Entry>,
    last_started: Option<i64>,
    position: Option<i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    done: bool,
}

impl Tracker {
    /// Starts a record. `false` when it was started before: after a pause, Kafka's client may hand a record out again.
    pub(crate) fn start(&mut self, offset: i64) -> bool {
        if self.last_started.is_some_and(|last| offset <= last) {
            return false;
        }
        self.last_started = Some(offset);
        self.in_work.push_back(Entry { offset, done: false });
        true
    }

    /// A record is done, and need never be read again.
    pub(crate) fn complete(&mut self, offset: i64) {
        let Some(entry) = self
            .index_of(offset)
            .and_then(|index| self.in_work.get_mut(index))
        else {
            return;
        };
        entry.done = true;
        while let Some(first) = self.in_work.pop_front_if(|first| first.done) {
            self.position = Some(first.offset + 1);
        }
    }

    fn index_of(&self, offset: i64) -> Option<usize> {
        // Where it is if there are no holes before it, as there mostly are none.
        let dense = usize::try_from(offset - self.in_work.front()?.offset).ok()?;
        if self
            .in_work
            .get(dense)
            .is_some_and(|entry| entry.offset == offset)
        {
            return Some(dense);
        }
        self.in_work
            .binary_search_by_key(&offset, |entry| entry.offset)
            .ok()
    }

    /// The offset to commit: all records below it are done. None while no record is.
    pub(crate) fn position(&self) -> Option<i64> {
        self.position
    }

    /// How many records up to this offset are not done.
    pub(crate) fn open_up_to(&self, offset: i64) -> usize {
        self.in_work
            .iter()
            .filter(|entry| !entry.done && entry.offset <= offset)
            .count()
    }

    /// How many records lie between the position and the last one started.
    pub(crate) fn span(&self) -> usize {
        self.in_work.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_position_waits_for_the_lowest_record() {
        let mut tracker = Tracker::default();
        assert!([5, 6, 9].into_iter().all(|offset| tracker.start(offset)));
        tracker.complete(6);
        assert_eq!(tracker.position(), None);
        tracker.complete(5);
        assert_eq!(tracker.position(), Some(7));
        tracker.complete(9);
        assert_eq!((tracker.position(), tracker.span()), (Some(10), 0));
    }

    #[test]
    fn a_record_is_started_once() {
        let mut tracker = Tracker::default();
        assert!(tracker.start(5));
        assert!(!tracker.start(5));
        tracker.complete(5);
        assert!(!tracker.start(4));
        tracker.complete(5);
        assert_eq!((tracker.position(), tracker.span()), (Some(6), 0));
    }

    proptest! {
        #[test]
        fn in_whatever_order_records_are_done_the_position_is_just_below_the_lowest_open_one(
            offsets in proptest::collection::btree_set(0_i64..1_000, 1..60),
            picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..80),
        ) {
            let offsets: Vec<i64> = offsets.into_iter().collect();
            let mut tracker = Tracker::default();
            for offset in &offsets {
                tracker.start(*offset);
            }
            let mut open = offsets.clone();
            for pick in picks {
                let done = *pick.get(&offsets);
                open.retain(|offset| *offset != done);
                tracker.complete(done);

                let below = offsets.iter().filter(|offset| open.first().is_none_or(|first| *offset < first)).max();
                prop_assert_eq!(tracker.position(), below.map(|offset| offset + 1));
            }
        }
    }
}
