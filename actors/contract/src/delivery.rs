//! One record on its way from a partition to a subscriber.

use crate::{Offset, Publication, QoS};

/// Names a delivery between a partition and a connection: its place among all that the partition sent to that connection,
/// from 0 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryNumber(pub u64);

impl DeliveryNumber {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A publication for one subscriber: the shared record and what its Subscriptions make of it.
///
/// One record matches all of a client's Subscriptions together: it is delivered once, with the highest of their levels and
/// all of their Subscription Identifiers (MQTT 5.0 §3.3.4, MQTT-3.3.4-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name until it is settled.
    pub number: DeliveryNumber,
    /// The record's number in the partition's log; `None` for a Retained Message that is replayed.
    pub offset: Option<Offset>,
    /// The message; cloning it shares the bytes.
    pub publication: Publication,
    /// The lower of the publication's level and the Subscription's maximum.
    pub qos: QoS,
    /// The RETAIN flag that the client sees (MQTT 5.0 §3.3.1.3).
    pub retain: bool,
    /// The Subscription Identifiers of all Subscriptions that matched, ascending, without repetition. Empty: no allocation.
    pub subscription_identifiers: Box<[u32]>,
}

/// What became of a delivery. Each is settled exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// QoS 0: written to the socket. QoS 1: the client's PUBACK came.
    Delivered,
    /// Larger than the client's Maximum Packet Size (MQTT-3.1.2-24); given up.
    PacketTooLarge,
    /// Its Message Expiry Interval passed while it waited in the connection (MQTT-3.3.2-5).
    Expired,
}
