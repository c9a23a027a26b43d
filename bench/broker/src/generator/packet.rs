//! The packets that the generator writes: as few as a load needs, in MQTT 3.1.1 and 5.0.

use super::stamp::{STAMP_BYTES, Stamp};

/// The version of MQTT that the clients speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1: protocol level 4.
    #[default]
    V311,
    /// MQTT 5.0: protocol level 5.
    V5,
}

/// Quality of service of a load. The exchange of QoS 2 is no part of any scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QoS {
    /// At most once.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

impl QoS {
    /// As it stands on the wire.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

/// The whole DISCONNECT of a client that leaves normally, the same in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];
/// Seconds of Keep Alive: longer than any run, so that no PINGREQ is needed.
pub(crate) const KEEP_ALIVE_S: u16 = 3_600;

/// CONNECT (§3.1): a clean session, nothing but a Client Identifier.
pub(crate) fn connect(version: Version, client_identifier: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    put_text(&mut body, "MQTT");
    body.push(match version {
        Version::V311 => 4,
        Version::V5 => 5,
    });
    body.push(0b10);
    body.extend(KEEP_ALIVE_S.to_be_bytes());
    put_no_properties(&mut body, version);
    put_text(&mut body, client_identifier);
    packet(0x10, &body)
}

/// SUBSCRIBE (§3.8) with one or more Topic Filters, all of one QoS.
pub(crate) fn subscribe<'a>(
    version: Version,
    packet_identifier: u16,
    topic_filters: impl IntoIterator<Item = &'a str>,
    qos: QoS,
) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    put_no_properties(&mut body, version);
    for topic_filter in topic_filters {
        put_text(&mut body, topic_filter);
        body.push(qos.bits());
    }
    packet(0x82, &body)
}

/// PUBACK (§3.4), success.
pub(crate) fn puback(packet_identifier: u16) -> [u8; 4] {
    let [high, low] = packet_identifier.to_be_bytes();
    [0x40, 2, high, low]
}

/// A publisher's PUBLISH (§3.3), encoded once: a message is a copy of it with another Packet Identifier and stamp.
#[derive(Debug)]
pub(crate) struct PublishTemplate {
    bytes: Vec<u8>,
    identifier_at: Option<usize>,
    stamp_at: usize,
    publisher: u32,
}

impl PublishTemplate {
    /// Encodes it. The payload is the stamp and letters that follow it.
    ///
    /// # Panics
    /// If `payload_bytes` has no room for a stamp: scenarios are ours.
    pub(crate) fn new(version: Version, topic: &str, qos: QoS, payload_bytes: usize, publisher: u32) -> Self {
        assert!(payload_bytes >= STAMP_BYTES, "a payload holds its stamp");
        let mut body = Vec::with_capacity(payload_bytes + 64);
        put_text(&mut body, topic);
        let identifier_in_body = body.len();
        if qos == QoS::AtLeastOnce {
            body.extend([0, 0]);
        }
        put_no_properties(&mut body, version);
        let stamp_in_body = body.len();
        body.resize(stamp_in_body + STAMP_BYTES, 0);
        body.extend((b'a'..=b'z').cycle().take(payload_bytes - STAMP_BYTES));
        let bytes = packet(0x30 | (qos.bits() << 1), &body);
        let header_bytes = bytes.len() - body.len();
        let identifier_at = (qos == QoS::AtLeastOnce).then_some(header_bytes + identifier_in_body);
        Self { bytes, identifier_at, stamp_at: header_bytes + stamp_in_body, publisher }
    }

    /// Bytes of each message.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one message. `packet_identifier` counts for QoS 1 only.
    pub(crate) fn write(&self, output: &mut Vec<u8>, packet_identifier: u16, sequence: u64, time_ns: u64) {
        let start = output.len();
        output.extend_from_slice(&self.bytes);
        let message = &mut output[start..];
        if let Some(at) = self.identifier_at {
            message[at..at + 2].copy_from_slice(&packet_identifier.to_be_bytes());
        }
        Stamp { publisher: self.publisher, sequence, time_ns }.write(&mut message[self.stamp_at..]);
    }
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names of the bench are short");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

fn put_no_properties(body: &mut Vec<u8>, version: Version) {
    if version == Version::V5 {
        body.push(0);
    }
}

/// Fixed header (§2.2) and body.
#[expect(clippy::cast_possible_truncation, reason = "seven bits are taken")]
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(first);
    let mut left = body.len();
    loop {
        let digit = (left & 0x7f) as u8;
        left >>= 7;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Packet, next_packet};
    use super::*;

    #[test]
    fn connect_is_what_the_standard_has() {
        let bytes = [&[0x10, 13, 0, 4][..], b"MQTT", &[4, 2, 0x0e, 0x10, 0, 1], b"c"].concat();
        assert_eq!(connect(Version::V311, "c"), bytes);
        let bytes = [&[0x10, 14, 0, 4][..], b"MQTT", &[5, 2, 0x0e, 0x10, 0, 0, 1], b"c"].concat();
        assert_eq!(connect(Version::V5, "c"), bytes);
    }

    #[test]
    fn subscribe_holds_all_filters() {
        let bytes = [0x82, 10, 0, 7, 0, 1, b'a', 1, 0, 1, b'#', 1];
        assert_eq!(subscribe(Version::V311, 7, ["a", "#"], QoS::AtLeastOnce), bytes);
        assert_eq!(subscribe(Version::V5, 7, ["a"], QoS::AtMostOnce), [0x82, 7, 0, 7, 0, 0, 1, b'a', 0]);
        assert_eq!(puback(258), [0x40, 2, 1, 2]);
    }

    #[test]
    fn a_message_carries_its_identifier_and_stamp_in_both_versions() {
        for version in [Version::V311, Version::V5] {
            for (qos, payload_bytes) in [(QoS::AtMostOnce, 20), (QoS::AtLeastOnce, 200), (QoS::AtLeastOnce, 4_096)] {
                let template = PublishTemplate::new(version, "bench/p1", qos, payload_bytes, 9);
                let mut output = vec![1, 2, 3];
                template.write(&mut output, 513, 77, 1_000);
                assert_eq!(output.len(), 3 + template.size_bytes());
                let (packet, bytes) = next_packet(version, &output[3..]).unwrap().unwrap();
                assert_eq!(bytes, template.size_bytes());
                let Packet::Publish { packet_identifier, payload, .. } = packet else { panic!("{packet:?}") };
                assert_eq!(packet_identifier, (qos == QoS::AtLeastOnce).then_some(513));
                assert_eq!(payload.len(), payload_bytes);
                let stamp = Stamp { publisher: 9, sequence: 77, time_ns: 1_000 };
                assert_eq!(Stamp::read(payload), Some(stamp));
            }
        }
    }
}
