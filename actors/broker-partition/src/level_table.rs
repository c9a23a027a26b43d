//! Finds the child of a node by its level: one open-addressed table for the whole index.
//!
//! Linear probing with removal by shifting back, so that nothing is left of what was removed. It is never iterated.

/// A node's number in the index.
pub(crate) type NodeIndex = u32;

/// Marks an empty place; no index has so many nodes.
const EMPTY: Entry = Entry { hash: 0, node: u32::MAX };
const PLACES_COUNT_MIN: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    hash: u32,
    node: NodeIndex,
}

/// Numbers of nodes by the hash of their parent and level; at most two thirds full.
#[derive(Debug)]
pub(crate) struct LevelTable {
    places: Vec<Entry>,
    count: usize,
    seed: u64,
}

impl LevelTable {
    /// An empty table. Clients choose the levels, so `seed` should be one that they do not know: then they do not know either which
    /// levels share a place.
    pub(crate) fn new(seed: u64) -> Self {
        Self { places: vec![EMPTY; PLACES_COUNT_MIN], count: 0, seed }
    }

    /// The hash of a level below a parent, eight bytes at a time. The products depend on the seed, so that levels that share a place
    /// under one seed do not under another.
    pub(crate) fn hash(&self, parent: NodeIndex, level: &[u8]) -> u32 {
        let factor = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let fold = |left: u64, right: u64| {
            let product = u128::from(left ^ 0xa076_1d64_78bd_642f) * u128::from(right ^ factor);
            low_half(product) ^ low_half(product >> 64)
        };
        let length = level.len() as u64;
        let start = fold(u64::from(parent), length ^ self.seed);
        let mut rest = level;
        let mut hash = start;
        while let Some((eight, after)) = rest.split_first_chunk::<8>() {
            hash = fold(hash, u64::from_le_bytes(*eight));
            rest = after;
        }
        let tail = match *rest {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c] => u64::from(u32::from_le_bytes([a, b, c, 0])),
            [a, b, c, d, ref last @ ..] => {
                let first = u64::from(u32::from_le_bytes([a, b, c, d]));
                last.iter().fold(first, |word, byte| (word << 8) ^ u64::from(*byte))
            }
        };
        let hash = fold(hash, tail);
        u32::try_from(hash >> 32).expect("a shift leaves 32 bits")
    }

    /// The node with this hash for which `is_it` is true.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(NodeIndex) -> bool) -> Option<NodeIndex> {
        let mut place = self.home(hash);
        loop {
            let entry = self.places[place];
            if entry == EMPTY {
                return None;
            }
            if entry.hash == hash && is_it(entry.node) {
                return Some(entry.node);
            }
            place = self.after(place);
        }
    }

    /// Adds a node that is not there.
    pub(crate) fn insert(&mut self, hash: u32, node: NodeIndex) {
        if (self.count + 1) * 3 > self.places.len() * 2 {
            self.resize(self.places.len() * 2);
        }
        self.count += 1;
        self.put(Entry { hash, node });
    }

    /// Takes a node out that is there.
    pub(crate) fn remove(&mut self, hash: u32, node: NodeIndex) {
        let mut hole = self.home(hash);
        while self.places[hole] != (Entry { hash, node }) {
            assert!(self.places[hole] != EMPTY, "a node is removed once");
            hole = self.after(hole);
        }
        let mut next = self.after(hole);
        while self.places[next] != EMPTY {
            // An entry may move back to the hole unless its home lies between the two, going round.
            let wanted = self.home(self.places[next].hash);
            let mask = self.places.len() - 1;
            if (next.wrapping_sub(wanted) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.places[hole] = self.places[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.places[hole] = EMPTY;
        self.count -= 1;
        if self.places.len() > PLACES_COUNT_MIN && self.count * 8 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
    }

    /// Nodes that are there.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn put(&mut self, entry: Entry) {
        let mut place = self.home(entry.hash);
        while self.places[place] != EMPTY {
            place = self.after(place);
        }
        self.places[place] = entry;
    }

    fn resize(&mut self, places_count: usize) {
        let before = std::mem::replace(&mut self.places, vec![EMPTY; places_count]);
        for entry in before.into_iter().filter(|entry| *entry != EMPTY) {
            self.put(entry);
        }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }
}

fn low_half(word: u128) -> u64 {
    u64::try_from(word & u128::from(u64::MAX)).expect("masked to 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_leaves_nothing_and_hides_nothing() {
        let mut table = LevelTable::new(1);
        // Few homes, so that all collide and wrap around.
        let hash = |node: u32| (node * 7) % 5 + 12;
        for node in 0..200 {
            table.insert(hash(node), node);
        }
        for node in (0..200).filter(|node| node % 3 != 0) {
            table.remove(hash(node), node);
        }
        for node in 0..200 {
            let found = table.find(hash(node), |candidate| candidate == node);
            assert_eq!(found.is_some(), node % 3 == 0, "node {node}");
        }
        for node in (0..200).filter(|node| node % 3 == 0) {
            table.remove(hash(node), node);
        }
        assert_eq!((table.count(), table.places.len()), (0, PLACES_COUNT_MIN));
        assert!(table.places.iter().all(|entry| *entry == EMPTY));
    }
}
