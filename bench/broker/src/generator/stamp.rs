//! What each message carries: who published it, which of theirs it is, and when.

/// Bytes of a stamp, at the start of a payload.
pub(crate) const STAMP_BYTES: usize = 20;

/// (publisher, sequence number, time). Twenty bytes, so the smallest payload of the scenarios is a stamp alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Index of the publisher.
    pub(crate) publisher: u32,
    /// Number of the message among those of its publisher, from 0.
    pub(crate) sequence: u64,
    /// Nanoseconds on the generator's clock at which it was due.
    pub(crate) time_ns: u64,
}

impl Stamp {
    /// Writes it to the start of `payload`.
    ///
    /// # Panics
    /// If `payload` is shorter than a stamp.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.publisher.to_be_bytes());
        payload[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        payload[12..STAMP_BYTES].copy_from_slice(&self.time_ns.to_be_bytes());
    }

    /// Reads it from the start of `payload`; `None` where that is too short.
    #[inline]
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (time_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            time_ns: u64::from_be_bytes(*time_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_less_is_none() {
        let stamp = Stamp { publisher: 3, sequence: u64::MAX, time_ns: 12_345 };
        let mut payload = [0; 24];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..19]), None);
    }
}
