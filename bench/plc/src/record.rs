//! A bounded memory of what happened: when it is full, the oldest entry goes and is counted.

use std::collections::VecDeque;

/// The newest entries of a sequence of events, and how many older ones were forgotten.
#[derive(Debug, Clone)]
pub(crate) struct Record<T> {
    entries: VecDeque<T>,
    count_max: usize,
    forgotten_count: u64,
}

impl<T: Clone> Record<T> {
    /// An empty record of at most `count_max` entries, at least one. Memory is taken as entries come.
    pub(crate) fn new(count_max: usize) -> Self {
        Self { entries: VecDeque::new(), count_max: count_max.max(1), forgotten_count: 0 }
    }

    /// Adds the newest entry; when full, forgets the oldest.
    pub(crate) fn push(&mut self, entry: T) {
        if self.entries.len() == self.count_max {
            self.entries.pop_front();
            self.forgotten_count += 1;
        }
        self.entries.push_back(entry);
    }

    /// Entries on record, oldest first.
    pub(crate) fn to_vec(&self) -> Vec<T> {
        let (older, newer) = self.entries.as_slices();
        [older, newer].concat()
    }

    /// Number of entries that were forgotten because the record was full.
    pub(crate) fn forgotten_count(&self) -> u64 {
        self.forgotten_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_record_forgets_the_oldest_and_counts_it() {
        let mut record = Record::new(3);
        for entry in 0..5 {
            record.push(entry);
        }
        assert_eq!(record.to_vec(), [2, 3, 4]);
        assert_eq!(record.forgotten_count(), 2);
    }
}
