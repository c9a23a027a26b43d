//! Where a connection breaks: at every packet boundary, in both directions.

use std::collections::BTreeSet;

use crate::wire;

/// A kind of packet whose boundary is cut at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is a packet of MQTT 5.0 §2.1.2")]
pub enum PacketKind {
    Connect,
    Connack,
    PublishAtLeastOnce,
    PublishExactlyOnce,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
}

impl PacketKind {
    /// The kind of a packet by its first byte; `None` where nothing hangs on it.
    pub(crate) fn of(first_byte: u8) -> Option<Self> {
        Some(match (first_byte >> 4, (first_byte >> 1) & 0b11) {
            (1, _) => Self::Connect,
            (2, _) => Self::Connack,
            (3, 1) => Self::PublishAtLeastOnce,
            (3, 2) => Self::PublishExactlyOnce,
            (4, _) => Self::Puback,
            (5, _) => Self::Pubrec,
            (6, _) => Self::Pubrel,
            (7, _) => Self::Pubcomp,
            (8, _) => Self::Subscribe,
            (9, _) => Self::Suback,
            (10, _) => Self::Unsubscribe,
            (11, _) => Self::Unsuback,
            (14, _) => Self::Disconnect,
            _ => return None,
        })
    }
}

/// Which way the packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// The connection breaks at a packet's boundary: behind it, or before it, so that it was sent for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// Its kind.
    pub packet: PacketKind,
    /// Its way.
    pub way: Way,
    /// Whether it still arrives.
    pub arrives: bool,
}

impl Cut {
    /// All cuts of an exchange.
    pub fn all() -> Vec<Self> {
        use PacketKind as Kind;
        let both = [
            Kind::PublishAtLeastOnce,
            Kind::PublishExactlyOnce,
            Kind::Puback,
            Kind::Pubrec,
            Kind::Pubrel,
            Kind::Pubcomp,
        ];
        let to_server = [Kind::Connect, Kind::Subscribe, Kind::Unsubscribe, Kind::Disconnect];
        let to_client = [Kind::Connack, Kind::Suback, Kind::Unsuback];
        let to_server = both.iter().chain(&to_server).map(|packet| (*packet, Way::ToServer));
        let to_client = both.iter().chain(&to_client).map(|packet| (*packet, Way::ToClient));
        let cuts = to_server.chain(to_client);
        cuts.flat_map(|(packet, way)| [true, false].map(|arrives| Self { packet, way, arrives })).collect()
    }

    /// How many of the bytes that a client writes get through, where one of their packets is the one to cut at.
    pub(crate) fn of_bytes_to_server(self, bytes: &[u8]) -> Option<usize> {
        if self.way != Way::ToServer {
            return None;
        }
        let mut start = 0;
        while let Some(length) = wire::packet_bytes(&bytes[start..]) {
            if PacketKind::of(bytes[start]) == Some(self.packet) {
                return Some(if self.arrives { start + length } else { start });
            }
            start += length;
        }
        None
    }
}

/// Which cuts were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutCounts {
    made: BTreeSet<Cut>,
    count: u64,
}

impl CutCounts {
    pub(crate) fn count(&mut self, cut: Cut) {
        self.made.insert(cut);
        self.count += 1;
    }

    /// All together.
    pub const fn sum(&self) -> u64 {
        self.count
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        self.made.extend(&other.made);
        self.count += other.count;
    }

    /// Cuts that were never made.
    pub fn missing(&self) -> Vec<Cut> {
        Cut::all().into_iter().filter(|cut| !self.made.contains(cut)).collect()
    }
}
