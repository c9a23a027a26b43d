//! PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5.0 §3.4 to §3.7): a Packet Identifier and a Reason Code.
//!
//! mqttbytes takes any flags, a Packet Identifier of 0, and bytes after the end.

use bytes::{BufMut, BytesMut};

use crate::properties::{Properties, PropertySet, REASON_STRING, USER_PROPERTY};
use crate::reader::Reader;
use crate::{DecodeError, Frame, PacketIdentifier, ProtocolVersion, ReasonCode};

const PROPERTIES: PropertySet = PropertySet::of(&[REASON_STRING, USER_PROPERTY]);

/// One of the four packets that acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Whose exchange it is.
    pub packet_identifier: PacketIdentifier,
    /// Success where the packet had none.
    pub reason_code: ReasonCode,
}

impl Acknowledgement {
    /// Reads one; `flags` are what the fixed header must have: 2 for PUBREL (MQTT-3.6.1-1), 0 for the others.
    pub(crate) fn decode(frame: &Frame, version: ProtocolVersion, flags: u8) -> Result<Self, DecodeError> {
        if frame.flags() != flags {
            return Err(DecodeError::Malformed("reserved flags of the fixed header (MQTT-2.1.3-1)"));
        }
        let mut reader = Reader::new(&frame.body);
        let packet_identifier = reader.packet_identifier()?;
        let mut reason_code = ReasonCode::SUCCESS;
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            reason_code = ReasonCode(reader.byte()?);
            if !is_known(frame.packet_type(), reason_code) {
                return Err(DecodeError::Malformed("a Reason Code that this packet does not have (MQTT 5.0 §2.4)"));
            }
            if !reader.is_empty() {
                Properties::split(&mut reader, PROPERTIES)?.check()?;
            }
        }
        reader.end()?;
        Ok(Self { packet_identifier, reason_code })
    }
}

/// The Reason Codes of MQTT 5.0 §3.4.2.1 to §3.7.2.1.
fn is_known(packet_type: u8, reason_code: ReasonCode) -> bool {
    match packet_type {
        4 | 5 => matches!(reason_code.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
        _ => matches!(reason_code, ReasonCode::SUCCESS | ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
    }
}

/// Appends PUBACK: 4 bytes, or 5 with a Reason Code other than Success, which 3.1.1 does not have (MQTT 5.0 §3.4).
pub fn encode_puback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, 0x40, version, packet_identifier, reason_code);
}

/// Appends PUBCOMP, as [`encode_puback`] does (MQTT 5.0 §3.7).
pub fn encode_pubcomp(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, 0x70, version, packet_identifier, reason_code);
}

fn encode(
    out: &mut BytesMut,
    first_byte: u8,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    let [high, low] = packet_identifier.get().to_be_bytes();
    if reason_code == ReasonCode::SUCCESS || version == ProtocolVersion::V311 {
        out.put_slice(&[first_byte, 2, high, low]);
    } else {
        out.put_slice(&[first_byte, 3, high, low, reason_code.0]);
    }
}
