//! Which partition of a hub Event Hubs gives a key to: Bob Jenkins' lookup3, as the service folds it.

use contract::HubPartitionIndex;

/// The partition, of `hub_partitions_count`, that the service itself would give `key` to. About 1 ns a byte.
///
/// # Panics
/// When `hub_partitions_count` is 0.
pub fn hub_partition_of(key: &[u8], hub_partitions_count: u16) -> HubPartitionIndex {
    assert!(hub_partitions_count > 0, "a hub has at least one partition");
    let remainder = i32::from(key_hash(key)) % i32::from(hub_partitions_count);
    HubPartitionIndex(u16::try_from(remainder.unsigned_abs()).expect("a remainder is below its divisor"))
}

/// The service's 16-bit hash of a key: both results of `hashlittle2`, exclusive-or, cut to their low half.
fn key_hash(key: &[u8]) -> i16 {
    let (primary, secondary) = hashlittle2(key);
    (((primary ^ secondary) & 0xffff) as u16).cast_signed()
}

/// lookup3's `hashlittle2` with both seeds 0.
fn hashlittle2(key: &[u8]) -> (u32, u32) {
    let key_bytes = u32::try_from(key.len()).expect("a key is a part of one MQTT packet");
    let start = 0xdead_beef_u32.wrapping_add(key_bytes);
    let (mut a, mut b, mut c) = (start, start, start);
    if key.is_empty() {
        return (c, b);
    }
    // The last block, 1 to 12 bytes, is mixed otherwise than those before it.
    let (blocks, last) = key.split_at((key.len() - 1) / 12 * 12);
    for block in blocks.chunks_exact(12) {
        a = a.wrapping_add(word(block, 0));
        b = b.wrapping_add(word(block, 4));
        c = c.wrapping_add(word(block, 8));
        (a, b, c) = mix(a, b, c);
    }
    let mut padded = [0; 12];
    padded[..last.len()].copy_from_slice(last);
    a = a.wrapping_add(word(&padded, 0));
    b = b.wrapping_add(word(&padded, 4));
    c = c.wrapping_add(word(&padded, 8));
    let (b, c) = last_mix(a, b, c);
    (c, b)
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

fn last_mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (b, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup3_gives_what_its_author_published() {
        // lookup3.c, driver5: "Four score and seven years ago" with both seeds 0.
        assert_eq!(hashlittle2(b""), (0xdead_beef, 0xdead_beef));
        assert_eq!(hashlittle2(b"Four score and seven years ago"), (0x1777_0551, 0xce72_26e6));
    }

    #[test]
    fn keys_hash_as_the_services_other_clients_hash_them() {
        for (key, hash) in PUBLISHED {
            assert_eq!(key_hash(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_counts_by_its_size() {
        assert_eq!(hub_partition_of(b"7", 32), HubPartitionIndex(15_263 % 32));
        assert_eq!(hub_partition_of(b"131", 32), HubPartitionIndex(30_562 % 32));
        assert_eq!(hub_partition_of(b"anything", 1), HubPartitionIndex(0));
    }

    // The values that the service's own clients are tested against.
    const PUBLISHED: [(&str, i16); 10] = [
        ("7", -15_263),
        ("131", 30_562),
        ("7149583486996073602", 12_977),
        ("FWfAT", -22_341),
        ("sOdeEAsyQoEuEFPGerWO", -6_503),
        ("FAyAIctPeCgmiwLKbJcyswoHglHVjQdvtBowLACDNORsYvOcLddNJYDmhAVkbyLOrHTKLneMNcbgWVlasVywOByANjs", 5_226),
        ("!c*_!I@1^c", 15_372),
        ("p4*!jioeO/z-!-;w:dh", -3_104),
        ("$0cb", 26_269),
        ("-4189260826195535198", 453),
    ];
}
