//! Shared Subscriptions (MQTT 5.0 §4.8.2): their members, and which of them gets a record.

use std::collections::BTreeMap;

use contract::{Publication, SessionId, fnv1a};
use mqtt::Properties;

use crate::level_table::NodeIndex;
use crate::subscription::{Entries, SubscriptionEntry};

/// Names a Shared Subscription, a `ShareName` with a Topic Filter. Never used again.
pub(crate) type GroupIndex = u32;

/// The User Property whose value decides, where a publication has one.
const PARTITION_PROPERTY: &[u8] = b"$partition";

/// The Shared Subscriptions of a partition.
#[derive(Debug, Default)]
pub(crate) struct SharedGroups {
    by_index: BTreeMap<GroupIndex, SharedGroup>,
    next_index: GroupIndex,
}

/// One Shared Subscription.
#[derive(Debug)]
pub(crate) struct SharedGroup {
    share_name: Box<str>,
    /// Where its filter ends in the index.
    node: NodeIndex,
    has_wildcard: bool,
    members: Entries,
    /// The subscriber that had the last record in turn.
    last: u32,
}

/// Whether a member may get a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Its connection is there.
    Connected(SessionId),
    /// Its session waits for a connection.
    Absent(SessionId),
    /// Its session has ended.
    Ended,
}

/// What decides among the members, of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    publication: &'a Publication,
    partition: Option<u64>,
}

impl<'a> Key<'a> {
    /// Reads the publication's `$partition` once.
    pub(crate) fn of(publication: &'a Publication) -> Self {
        Self {
            publication,
            partition: Properties::user_property(publication.properties(), PARTITION_PROPERTY).map(fnv1a),
        }
    }
}

impl SharedGroups {
    /// Shared Subscriptions.
    pub(crate) fn count(&self) -> usize {
        self.by_index.len()
    }

    /// The one of `candidates`, which have one filter, with this `ShareName`.
    pub(crate) fn find(&self, candidates: &[GroupIndex], share_name: &str) -> Option<GroupIndex> {
        candidates.iter().copied().find(|index| *self.by_index[index].share_name == *share_name)
    }

    /// The name for the next Shared Subscription.
    pub(crate) fn next_index(&mut self) -> GroupIndex {
        while self.by_index.contains_key(&self.next_index) {
            self.next_index = self.next_index.wrapping_add(1);
        }
        self.next_index
    }

    /// Adds a Shared Subscription without members, named by [`SharedGroups::next_index`].
    pub(crate) fn insert(&mut self, share_name: &str, topic_filter: &str, node: NodeIndex) {
        let group = SharedGroup {
            share_name: share_name.into(),
            node,
            has_wildcard: topic_filter.contains(['+', '#']),
            members: Entries::None,
            last: u32::MAX,
        };
        self.by_index.insert(self.next_index, group);
        self.next_index = self.next_index.wrapping_add(1);
    }

    /// Whether the subscriber is a member.
    pub(crate) fn contains(&self, group: GroupIndex, subscriber: u32) -> bool {
        self.by_index[&group].members.find(subscriber).is_some()
    }

    /// Adds a member, or replaces what it asked for before.
    pub(crate) fn join(&mut self, group: GroupIndex, entry: SubscriptionEntry) {
        self.by_index.get_mut(&group).expect("found or made before").members.put(entry);
    }

    /// Takes a member out: whether it was one, and the node of a Shared Subscription that has gone with its last member.
    pub(crate) fn leave(&mut self, group: GroupIndex, subscriber: u32) -> (bool, Option<NodeIndex>) {
        let Some(place) = self.by_index.get_mut(&group) else { return (false, None) };
        let was_there = place.members.remove(subscriber).is_some();
        if !matches!(place.members, Entries::None) {
            return (was_there, None);
        }
        (was_there, self.by_index.remove(&group).map(|group| group.node))
    }

    /// The member that gets a record: by the hash of its `$partition`, else of its Topic Name where the filter has a wildcard, else in
    /// turn. Members that are connected come before those that are not. By hash, all partitions choose alike, and a member that
    /// comes or goes moves no record between two others. `None`: there is no member.
    pub(crate) fn choose(
        &mut self,
        group: GroupIndex,
        key: &Key<'_>,
        presence: impl Fn(u32) -> Presence,
    ) -> Option<SubscriptionEntry> {
        let group = self.by_index.get_mut(&group)?;
        let by_name = || group.has_wildcard.then(|| fnv1a(key.publication.topic_name()));
        match key.partition.or_else(by_name) {
            Some(hash) => group.heaviest(hash, presence),
            None => group.next_in_turn(presence),
        }
    }
}

