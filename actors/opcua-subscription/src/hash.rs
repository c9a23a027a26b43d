//! Hashes and ids that come out the same in every run: FNV-1a for layouts, a mixer for the ids of messages.

/// FNV-1a, 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds `bytes` and their length, so that the border between two texts counts.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn add_number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    pub(crate) const fn finish(self) -> u64 {
        self.0
    }
}

/// A bijection of 64 bits in which every bit of the input moves about half of the output's (`SplitMix64`'s finaliser).
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A seeded sequence of numbers (SplitMix64): jitter and the births of Subscriptions; no secret.
#[derive(Clone, Debug)]
pub(crate) struct SeededNumbers(u64);

impl SeededNumbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_two_texts_counts() {
        let hash = |texts: [&str; 2]| {
            let mut hash = Fnv::new();
            for text in texts {
                hash.add(text.as_bytes());
            }
            hash.finish()
        };
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }

    #[test]
    fn a_seed_gives_the_published_sequence() {
        // The first numbers of SplitMix64 from seed 1234567, as its author publishes them.
        let mut numbers = SeededNumbers::new(1_234_567);
        assert_eq!([numbers.next(), numbers.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
