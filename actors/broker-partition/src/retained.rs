//! Retained Messages by Topic Name (MQTT 5.0 §3.3.1.3).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use contract::{Instant, Publication};
use mqtt::TopicFilter;

use crate::records::{Holder, RecordIndex, Records, expires_at};

/// The last message of each topic that was published with RETAIN.
#[derive(Debug, Default)]
pub(crate) struct RetainedMessages {
    /// Iterated in the order of the topics' bytes.
    by_topic: BTreeMap<Box<str>, RecordIndex>,
    /// Those that expire, the earliest first.
    expiries: BTreeSet<(Instant, Box<str>)>,
    bytes: u64,
    /// Messages that found no room, since the start.
    left_out_count: u64,
    expired_count: u64,
}

/// How much may be retained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetainedLimits {
    pub(crate) count_max: u32,
    pub(crate) bytes_max: u64,
    /// What is left of the shard's budget, in bytes.
    pub(crate) shard_room_bytes: u64,
}

/// What became of a message with RETAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retained {
    /// It is the topic's Retained Message, or the topic has none as it asks (MQTT-3.3.1-6).
    Done,
    /// No room: the topic has no Retained Message.
    LeftOut,
}

impl RetainedMessages {
    /// Stores, replaces or, with an empty payload, deletes the Retained Message of the publication's topic. A message that finds no
    /// room leaves the topic without one: an old value must not pass for the last.
    pub(crate) fn put(
        &mut self,
        publication: &Publication,
        now: Instant,
        limits: &RetainedLimits,
        records: &mut Records,
    ) -> Retained {
        let topic_name = publication.topic_name_str();
        let removed_bytes = self.remove(topic_name, records);
        if publication.payload().is_empty() {
            return Retained::Done;
        }
        let bytes = publication.size_bytes() as u64;
        let has_room = self.by_topic.len() < limits.count_max as usize
            && self.bytes + bytes <= limits.bytes_max
            && bytes <= limits.shard_room_bytes + removed_bytes;
        if !has_room {
            self.left_out_count += 1;
            return Retained::LeftOut;
        }
        if let Some(expires_at) = expires_at(publication) {
            self.expiries.insert((expires_at, topic_name.into()));
        }
        let record = records.insert(publication.detached(), None, now, None);
        records.hold(record, Holder::Retained);
        self.bytes += bytes;
        self.by_topic.insert(topic_name.into(), record);
        Retained::Done
    }

    /// Calls `visit` with each message that `filter` matches and that has not expired, in topic order.
    pub(crate) fn visit_matching(
        &self,
        filter: &str,
        now: Instant,
        records: &mut Records,
        mut visit: impl FnMut(RecordIndex, &mut Records),
    ) {
        let Ok(filter) = TopicFilter::parse(filter) else { return };
        let prefix = literal_prefix(filter.as_str());
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let candidates = self.by_topic.range::<str, _>(from).take_while(|(topic, _)| topic.starts_with(prefix));
        for (topic_name, record) in candidates {
            if filter.matches(topic_name.as_bytes()) && !records.get(*record).is_expired(now) {
                visit(*record, records);
            }
        }
    }

    /// Drops messages that have expired, at most `count_max` of them.
    pub(crate) fn sweep(&mut self, now: Instant, count_max: usize, records: &mut Records) {
        for _ in 0..count_max {
            let Some((expires_at, _)) = self.expiries.first() else { return };
            if *expires_at > now {
                return;
            }
            let (_, topic_name) = self.expiries.first().cloned().expect("looked at above");
            self.expired_count += 1;
            self.remove(&topic_name, records);
        }
    }

    /// When the next message expires.
    pub(crate) fn expiry_due(&self) -> Option<Instant> {
        self.expiries.first().map(|(expires_at, _)| *expires_at)
    }

    fn remove(&mut self, topic_name: &str, records: &mut Records) -> u64 {
        let Some(record) = self.by_topic.remove(topic_name) else { return 0 };
        let bytes = records.size_bytes(record);
        if let Some(expires_at) = records.get(record).expires_at {
            self.expiries.remove(&(expires_at, topic_name.into()));
        }
        records.release(record, Holder::Retained);
        self.bytes -= bytes;
        bytes
    }

    /// Retained Messages.
    pub(crate) fn count(&self) -> usize {
        self.by_topic.len()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages with RETAIN that found no room, since the start.
    pub(crate) fn left_out_count(&self) -> u64 {
        self.left_out_count
    }

    /// Retained Messages that expired, since the start.
    pub(crate) fn expired_count(&self) -> u64 {
        self.expired_count
    }
}

/// The text with which every Topic Name begins that `filter` matches.
fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        // The separator before `#` is no part of it: `a/#` matches `a` (MQTT 5.0 §4.7.1.2).
        Some(at) => filter[..at].strip_suffix('/').unwrap_or(&filter[..at]),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_prefix_leaves_no_match_out() {
        for (filter, prefix) in [("a/b", "a/b"), ("a/#", "a"), ("a/+/c", "a"), ("#", ""), ("/+", "")] {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }
}
