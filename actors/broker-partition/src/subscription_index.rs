//! Which subscribers and flows a Topic Name goes to: a trie by topic levels (MQTT 5.0 §4.7).
//!
//! The cost of a match follows from the filters that share levels with the Topic Name; filters that part from it earlier
//! cost nothing, however many they are.

use contract::QoS;

use crate::level_table::{LevelTable, NodeIndex};
use crate::slab::Slab;

const ROOT: NodeIndex = 0;

/// What a Subscription asks for, beside its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionOptions {
    pub(crate) maximum_qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<u32>,
}

/// A Subscription found by a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionEntry {
    /// The subscriber's number.
    pub(crate) subscriber: u32,
    pub(crate) options: SubscriptionOptions,
}

/// The trie. Nodes of removed filters are used again.
#[derive(Debug)]
pub(crate) struct SubscriptionIndex {
    nodes: Slab<Node>,
    levels: LevelTable,
    subscriptions_count: u32,
    /// What a match has still to visit: a node, and where its next level begins. Kept for its memory.
    to_visit: Vec<(NodeIndex, Option<usize>)>,
}

#[derive(Debug)]
struct Node {
    parent: NodeIndex,
    step: Step,
    single_level: Option<NodeIndex>,
    multi_level: Option<NodeIndex>,
    /// Children of all three kinds.
    children_count: u32,
    /// Subscriptions whose filter ends here, by subscriber.
    subscriptions: Vec<SubscriptionEntry>,
    /// Positions of flows with a filter that ends here.
    flows: Vec<u16>,
}

/// How a node is reached from its parent.
#[derive(Debug)]
enum Step {
    Root,
    Exact { level: Box<[u8]>, hash: u32 },
    SingleLevel,
    MultiLevel,
}

impl Node {
    fn new(parent: NodeIndex, step: Step) -> Self {
        Self {
            parent,
            step,
            single_level: None,
            multi_level: None,
            children_count: 0,
            subscriptions: Vec::new(),
            flows: Vec::new(),
        }
    }

    fn is_needed(&self) -> bool {
        self.children_count > 0
            || !self.subscriptions.is_empty()
            || !self.flows.is_empty()
            || matches!(self.step, Step::Root)
    }
}

impl SubscriptionIndex {
    /// An index without filters; `seed` as for [`LevelTable::new`].
    pub(crate) fn new(seed: u64) -> Self {
        let mut nodes = Slab::default();
        assert_eq!(nodes.insert(Node::new(ROOT, Step::Root)), ROOT, "the root comes first");
        Self { nodes, levels: LevelTable::new(seed), subscriptions_count: 0, to_visit: Vec::new() }
    }

    /// Adds a filter of the flow at `position`; `filter` is valid.
    pub(crate) fn insert_flow(&mut self, filter: &str, position: u16) {
        let node = self.make_path(filter);
        let flows = &mut self.nodes.get_mut(node).flows;
        if let Err(at) = flows.binary_search(&position) {
            flows.insert(at, position);
        }
    }

    /// Adds a Subscription, or replaces the subscriber's one with the same filter; whether there was one (MQTT-3.8.4-3).
    pub(crate) fn insert(&mut self, filter: &str, entry: SubscriptionEntry) -> bool {
        let node = self.make_path(filter);
        let subscriptions = &mut self.nodes.get_mut(node).subscriptions;
        match subscriptions.binary_search_by_key(&entry.subscriber, |entry| entry.subscriber) {
            Ok(at) => {
                subscriptions[at] = entry;
                true
            }
            Err(at) => {
                subscriptions.insert(at, entry);
                self.subscriptions_count += 1;
                false
            }
        }
    }

