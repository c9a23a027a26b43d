//! Which subscribers and flows a Topic Name goes to: a trie by topic levels (MQTT 5.0 §4.7).
//!
//! The cost of a match follows from the filters that share levels with the Topic Name; filters that part from it earlier
//! cost nothing, however many they are.

use crate::level_table::{LevelTable, NodeIndex};
use crate::node::{NO_NODE, Node, Step};
use crate::slab::Slab;
use crate::subscription::SubscriptionEntry;

const ROOT: NodeIndex = 0;

/// The trie. Nodes of removed filters are used again.
#[derive(Debug)]
pub(crate) struct SubscriptionIndex {
    nodes: Slab<Node>,
    levels: LevelTable,
    /// What a match has still to visit: a node, and where its next level begins. Kept for its memory.
    to_visit: Vec<(NodeIndex, Option<usize>)>,
    /// How often filters were added and removed: what was found before is found again while it stays.
    version: u64,
}

/// What a Topic Name goes to.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    /// Subscriptions by ascending subscriber.
    pub(crate) entries: Vec<SubscriptionEntry>,
    /// Positions of flows; they may repeat.
    pub(crate) flows: Vec<u16>,
    /// Shared Subscriptions.
    pub(crate) groups: Vec<u32>,
    /// Whether entries of several nodes stand there, so that a subscriber may have several.
    are_mixed: bool,
    /// The Topic Name that this is of, and the index's version then; empty where it is not to be asked for again.
    topic_name: Vec<u8>,
    version: u64,
}

/// A longer Topic Name is searched for each time.
const KEPT_TOPIC_BYTES_MAX: usize = 1_024;

impl Matches {
    fn begin(&mut self, topic_name: &[u8], version: u64) {
        self.entries.clear();
        self.are_mixed = false;
        self.flows.clear();
        self.groups.clear();
        self.version = version;
        self.topic_name.clear();
        if topic_name.len() <= KEPT_TOPIC_BYTES_MAX {
            self.topic_name.extend_from_slice(topic_name);
        }
    }

    /// Whether this is what `topic_name` goes to.
    fn is_of(&self, topic_name: &[u8], version: u64) -> bool {
        self.version == version && !topic_name.is_empty() && self.topic_name == topic_name
    }

    /// Whether nobody wants it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.flows.is_empty() && self.groups.is_empty()
    }

    fn take(&mut self, node: &Node) {
        let entries = node.entries.as_slice();
        if !entries.is_empty() {
            self.are_mixed = !self.entries.is_empty();
            self.entries.extend_from_slice(entries);
        }
        if let Some(extras) = &node.extras {
            self.flows.extend_from_slice(&extras.flows);
            self.groups.extend_from_slice(&extras.groups);
        }
    }
}

impl SubscriptionIndex {
    /// An index without filters; `seed` as for [`LevelTable::new`].
    pub(crate) fn new(seed: u64) -> Self {
        let mut nodes = Slab::default();
        assert_eq!(nodes.insert(Node::new(ROOT, Step::Root)), ROOT, "the root comes first");
        Self { nodes, levels: LevelTable::new(seed), to_visit: Vec::new(), version: 0 }
    }

    /// Adds a filter of the flow at `position`; `filter` is valid.
    pub(crate) fn insert_flow(&mut self, filter: &str, position: u16) {
        let node = self.make_path(filter);
        let flows = &mut self.nodes.get_mut(node).extras_mut().flows;
        if let Err(at) = flows.binary_search(&position) {
            flows.insert(at, position);
        }
    }

    /// Adds a Shared Subscription that is not there; the node at which its filter ends.
    pub(crate) fn insert_group(&mut self, filter: &str, group: u32) -> NodeIndex {
        let node = self.make_path(filter);
        let groups = &mut self.nodes.get_mut(node).extras_mut().groups;
        let at = groups.binary_search(&group).expect_err("a Shared Subscription has one filter");
        groups.insert(at, group);
        node
    }

