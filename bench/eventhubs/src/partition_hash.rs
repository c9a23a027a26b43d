//! Which partition a key belongs to: Bob Jenkins' lookup3 (public domain, May 2006), folded to 16 bits as Event Hubs
//! folds it.
//!
//! Written from the definition of lookup3, apart from the product's, so that a mistake there is seen here.

/// The partition, of `partitions_count`, that `key` belongs to.
///
/// # Panics
/// When `partitions_count` is 0.
pub fn partition_of(key: &[u8], partitions_count: u16) -> u16 {
    let (c, b) = lookup3(key);
    // The service keeps the low 16 bits as a signed number, and takes the size of the remainder.
    let hash = (((c ^ b) & 0xffff) as u16).cast_signed();
    let remainder = i32::from(hash) % i32::from(partitions_count);
    u16::try_from(remainder.unsigned_abs()).expect("a remainder is smaller than its divisor")
}

/// `hashlittle2` with both seeds 0, byte by byte.
fn lookup3(key: &[u8]) -> (u32, u32) {
    let length = u32::try_from(key.len()).expect("a key is part of one message of at most 1 MiB");
    let mut state = [0xdead_beef_u32.wrapping_add(length); 3];
    let mut rest = key;
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        add(&mut state, block);
        mix(&mut state);
        rest = after;
    }
    if !rest.is_empty() {
        add(&mut state, rest);
        finish(&mut state);
    }
    (state[2], state[1])
}

/// Adds up to 12 bytes, little endian, missing ones being 0.
fn add(state: &mut [u32; 3], block: &[u8]) {
    for (index, byte) in block.iter().enumerate() {
        let word = &mut state[index / 4];
        *word = word.wrapping_add(u32::from(*byte) << (8 * (index % 4)));
    }
}

/// The six rotations between blocks: `x -= z; x ^= rot(z, k); z += y`, the roles going round.
fn mix(state: &mut [u32; 3]) {
    for (step, rotation) in [4, 6, 8, 16, 19, 4].into_iter().enumerate() {
        let (x, y, z) = (step % 3, (step + 1) % 3, (step + 2) % 3);
        state[x] = state[x].wrapping_sub(state[z]) ^ state[z].rotate_left(rotation);
        state[z] = state[z].wrapping_add(state[y]);
    }
}

/// The seven rotations at the end: `x ^= y; x -= rot(y, k)`, the roles going round.
fn finish(state: &mut [u32; 3]) {
    for (step, rotation) in [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate() {
        let (x, y) = ((step + 2) % 3, (step + 1) % 3);
        state[x] = (state[x] ^ state[y]).wrapping_sub(state[y].rotate_left(rotation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup3_gives_what_its_author_published() {
        // lookup3.c, driver5.
        assert_eq!(lookup3(b""), (0xdead_beef, 0xdead_beef));
        assert_eq!(lookup3(b"Four score and seven years ago"), (0x1777_0551, 0xce72_26e6));
    }

    #[test]
    fn keys_go_where_the_services_own_clients_send_them() {
        // Hashes that the service's clients are tested against, over a count that leaves them whole.
        let hashes =
            [("7", 15_263), ("131", 30_562), ("FWfAT", 22_341), ("$0cb", 26_269), ("p4*!jioeO/z-!-;w:dh", 3_104)];
        for (key, hash) in hashes {
            assert_eq!(partition_of(key.as_bytes(), 32_768 - 1), hash, "{key}");
            assert_eq!(partition_of(key.as_bytes(), 32), hash % 32, "{key}");
        }
    }
}
