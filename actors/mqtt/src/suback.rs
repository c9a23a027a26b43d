//! SUBACK (MQTT 5.0 §3.9): one Reason Code for each Topic Filter.
//!
//! mqttbytes wants an enum for each byte and copies them twice; the layout is four fields.

use bytes::{BufMut, BytesMut};

use crate::properties::REASON_STRING;
use crate::property_writer::{OutgoingProperty, PacketWriter};
use crate::{PacketIdentifier, ProtocolVersion, ReasonCode, encode_variable_byte_integer, variable_byte_integer_bytes};

/// A SUBACK with all that it may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingSuback<'a> {
    /// That of the SUBSCRIBE (MQTT-3.8.4-2).
    pub packet_identifier: PacketIdentifier,
    /// One for each Topic Filter, in their order (MQTT-3.9.3-1); failures become 0x80 for 3.1.1 (MQTT 3.1.1 §3.9.3).
    pub reason_codes: &'a [ReasonCode],
    /// For a person who reads the client's log, at the caller's choice (MQTT 5.0 §3.9.2.1.2); left out for 3.1.1.
    pub reason_string: Option<&'a str>,
}

impl OutgoingSuback<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self, version: ProtocolVersion) -> usize {
        self.answer().packet_bytes(version, self.reason_codes.len())
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// When there are more `reason_codes` than a packet holds; each answers three bytes or more of a SUBSCRIBE. When the Reason
    /// String has more than 65,535 bytes.
    pub fn encode(&self, out: &mut BytesMut, version: ProtocolVersion) {
        self.answer().encode(out, version, self.reason_codes.len());
        out.extend(self.reason_codes.iter().map(|code| match version {
            ProtocolVersion::V311 if code.is_failure() => ReasonCode::UNSPECIFIED_ERROR.0,
            ProtocolVersion::V311 | ProtocolVersion::V5 => code.0,
        }));
    }

    fn answer(&self) -> Answer<'_> {
        Answer { first_byte: 0x90, packet_identifier: self.packet_identifier, reason_string: self.reason_string }
    }
}

/// Appends SUBACK without a Reason String.
///
/// # Panics
/// As [`OutgoingSuback::encode`].
pub fn encode_suback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_codes: &[ReasonCode],
) {
    OutgoingSuback { packet_identifier, reason_codes, reason_string: None }.encode(out, version);
}

/// What SUBACK and UNSUBACK have before their Reason Codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) first_byte: u8,
    pub(crate) packet_identifier: PacketIdentifier,
    pub(crate) reason_string: Option<&'a str>,
}

impl Answer<'_> {
    /// Bytes of a packet whose Reason Codes are `codes_bytes`.
    pub(crate) fn packet_bytes(&self, version: ProtocolVersion, codes_bytes: usize) -> usize {
        match version {
            ProtocolVersion::V311 => 1 + variable_byte_integer_bytes(2 + codes_bytes) + 2 + codes_bytes,
            ProtocolVersion::V5 => self.writer(&self.packet_identifier.get().to_be_bytes()).packet_bytes(codes_bytes),
        }
    }

    /// Appends all before the Reason Codes.
    pub(crate) fn encode(&self, out: &mut BytesMut, version: ProtocolVersion, codes_bytes: usize) {
        let before = self.packet_identifier.get().to_be_bytes();
        match version {
            ProtocolVersion::V311 => {
                out.put_u8(self.first_byte);
                let remaining_length = u32::try_from(2 + codes_bytes).expect("shorter than what it answers");
                encode_variable_byte_integer(out, remaining_length);
                out.put_slice(&before);
            }
            ProtocolVersion::V5 => self.writer(&before).write(out, codes_bytes),
        }
    }

    fn writer<'b>(&'b self, before: &'b [u8]) -> PacketWriter<'b, impl Iterator<Item = OutgoingProperty<'b>> + Clone> {
        let reason_string = self.reason_string.map(|text| OutgoingProperty::text(REASON_STRING, text));
        PacketWriter { first_byte: self.first_byte, before, properties: reason_string.into_iter() }
    }
}