    /// Takes a Shared Subscription out that is there.
    pub(crate) fn remove_group(&mut self, node: NodeIndex, group: u32) {
        self.version += 1;
        let place = self.nodes.get_mut(node);
        place.extras_mut().groups.retain(|each| *each != group);
        place.shrink();
        self.prune(node);
    }

    /// The Shared Subscriptions with this filter.
    pub(crate) fn groups(&self, filter: &str) -> &[u32] {
        let node = self.find_path(filter).map(|node| self.nodes.get(node));
        node.and_then(|node| node.extras.as_ref()).map_or(&[], |extras| &extras.groups)
    }

    /// Whether the subscriber has a Subscription with this filter.
    pub(crate) fn contains(&self, filter: &str, subscriber: u32) -> bool {
        self.find_path(filter).is_some_and(|node| self.nodes.get(node).entries.find(subscriber).is_some())
    }

    /// Adds a Subscription, or replaces the subscriber's one with the same filter (MQTT-3.8.4-3), which is returned; and the node at
    /// which the filter ends: it names the filter as long as a Subscription has it.
    pub(crate) fn insert(&mut self, filter: &str, entry: SubscriptionEntry) -> (NodeIndex, Option<SubscriptionEntry>) {
        let node = self.make_path(filter);
        (node, self.nodes.get_mut(node).entries.put(entry))
    }

    /// Takes a Subscription out; the node at which its filter ended, and what it was.
    pub(crate) fn remove(&mut self, filter: &str, subscriber: u32) -> Option<(NodeIndex, SubscriptionEntry)> {
        self.version += 1;
        let node = self.find_path(filter)?;
        let removed = self.nodes.get_mut(node).entries.remove(subscriber)?;
        self.prune(node);
        Some((node, removed))
    }

    /// Takes the Subscription out that the subscriber has at this node.
    ///
    /// # Panics
    /// When there is none: a subscriber knows its nodes.
    pub(crate) fn remove_at(&mut self, node: NodeIndex, subscriber: u32) {
        self.version += 1;
        let removed = self.nodes.get_mut(node).entries.remove(subscriber);
        assert!(removed.is_some(), "a subscriber knows its nodes");
        self.prune(node);
    }

    /// Makes `matches` all that match `topic_name`; it is left as it is where that is so already. The same filters, added in the same
    /// order, are found in the same order.
    pub(crate) fn find(&mut self, topic_name: &[u8], matches: &mut Matches) {
        if !matches.is_of(topic_name, self.version) {
            matches.begin(topic_name, self.version);
            self.search(topic_name, matches);
            if matches.are_mixed {
                matches.entries.sort_unstable_by_key(|entry| entry.subscriber);
            }
        }
    }

    fn search(&mut self, topic_name: &[u8], matches: &mut Matches) {
        let Self { nodes, levels, to_visit, .. } = self;
        // Wildcards at the start leave out Topic Names that start with `$` (MQTT-4.7.2-1).
        let is_reserved = topic_name.first() == Some(&b'$');
        to_visit.push((ROOT, Some(0)));
        while let Some((index, next)) = to_visit.pop() {
            let node = nodes.get(index);
            let wildcards_apply = index != ROOT || !is_reserved;
            if wildcards_apply && node.multi_level != NO_NODE {
                matches.take(nodes.get(node.multi_level));
            }
            let Some(start) = next else {
                matches.take(node);
                continue;
            };
            let rest = &topic_name[start..];
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let after = (end < rest.len()).then_some(start + end + 1);
            if wildcards_apply && node.single_level != NO_NODE {
                to_visit.push((node.single_level, after));
            }
            if let Some(child) = find_child(nodes, levels, index, &rest[..end]) {
                to_visit.push((child, after));
            }
        }
    }

    fn make_path(&mut self, filter: &str) -> NodeIndex {
        self.version += 1;
        filter.as_bytes().split(|byte| *byte == b'/').fold(ROOT, |node, level| self.make_child(node, level))
    }