impl SharedGroup {
    /// Rendezvous hashing: the member whose name makes the largest number with the record's hash.
    fn heaviest(&self, hash: u64, presence: impl Fn(u32) -> Presence) -> Option<SubscriptionEntry> {
        let ranked = |entry: &SubscriptionEntry| match presence(entry.subscriber) {
            Presence::Connected(session) => Some(((true, weight(hash, session)), *entry)),
            Presence::Absent(session) => Some(((false, weight(hash, session)), *entry)),
            Presence::Ended => None,
        };
        let members = self.members.as_slice().iter();
        members.filter_map(ranked).max_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
    }

    fn next_in_turn(&mut self, presence: impl Fn(u32) -> Presence) -> Option<SubscriptionEntry> {
        let members = self.members.as_slice();
        let start = members.partition_point(|entry| entry.subscriber <= self.last);
        let (before, after) = members.split_at(start);
        let in_turn = || after.iter().chain(before);
        let connected = in_turn().find(|entry| matches!(presence(entry.subscriber), Presence::Connected(_)));
        let absent = || in_turn().find(|entry| matches!(presence(entry.subscriber), Presence::Absent(_)));
        let chosen = connected.or_else(absent).copied()?;
        self.last = chosen.subscriber;
        Some(chosen)
    }
}

/// The finaliser of `MurmurHash3` over both.
fn weight(hash: u64, session: SessionId) -> u64 {
    let mut mixed = hash ^ (session.number << 16 | u64::from(session.home.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use contract::{PartitionIndex, PublicationDraft, SubscriptionRequest};

    use super::*;
    use crate::subscription::SubscriptionOptions;
    use crate::testing::{draft, publish, request};

    #[test]
    fn without_wildcard_and_property_members_get_records_in_turn() {
        let mut groups = groups("a", 4);
        let key = of("a", &[]);
        let mut take =
            |presence: fn(u32) -> Presence| groups.choose(0, &Key::of(&key), presence).map(|entry| entry.subscriber);
        let taken: Vec<_> = (0..5).map(|_| take(connected)).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2), Some(3), Some(0)]);
        assert_eq!(take(even_connected), Some(2), "those that are absent are passed over");
        assert_eq!(take(absent), Some(3), "unless all are");
        assert_eq!(take(|_| Presence::Ended), None);
    }

    #[test]
    fn with_a_wildcard_the_topic_name_decides_and_the_property_before_it() {
        let mut groups = groups("+/x", 4);
        let mut of_key = |topic_name: &str, properties: &[u8]| {
            let publication = of(topic_name, properties);
            groups.choose(0, &Key::of(&publication), connected).expect("there are members").subscriber
        };
        let by_name: Vec<_> = (0..40).map(|number| of_key(&format!("{number}/x"), &[])).collect();
        assert_eq!(by_name, (0..40).map(|number| of_key(&format!("{number}/x"), &[])).collect::<Vec<_>>());
        assert!((0..4).all(|member| by_name.contains(&member)), "{by_name:?}");
        let property = [&[0x26, 0, 10][..], b"$partition", &[0, 1, b'7']].concat();
        let by_property: Vec<_> = (0..40).map(|number| of_key(&format!("{number}/x"), &property)).collect();
        assert!(by_property.windows(2).all(|pair| pair[0] == pair[1]), "{by_property:?}");
    }

    #[test]
    fn a_member_that_goes_moves_no_record_between_two_others() {
        let mut groups = groups("+", 5);
        for number in 0..200 {
            let publication = of(&number.to_string(), &[]);
            let before = groups.choose(0, &Key::of(&publication), connected).expect("there are members").subscriber;
            let after = groups.choose(0, &Key::of(&publication), even_connected).expect("there are members").subscriber;
            assert!(after.is_multiple_of(2) && (before == after || !before.is_multiple_of(2)), "{before} {after}");
        }
    }

    fn groups(filter: &str, members_count: u32) -> SharedGroups {
        let mut groups = SharedGroups::default();
        assert_eq!(groups.next_index(), 0);
        groups.insert("s", filter, 1);
        for subscriber in 0..members_count {
            let options = SubscriptionOptions::of(&SubscriptionRequest { ..request(filter) });
            groups.join(0, SubscriptionEntry { subscriber, options });
        }
        groups
    }

    fn session(subscriber: u32) -> SessionId {
        SessionId { home: PartitionIndex(0), number: subscriber.into() }
    }

    fn connected(subscriber: u32) -> Presence {
        Presence::Connected(session(subscriber))
    }

    fn absent(subscriber: u32) -> Presence {
        Presence::Absent(session(subscriber))
    }

    fn even_connected(subscriber: u32) -> Presence {
        if subscriber.is_multiple_of(2) { connected(subscriber) } else { absent(subscriber) }
    }

    fn of(topic_name: &str, properties: &[u8]) -> Publication {
        publish(&PublicationDraft { properties, ..draft(topic_name) }, b"1")
    }
}
