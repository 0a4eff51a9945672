//! A bounded keyed store in order of creation: the books of the PSP and the bank, and their idempotency keys.

use std::collections::{HashMap, VecDeque};

/// Keeps at most `max` entries; past that the oldest is forgotten, and that is counted, because books with
/// forgotten entries prove nothing.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    entries: HashMap<String, T>,
    order: VecDeque<String>,
    max: usize,
    forgotten: u64,
    removed_last: Vec<String>,
}

impl<T> Shelf<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            max,
            forgotten: 0,
            removed_last: Vec::new(),
        }
    }

    /// Adds or replaces an entry.
    pub(crate) fn put(&mut self, id: &str, entry: T) {
        if self.entries.insert(id.to_owned(), entry).is_some() {
            return;
        }
        self.order.push_back(id.to_owned());
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
                self.forgotten += 1;
                self.removed_last.push(oldest);
            }
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.entries.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.entries.get_mut(id)
    }

    /// Removes an entry; linear in the number of entries newer than a typical one, so only for rare cases.
    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        let removed = self.entries.remove(id)?;
        if let Some(position) = self.order.iter().rposition(|known| known == id) {
            self.order.remove(position);
        }
        Some(removed)
    }

    /// Entries, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.order.iter().filter_map(|id| self.entries.get(id))
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The ids forgotten since this was last asked, so that the journal forgets them too.
    pub(crate) fn drain_forgotten(&mut self) -> Vec<String> {
        std::mem::take(&mut self.removed_last)
    }
}

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn entries_keep_their_place_when_replaced_and_the_oldest_goes_first() {
        let mut shelf = Shelf::new(2);
        shelf.put("a", 1);
        shelf.put("b", 2);
        shelf.put("a", 10);
        assert_eq!(shelf.iter().copied().collect::<Vec<_>>(), [10, 2]);
        shelf.put("c", 3);
        assert_eq!(shelf.iter().copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(shelf.forgotten(), 1);
        assert_eq!(shelf.drain_forgotten(), ["a"]);
        assert!(shelf.drain_forgotten().is_empty());
        assert_eq!(shelf.remove("b"), Some(2));
        assert_eq!(shelf.iter().copied().collect::<Vec<_>>(), [3]);
    }
}