    fn make_child(&mut self, parent: NodeIndex, level: &[u8]) -> NodeIndex {
        if let Some(child) = self.find_step(parent, level) {
            return child;
        }
        let child = self.nodes.insert(Node::new(parent, Step::of(level)));
        let above = self.nodes.get_mut(parent);
        above.children_count += 1;
        match level {
            b"+" => above.single_level = child,
            b"#" => above.multi_level = child,
            _ => self.levels.insert(self.levels.hash(parent, level), child),
        }
        child
    }

    fn find_path(&self, filter: &str) -> Option<NodeIndex> {
        filter.as_bytes().split(|byte| *byte == b'/').try_fold(ROOT, |node, level| self.find_step(node, level))
    }

    fn find_step(&self, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
        let some = |node: NodeIndex| (node != NO_NODE).then_some(node);
        match level {
            b"+" => some(self.nodes.get(parent).single_level),
            b"#" => some(self.nodes.get(parent).multi_level),
            _ => find_child(&self.nodes, &self.levels, parent, level),
        }
    }

    /// Removes `node` and those above it that nothing needs any more.
    fn prune(&mut self, mut node: NodeIndex) {
        while !self.nodes.get(node).is_needed() {
            let Node { parent, step, .. } = self.nodes.remove(node);
            let above = self.nodes.get_mut(parent);
            above.children_count -= 1;
            if let Some(level) = step.exact() {
                self.levels.remove(self.levels.hash(parent, level), node);
            } else if above.single_level == node {
                above.single_level = NO_NODE;
            } else {
                above.multi_level = NO_NODE;
            }
            node = parent;
        }
    }
}

fn find_child(nodes: &Slab<Node>, levels: &LevelTable, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
    levels.find(levels.hash(parent, level), |candidate| {
        let node = nodes.get(candidate);
        node.parent == parent && node.step.exact() == Some(level)
    })
}

#[cfg(test)]
mod tests {
    use contract::{QoS, SubscriptionRequest};

    use super::*;
    use crate::subscription::SubscriptionOptions;
    use crate::testing::request;

    #[test]
    fn the_index_finds_what_a_naive_matcher_finds() {
        for seed in seeds() {
            let mut dice = Dice(seed * 2 + 1);
            let mut index = SubscriptionIndex::new(3);
            let mut reference: Vec<(String, SubscriptionEntry)> = Vec::new();
            // Of the last Topic Name, as a partition keeps it.
            let mut matches_kept = Matches::default();
            for _ in 0..150 {
                if dice.below(3) == 0 && !reference.is_empty() {
                    let (filter, entry) = reference.swap_remove(dice.below(reference.len()));
                    let removed = index.remove(&filter, entry.subscriber);
                    assert_eq!(removed.map(|(_, removed)| removed), Some(entry), "seed={seed}");
                    assert_eq!(index.remove(&filter, entry.subscriber), None, "seed={seed}");
                } else {
                    let filter = dice.text(&["a", "b", "", "$x", "+", "+", "#"]);
                    let entry = entry(u32::try_from(dice.below(6)).unwrap(), u32::try_from(dice.below(9)).unwrap());
                    let same = |(text, other): &(String, SubscriptionEntry)| {
                        *text == filter && other.subscriber == entry.subscriber
                    };
                    let existed = reference.iter().position(same).map(|at| reference.swap_remove(at).1);
                    assert_eq!(index.contains(&filter, entry.subscriber), existed.is_some(), "seed={seed}");
                    assert_eq!(index.insert(&filter, entry).1, existed, "seed={seed}");
                    reference.push((filter, entry));
                }
                let topic_name = dice.text(&["a", "b", "", "$x", "c"]);
                let mut expected: Vec<_> = reference
                    .iter()
                    .filter(|(filter, _)| matches(filter, topic_name.as_bytes()))
                    .map(|(_, entry)| (entry.subscriber, entry.options.identifier()))
                    .collect();
                expected.sort_unstable();
                assert_eq!(found(&mut index, &topic_name), expected, "seed={seed} {topic_name:?}");
                if dice.below(2) == 0 {
                    index.find(topic_name.as_bytes(), &mut matches_kept);
                    assert_eq!(by_subscriber(&matches_kept), expected, "seed={seed} {topic_name:?}");
                }
            }
            for (filter, entry) in &reference {
                index.remove(filter, entry.subscriber);
            }
            assert_eq!((index.nodes.len(), index.levels.count()), (1, 0), "seed={seed}");
        }
    }

