//! UNSUBACK (MQTT 5.0 §3.11): one Reason Code for each Topic Filter; none for 3.1.1.

use bytes::{BufMut, BytesMut};

use crate::suback::encode_answers;
use crate::{PacketIdentifier, ProtocolVersion, ReasonCode};

/// Appends UNSUBACK.
///
/// # Panics
/// When there are more `reason_codes` than a packet holds; each answers two bytes or more of an UNSUBSCRIBE.
pub fn encode_unsuback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_codes: &[ReasonCode],
) {
    out.put_u8(0xb0);
    match version {
        ProtocolVersion::V311 => encode_answers(out, version, packet_identifier, 0),
        ProtocolVersion::V5 => {
            encode_answers(out, version, packet_identifier, reason_codes.len());
            out.extend(reason_codes.iter().map(|code| code.0));
        }
    }
}
