//! A bounded record of what arrived, in arrival order; the oldest entries make room, and that is counted.

use std::collections::VecDeque;

/// Keeps at most `max_entries` and `max_bytes` (each entry's size is told when it is pushed).
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: VecDeque<(usize, T)>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
    forgotten: u64,
}

impl<T> Ring<T> {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            max_entries,
            max_bytes,
            forgotten: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: T, size_bytes: usize) {
        self.entries.push_back((size_bytes, entry));
        self.bytes = self.bytes.saturating_add(size_bytes);
        while self.entries.len() > 1 && (self.entries.len() > self.max_entries || self.bytes > self.max_bytes)
        {
            if let Some((size, _)) = self.entries.pop_front() {
                self.bytes = self.bytes.saturating_sub(size);
                self.forgotten += 1;
            }
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    /// How many entries made room for newer ones: if not 0, the record is incomplete.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.forgotten = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut ring = Ring::new(2, 100);
        for entry in 1..=3 {
            ring.push(entry, 10);
        }
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [2, 3]);
        ring.push(4, 95);
        assert_eq!(
            ring.iter().copied().collect::<Vec<_>>(),
            [4],
            "10 + 10 + 95 bytes are too many"
        );
        assert_eq!(ring.forgotten(), 3);
    }
}