    /// Takes a Subscription out; whether it was there.
    pub(crate) fn remove(&mut self, filter: &str, subscriber: u32) -> bool {
        let Some(node) = self.find_path(filter) else { return false };
        let subscriptions = &mut self.nodes.get_mut(node).subscriptions;
        let Ok(at) = subscriptions.binary_search_by_key(&subscriber, |entry| entry.subscriber) else { return false };
        subscriptions.remove(at);
        if subscriptions.is_empty() {
            *subscriptions = Vec::new();
        }
        self.subscriptions_count -= 1;
        self.prune(node);
        true
    }

    /// Subscriptions of all subscribers.
    pub(crate) fn subscriptions_count(&self) -> u32 {
        self.subscriptions_count
    }

    /// Finds all that match `topic_name`: pushes the Subscriptions to `subscriptions`, and the positions of flows, which may
    /// repeat, to `flows`. The same filters, added in the same order, are found in the same order.
    pub(crate) fn find(&mut self, topic_name: &[u8], subscriptions: &mut Vec<SubscriptionEntry>, flows: &mut Vec<u16>) {
        let Self { nodes, levels, to_visit, .. } = self;
        let mut take = |node: NodeIndex| {
            let node = nodes.get(node);
            subscriptions.extend_from_slice(&node.subscriptions);
            flows.extend_from_slice(&node.flows);
        };
        // Wildcards at the start leave out Topic Names that start with `$` (MQTT-4.7.2-1).
        let is_reserved = topic_name.first() == Some(&b'$');
        to_visit.push((ROOT, Some(0)));
        while let Some((index, next)) = to_visit.pop() {
            let node = nodes.get(index);
            let wildcards_apply = index != ROOT || !is_reserved;
            if let Some(multi_level) = node.multi_level.filter(|_| wildcards_apply) {
                take(multi_level);
            }
            let Some(start) = next else {
                take(index);
                continue;
            };
            let rest = &topic_name[start..];
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let after = (end < rest.len()).then_some(start + end + 1);
            if let Some(single_level) = node.single_level.filter(|_| wildcards_apply) {
                to_visit.push((single_level, after));
            }
            if let Some(child) = find_child(nodes, levels, index, &rest[..end]) {
                to_visit.push((child, after));
            }
        }
    }

    fn make_path(&mut self, filter: &str) -> NodeIndex {
        filter.as_bytes().split(|byte| *byte == b'/').fold(ROOT, |node, level| self.make_child(node, level))
    }

    fn make_child(&mut self, parent: NodeIndex, level: &[u8]) -> NodeIndex {
        if let Some(child) = self.find_step(parent, level) {
            return child;
        }
        let step = match level {
            b"+" => Step::SingleLevel,
            b"#" => Step::MultiLevel,
            _ => Step::Exact { level: level.into(), hash: self.levels.hash(parent, level) },
        };
        let child = self.nodes.insert(Node::new(parent, step));
        let parent = self.nodes.get_mut(parent);
        parent.children_count += 1;
        match level {
            b"+" => parent.single_level = Some(child),
            b"#" => parent.multi_level = Some(child),
            _ => {
                if let Step::Exact { hash, .. } = self.nodes.get(child).step {
                    self.levels.insert(hash, child);
                }
            }
        }
        child
    }

    fn find_path(&self, filter: &str) -> Option<NodeIndex> {
        filter.as_bytes().split(|byte| *byte == b'/').try_fold(ROOT, |node, level| self.find_step(node, level))
    }

    fn find_step(&self, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
        match level {
            b"+" => self.nodes.get(parent).single_level,
            b"#" => self.nodes.get(parent).multi_level,
            _ => find_child(&self.nodes, &self.levels, parent, level),
        }
    }

    /// Removes `node` and those above it that nothing needs any more.
    fn prune(&mut self, mut node: NodeIndex) {
        while !self.nodes.get(node).is_needed() {
            let Node { parent, step, .. } = self.nodes.remove(node);
            let above = self.nodes.get_mut(parent);
            above.children_count -= 1;
            match step {
                Step::SingleLevel => above.single_level = None,
                Step::MultiLevel => above.multi_level = None,
                Step::Exact { hash, .. } => self.levels.remove(hash, node),
                Step::Root => unreachable!("the root is always needed"),
            }
            node = parent;
        }
    }
}

