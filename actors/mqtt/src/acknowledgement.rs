//! PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5.0 §3.4 to §3.7): a Packet Identifier and a Reason Code.
//!
//! mqttbytes takes any flags, a Packet Identifier of 0, and bytes after the end.

use bytes::{BufMut, BytesMut};

use crate::properties::{CheckedProperties, PropertySet, REASON_STRING, USER_PROPERTY};
use crate::property_writer::{OutgoingProperty, PacketWriter};
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
                CheckedProperties::split(&mut reader, PROPERTIES)?.check()?;
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

/// Which of the four packets an [`OutgoingAcknowledgement`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgementType {
    /// Answers a PUBLISH of `QoS` 1 (MQTT 5.0 §3.4).
    Puback,
    /// Answers a PUBLISH of `QoS` 2 (MQTT 5.0 §3.5).
    Pubrec,
    /// Answers a PUBREC (MQTT 5.0 §3.6).
    Pubrel,
    /// Answers a PUBREL (MQTT 5.0 §3.7).
    Pubcomp,
}

impl AcknowledgementType {
    const fn first_byte(self) -> u8 {
        match self {
            Self::Puback => 0x40,
            Self::Pubrec => 0x50,
            // Its flags are 0010 (MQTT-3.6.1-1).
            Self::Pubrel => 0x62,
            Self::Pubcomp => 0x70,
        }
    }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP with all that it may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingAcknowledgement<'a> {
    /// Which packet it is.
    pub packet_type: AcknowledgementType,
    /// Whose exchange it is.
    pub packet_identifier: PacketIdentifier,
    /// Left out for 3.1.1.
    pub reason_code: ReasonCode,
    /// For a person who reads the client's log; left out for 3.1.1. The caller leaves it out where the packet would exceed the
    /// client's Maximum Packet Size, and where the client did not ask for problem information (MQTT 5.0 §3.4.2.2.2).
    pub reason_string: Option<&'a str>,
}

impl OutgoingAcknowledgement<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self, version: ProtocolVersion) -> usize {
        match (version, self.reason_string) {
            (ProtocolVersion::V5, Some(text)) => self.writer(&self.before(), text).packet_bytes(0),
            (ProtocolVersion::V5, None) if self.reason_code != ReasonCode::SUCCESS => 5,
            (ProtocolVersion::V311 | ProtocolVersion::V5, _) => 4,
        }
    }

    /// Appends the packet: 4 bytes; under 5.0 one more for a Reason Code other than Success, and then the Reason String.
    ///
    /// # Panics
    /// When the Reason String has more than 65,535 bytes.
    pub fn encode(&self, out: &mut BytesMut, version: ProtocolVersion) {
        let before = self.before();
        match (version, self.reason_string) {
            (ProtocolVersion::V5, Some(text)) => self.writer(&before, text).write(out, 0),
            (ProtocolVersion::V5, None) if self.reason_code != ReasonCode::SUCCESS => {
                out.put_slice(&[self.packet_type.first_byte(), 3]);
                out.put_slice(&before);
            }
            (ProtocolVersion::V311 | ProtocolVersion::V5, _) => {
                out.put_slice(&[self.packet_type.first_byte(), 2, before[0], before[1]]);
            }
        }
    }

    fn before(&self) -> [u8; 3] {
        let [high, low] = self.packet_identifier.get().to_be_bytes();
        [high, low, self.reason_code.0]
    }

    fn writer<'a>(
        &self,
        before: &'a [u8],
        reason_string: &'a str,
    ) -> PacketWriter<'a, impl Iterator<Item = OutgoingProperty<'a>> + Clone> {
        let properties = std::iter::once(OutgoingProperty::text(REASON_STRING, reason_string));
        PacketWriter { first_byte: self.packet_type.first_byte(), before, properties }
    }
}

/// Appends PUBACK: 4 bytes, or 5 with a Reason Code other than Success, which 3.1.1 does not have (MQTT 5.0 §3.4).
pub fn encode_puback(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, version, AcknowledgementType::Puback, packet_identifier, reason_code);
}

/// Appends PUBREC, as [`encode_puback`] does (MQTT 5.0 §3.5).
pub fn encode_pubrec(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, version, AcknowledgementType::Pubrec, packet_identifier, reason_code);
}

/// Appends PUBREL, as [`encode_puback`] does (MQTT 5.0 §3.6).
pub fn encode_pubrel(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, version, AcknowledgementType::Pubrel, packet_identifier, reason_code);
}

/// Appends PUBCOMP, as [`encode_puback`] does (MQTT 5.0 §3.7).
pub fn encode_pubcomp(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    encode(out, version, AcknowledgementType::Pubcomp, packet_identifier, reason_code);
}

fn encode(
    out: &mut BytesMut,
    version: ProtocolVersion,
    packet_type: AcknowledgementType,
    packet_identifier: PacketIdentifier,
    reason_code: ReasonCode,
) {
    OutgoingAcknowledgement { packet_type, packet_identifier, reason_code, reason_string: None }.encode(out, version);
}
