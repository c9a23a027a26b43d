//! UNSUBACK (MQTT 5.0 §3.11): one Reason Code for each Topic Filter; none for 3.1.1.

use bytes::BytesMut;

use crate::suback::Answer;
use crate::{PacketIdentifier, ProtocolVersion, ReasonCode};

/// An UNSUBACK with all that it may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingUnsuback<'a> {
    /// That of the UNSUBSCRIBE (MQTT-3.10.4-5).
    pub packet_identifier: PacketIdentifier,
    /// One for each Topic Filter, in their order (MQTT-3.11.3-1); left out for 3.1.1.
    pub reason_codes: &'a [ReasonCode],
    /// For a person who reads the client's log, at the caller's choice (MQTT 5.0 §3.11.2.1.2); left out for 3.1.1.
    pub reason_string: Option<&'a str>,
}

impl OutgoingUnsuback<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self, version: ProtocolVersion) -> usize {
        self.answer().packet_bytes(version, self.codes(version).len())
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// When there are more `reason_codes` than a packet holds; each answers two bytes or more of an UNSUBSCRIBE. When the
    /// Reason String has more than 65,535 bytes.
    pub fn encode(&self, out: &mut BytesMut, version: ProtocolVersion) {
        let codes = self.codes(version);
        self.answer().encode(out, version, codes.len());
        out.extend(codes.iter().map(|code| code.0));
    }

    fn codes(&self, version: ProtocolVersion) -> &[ReasonCode] {
        match version {
            ProtocolVersion::V311 => &[],
            ProtocolVersion::V5 => self.reason_codes,
        }
    }

    fn answer(&self) -> Answer<'_> {
        Answer { first_byte: 0xb0, packet_identifier: self.packet_identifier, reason_string: self.reason_string }
    }
}

/// Appends UNSUBACK without a Reason String.
///
/// # Panics
/// As [`OutgoingUnsuback::encode`].
pub fn encode_unsuback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_codes: &[ReasonCode],
) {
    OutgoingUnsuback { packet_identifier, reason_codes, reason_string: None }.encode(out, version);
}