fn find_child(nodes: &Slab<Node>, levels: &LevelTable, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
    levels.find(levels.hash(parent, level), |candidate| {
        let node = nodes.get(candidate);
        node.parent == parent && matches!(&node.step, Step::Exact { level: text, .. } if **text == *level)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_what_a_naive_matcher_finds() {
        for seed in seeds() {
            let mut dice = Dice(seed * 2 + 1);
            let mut index = SubscriptionIndex::new(3);
            let mut reference: Vec<(String, SubscriptionEntry)> = Vec::new();
            for _ in 0..150 {
                if dice.below(3) == 0 && !reference.is_empty() {
                    let (filter, entry) = reference.swap_remove(dice.below(reference.len()));
                    assert!(index.remove(&filter, entry.subscriber), "seed={seed}");
                    assert!(!index.remove(&filter, entry.subscriber), "seed={seed}");
                } else {
                    let filter = dice.text(&["a", "b", "", "$x", "+", "+", "#"]);
                    let entry = entry(u32::try_from(dice.below(6)).unwrap(), u32::try_from(dice.below(9)).unwrap());
                    let same = |(text, other): &(String, SubscriptionEntry)| {
                        *text == filter && other.subscriber == entry.subscriber
                    };
                    let existed = reference.iter().position(same).map(|at| reference.swap_remove(at)).is_some();
                    assert_eq!(index.insert(&filter, entry), existed, "seed={seed}");
                    reference.push((filter, entry));
                }
                let topic_name = dice.text(&["a", "b", "", "$x", "c"]);
                let mut expected: Vec<_> = reference
                    .iter()
                    .filter(|(filter, _)| matches(filter, topic_name.as_bytes()))
                    .map(|(_, entry)| (entry.subscriber, entry.options.identifier))
                    .collect();
                expected.sort_unstable();
                assert_eq!(found(&mut index, &topic_name), expected, "seed={seed} {topic_name:?}");
            }
            for (filter, entry) in &reference {
                index.remove(filter, entry.subscriber);
            }
            assert_eq!(
                (index.nodes.len(), index.levels.count(), index.subscriptions_count()),
                (1, 0, 0),
                "seed={seed}"
            );
        }
    }

    #[test]
    fn a_flow_is_found_by_any_of_its_filters() {
        let mut index = SubscriptionIndex::new(3);
        index.insert_flow("a/+", 1);
        index.insert_flow("a/#", 1);
        index.insert_flow("b", 0);
        let (mut subscriptions, mut flows) = (Vec::new(), Vec::new());
        index.find(b"a/x", &mut subscriptions, &mut flows);
        assert_eq!((subscriptions, flows), (vec![], vec![1, 1]));
    }

    #[test]
    fn the_deepest_topic_name_is_walked_without_recursion() {
        let mut index = SubscriptionIndex::new(3);
        let deepest = "/".repeat(65_535);
        index.insert(&deepest, entry(1, 1));
        index.insert("#", entry(2, 2));
        assert_eq!(found(&mut index, &deepest), [(1, Some(1)), (2, Some(2))]);
        assert!(index.remove(&deepest, 1));
        assert_eq!(index.nodes.len(), 2);
    }

    fn found(index: &mut SubscriptionIndex, topic_name: &str) -> Vec<(u32, Option<u32>)> {
        let (mut subscriptions, mut flows) = (Vec::new(), Vec::new());
        index.find(topic_name.as_bytes(), &mut subscriptions, &mut flows);
        let mut found: Vec<_> =
            subscriptions.iter().map(|entry| (entry.subscriber, entry.options.identifier)).collect();
        found.sort_unstable();
        found
    }

    fn entry(subscriber: u32, identifier: u32) -> SubscriptionEntry {
        let options = SubscriptionOptions {
            maximum_qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: Some(identifier),
        };
        SubscriptionEntry { subscriber, options }
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
