//! SUBACK (MQTT 5.0 §3.9): one Reason Code for each Topic Filter.
//!
//! mqttbytes wants an enum for each byte and copies them twice; the layout is four fields.

use bytes::{BufMut, BytesMut};

use crate::{PacketIdentifier, ProtocolVersion, ReasonCode, encode_variable_byte_integer};

/// Appends SUBACK; failures become 0x80 for 3.1.1 (MQTT 3.1.1 §3.9.3).
///
/// # Panics
/// When there are more `reason_codes` than a packet holds; each answers three bytes or more of a SUBSCRIBE.
pub fn encode_suback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_codes: &[ReasonCode],
) {
    out.put_u8(0x90);
    encode_answers(out, version, packet_identifier, reason_codes.len());
    out.extend(reason_codes.iter().map(|code| match version {
        ProtocolVersion::V311 if code.is_failure() => ReasonCode::UNSPECIFIED_ERROR.0,
        ProtocolVersion::V311 | ProtocolVersion::V5 => code.0,
    }));
}

/// Remaining Length, Packet Identifier, and an empty property list for 5.0; `count` bytes follow.
pub(crate) fn encode_answers(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    count: usize,
) {
    let properties: &[u8] = match version {
        ProtocolVersion::V311 => &[],
        ProtocolVersion::V5 => &[0],
    };
    let remaining_length = 2 + properties.len() + count;
    encode_variable_byte_integer(out, u32::try_from(remaining_length).expect("shorter than what it answers"));
    out.put_u16(packet_identifier.get());
    out.put_slice(properties);
}
