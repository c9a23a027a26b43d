//! A numbered message of a model client: what its payload says, and who refuses it.

use crate::build::{HUB_BYTES_MAX, MESSAGE_BYTES_MAX};

/// A message that a client sent: `number` is its place among those of its topic, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) number: u64,
}

/// One in so many messages of a topic is larger than a hub takes, and one in so many larger than a partition does.
const FOR_NO_HUB_ONE_IN: u64 = 24;
const FOR_NO_PARTITION_ONE_IN: u64 = 35;
/// One in so many messages of a topic is to be retained.
const RETAINED_ONE_IN: u64 = 10;

impl Sent {
    /// Whether the partition refuses it.
    pub(crate) const fn is_for_no_partition(&self) -> bool {
        self.number.is_multiple_of(FOR_NO_PARTITION_ONE_IN)
    }

    /// Whether the hubs refuse it; clients with a small Maximum Packet Size get it no more than they do.
    pub(crate) const fn is_for_no_hub(&self) -> bool {
        self.number.is_multiple_of(FOR_NO_HUB_ONE_IN) || self.is_for_no_partition()
    }

    /// Whether it is to be retained.
    pub(crate) const fn is_retained(&self) -> bool {
        self.number.is_multiple_of(RETAINED_ONE_IN)
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let padding = match (self.is_for_no_partition(), self.is_for_no_hub()) {
            (true, _) => MESSAGE_BYTES_MAX,
            (false, true) => HUB_BYTES_MAX,
            (false, false) => 0,
        };
        let mut payload = self.words();
        payload.resize(payload.len() + padding, b'.');
        payload
    }

    /// The payload without padding: that of a Will Message.
    pub(crate) fn words(&self) -> Vec<u8> {
        format!("{}|{}|", self.topic, self.number).into_bytes()
    }

    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(payload).ok()?.splitn(3, '|');
        let (topic, number) = (parts.next()?, parts.next()?);
        Some(Self { topic: topic.to_owned(), number: number.parse().ok()? })
    }
}
