//! How much a receiver has allowed a sender to have under way.

/// An amount of work under way, in records and in bytes; both are limits at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Records.
    pub count: u32,
    /// Bytes of their bodies, as [`crate::Publication::size_bytes`] counts them.
    pub bytes: u64,
}

impl Credit {
    /// Whether one more record may be sent. The last record may exceed `bytes`, so that a record larger than the
    /// whole allowance is never stuck.
    #[inline]
    pub const fn allows_one(self) -> bool {
        self.count > 0 && self.bytes > 0
    }

    /// Takes one record of `bytes` off; bytes stop at zero.
    ///
    /// # Panics
    /// When no record is allowed: the caller did not ask [`Credit::allows_one`].
    #[inline]
    pub fn spend(&mut self, bytes: u64) {
        assert!(self.count > 0, "credit is asked for before it is spent");
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_larger_than_the_whole_allowance_may_go_alone() {
        let mut credit = Credit { count: 2, bytes: 10 };
        assert!(credit.allows_one());
        credit.spend(50);
        assert!(!credit.allows_one());
        assert_eq!(credit, Credit { count: 1, bytes: 0 });
    }
}
