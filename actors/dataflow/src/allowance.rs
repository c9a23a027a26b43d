//! What one partition may have under way, and what of it is given back.

use contract::Credit;

/// The account of one partition: a window that is split into what is under way and what the partition may still send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    window: Credit,
    under_way: Credit,
    /// What the partition has left, as far as we know. A grant that crosses with a record larger than the rest makes
    /// the partition's own figure the higher one, by less than that record; what it then sends counts as under way
    /// and is held back from the next grants, so the difference never adds up.
    left: Credit,
}

impl Allowance {
    /// An account whose partition has no credit yet.
    pub(crate) fn new(window: Credit) -> Self {
        Self { window, under_way: Credit::default(), left: Credit::default() }
    }

    /// Counts a record of `bytes` as arrived and under way.
    ///
    /// # Panics
    /// When the partition had no credit for it.
    pub(crate) fn arrive(&mut self, bytes: u64) {
        self.left.spend(bytes);
        self.under_way.count += 1;
        self.under_way.bytes += bytes;
    }

    /// Counts records as no longer under way; returns how many of them this account knew.
    ///
    /// The others were sent before a restart of this actor.
    pub(crate) fn settle(&mut self, released: Credit) -> u32 {
        let known = released.count.min(self.under_way.count);
        self.under_way.count -= known;
        self.under_way.bytes = self.under_way.bytes.saturating_sub(released.bytes);
        known
    }

    /// The partition forgot the credit that it had.
    pub(crate) fn forget(&mut self) {
        self.left = Credit::default();
    }

    /// What the partition must be given so that its window is full again; `None` where it is.
    pub(crate) fn grant(&mut self) -> Option<Credit> {
        let count = self.window.count.saturating_sub(self.under_way.count).saturating_sub(self.left.count);
        let bytes = self.window.bytes.saturating_sub(self.under_way.bytes).saturating_sub(self.left.bytes);
        if count == 0 && bytes == 0 {
            return None;
        }
        self.left.count += count;
        self.left.bytes += bytes;
        Some(Credit { count, bytes })
    }

    /// What is under way.
    pub(crate) fn under_way(&self) -> Credit {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Credit = Credit { count: 10, bytes: 100 };

    #[test]
    fn what_settles_is_given_back() {
        let mut allowance = Allowance::new(WINDOW);
        assert_eq!(allowance.grant(), Some(WINDOW));
        allowance.arrive(30);
        allowance.arrive(30);
        assert_eq!(allowance.grant(), None);
        assert_eq!(allowance.settle(Credit { count: 1, bytes: 30 }), 1);
        assert_eq!(allowance.grant(), Some(Credit { count: 1, bytes: 30 }));
    }

    #[test]
    fn a_record_larger_than_the_window_does_not_widen_it() {
        let mut allowance = Allowance::new(WINDOW);
        allowance.grant();
        allowance.arrive(1_000);
        assert_eq!(allowance.grant(), None);
        allowance.settle(Credit { count: 1, bytes: 1_000 });
        assert_eq!(allowance.grant(), Some(Credit { count: 1, bytes: 100 }));
    }

    #[test]
    fn surplus_from_crossing_grants_never_adds_up() {
        // A sender as the contract has it, whose grants arrive one record late; its records overshoot each time.
        let mut allowance = Allowance::new(WINDOW);
        let mut sender = allowance.grant().unwrap();
        let mut crossing = Credit::default();
        let mut oldest = std::collections::VecDeque::new();
        for step in 0..1_000_u64 {
            let bytes = 60 + step % 90;
            if sender.allows_one() {
                sender.spend(bytes);
                allowance.arrive(bytes);
                oldest.push_back(bytes);
            }
            sender.count += crossing.count;
            sender.bytes += crossing.bytes;
            crossing = Credit::default();
            if step % 2 == 0
                && let Some(bytes) = oldest.pop_front()
            {
                allowance.settle(Credit { count: 1, bytes });
                crossing = allowance.grant().unwrap_or_default();
            }
            assert!(allowance.under_way().bytes < 100 + 2 * 150, "{:?} at step {step}", allowance.under_way());
        }
    }

    #[test]
    fn after_a_restart_what_is_under_way_still_counts() {
        let mut allowance = Allowance::new(WINDOW);
        allowance.grant();
        allowance.arrive(40);
        allowance.forget();
        assert_eq!(allowance.grant(), Some(Credit { count: 9, bytes: 60 }));
    }

    #[test]
    fn a_predecessors_records_are_not_taken_for_ours() {
        let mut allowance = Allowance::new(WINDOW);
        allowance.grant();
        allowance.arrive(40);
        assert_eq!(allowance.settle(Credit { count: 3, bytes: 90 }), 1);
        assert_eq!(allowance.under_way(), Credit::default());
    }
}
