//! Which partition owns a Topic Name.

use crate::PartitionIndex;

/// The version of [`partition_of`]; a log that was written under another one must be migrated, not read.
pub const PARTITION_HASH_VERSION: u16 = 1;

/// The partition, of `partitions_count`, that owns `topic_name`.
///
/// Version 1: FNV-1a over the bytes, 64 bits, folded by a multiplication and a shift (MurmurHash3's finaliser), then
/// scaled to the count by its high half. About 1 ns a byte.
///
/// # Panics
/// When `partitions_count` is 0.
#[inline]
pub fn partition_of(topic_name: &[u8], partitions_count: u16) -> PartitionIndex {
    assert!(partitions_count > 0, "a plan has at least one partition");
    let mut hash = fnv1a(topic_name);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    let scaled = ((hash >> 32) * u64::from(partitions_count)) >> 32;
    PartitionIndex(u16::try_from(scaled).expect("scaled below a u16"))
}

/// FNV-1a, 64 bits, of `bytes`. About 1 ns a byte.
#[inline]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_places_these_topics_here_for_ever() {
        let placed: Vec<u16> =
            ["", "a", "plant/data/asset000", "plant/data/asset001"].map(|t| partition_of(t.as_bytes(), 16).0).into();
        assert_eq!(placed, GOLDEN);
    }

    #[test]
    fn topics_of_one_plant_spread_evenly() {
        let mut counts = [0_u32; 8];
        for asset in 0..8_000 {
            counts[usize::from(partition_of(format!("plant/data/asset{asset:04}").as_bytes(), 8).0)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    // Worked out apart from this code, by a few lines of Python.
    const GOLDEN: [u16; 4] = [14, 14, 12, 8];
}