    #[test]
    fn a_flow_is_found_by_any_of_its_filters() {
        let mut index = SubscriptionIndex::new(3);
        index.insert_flow("a/+", 1);
        index.insert_flow("a/#", 1);
        index.insert_flow("b", 0);
        let mut matches = Matches::default();
        index.find(b"a/x", &mut matches);
        assert_eq!((matches.entries, matches.flows), (vec![], vec![1, 1]));
    }

    #[test]
    fn a_shared_subscription_is_found_beside_others_and_leaves_nothing() {
        let mut index = SubscriptionIndex::new(3);
        index.insert("a/+", entry(1, 1));
        let node = index.insert_group("a/+", 7);
        index.insert_group("b", 8);
        let mut matches = Matches::default();
        index.find(b"a/x", &mut matches);
        assert_eq!((matches.entries.len(), matches.groups.as_slice()), (1, [7].as_slice()));
        assert_eq!((index.groups("a/+"), index.groups("c")), ([7].as_slice(), [].as_slice()));
        index.remove_group(node, 7);
        index.remove("a/+", 1);
        assert_eq!(index.nodes.len(), 2);
    }

    #[test]
    fn the_deepest_topic_name_is_walked_without_recursion() {
        let mut index = SubscriptionIndex::new(3);
        let deepest = "/".repeat(65_535);
        index.insert(&deepest, entry(1, 1));
        index.insert("#", entry(2, 2));
        assert_eq!(found(&mut index, &deepest), [(1, Some(1)), (2, Some(2))]);
        assert!(index.remove(&deepest, 1).is_some());
        assert_eq!(index.nodes.len(), 2);
    }

    fn found(index: &mut SubscriptionIndex, topic_name: &str) -> Vec<(u32, Option<u32>)> {
        let mut matches = Matches::default();
        index.find(topic_name.as_bytes(), &mut matches);
        by_subscriber(&matches)
    }

    fn by_subscriber(matches: &Matches) -> Vec<(u32, Option<u32>)> {
        let mut found: Vec<_> =
            matches.entries.iter().map(|entry| (entry.subscriber, entry.options.identifier())).collect();
        found.sort_unstable();
        found
    }

    fn entry(subscriber: u32, identifier: u32) -> SubscriptionEntry {
        let request = SubscriptionRequest {
            maximum_qos: QoS::AtLeastOnce,
            subscription_identifier: (identifier > 0).then_some(identifier),
            ..request("any")
        };
        SubscriptionEntry { subscriber, options: SubscriptionOptions::of(&request) }
    }

    fn seeds() -> std::ops::Range<u64> {
        match std::env::var("SEED") {
            Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("SEED is a number"),
            Err(_) => 0..200,
        }
    }

    fn matches(filter: &str, topic_name: &[u8]) -> bool {
        mqtt::TopicFilter::parse(filter).expect("made valid").matches(topic_name)
    }

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % end
        }

        /// Up to four of these levels; `#` ends it.
        fn text(&mut self, levels: &[&str]) -> String {
            let mut text = levels[self.below(levels.len())].to_owned();
            for _ in 0..self.below(4) {
                if text.ends_with('#') {
                    break;
                }
                text.push('/');
                text.push_str(levels[self.below(levels.len())]);
            }
            if text.is_empty() { "a".to_owned() } else { text }
        }
    }
}
