//! DISCONNECT (MQTT 5.0 §3.14), both ways.
//!
//! mqttbytes refuses `e0 00` under 5.0, the normal way to leave (§3.14.2.1).

use bytes::{BufMut, BytesMut};

use crate::properties::{self, CheckedProperties, PropertySet, Value};
use crate::property_writer::{OutgoingProperty, PacketWriter};
use crate::reader::Reader;
use crate::{DecodeError, Frame, ProtocolVersion, ReasonCode};

const FROM_CLIENT: PropertySet =
    PropertySet::of(&[properties::SESSION_EXPIRY_INTERVAL, properties::REASON_STRING, properties::USER_PROPERTY]);

/// The client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// 0x00 deletes the Will Message (MQTT-3.14.4-3), any other has it published.
    pub reason_code: ReasonCode,
    /// The Session Expiry Interval, in seconds, where the client changes it (MQTT 5.0 §3.14.2.2.2).
    pub session_expiry_interval_s: Option<u32>,
}

impl Disconnect {
    /// Reads a DISCONNECT.
    ///
    /// # Errors
    /// Malformed: flags (MQTT-3.14.1-1), a Reason Code that a client does not send, fields out of bounds.
    pub fn decode(frame: &Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        if frame.flags() != 0 {
            return Err(DecodeError::Malformed("DISCONNECT with flags (MQTT-3.14.1-1)"));
        }
        let mut disconnect = Self { reason_code: ReasonCode::SUCCESS, session_expiry_interval_s: None };
        let mut reader = Reader::new(&frame.body);
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            disconnect.reason_code = ReasonCode(reader.byte()?);
            if !is_known(disconnect.reason_code) {
                return Err(DecodeError::Malformed("a Reason Code that a client's DISCONNECT does not have"));
            }
            if !reader.is_empty() {
                let mut walk = CheckedProperties::split(&mut reader, FROM_CLIENT)?;
                while let Some(property) = walk.next()? {
                    if let (properties::SESSION_EXPIRY_INTERVAL, Value::Integer(seconds)) =
                        (property.identifier, property.value)
                    {
                        disconnect.session_expiry_interval_s = Some(seconds);
                    }
                }
            }
        }
        reader.end()?;
        Ok(disconnect)
    }
}

/// The Reason Codes that a client may send (MQTT 5.0 §3.14.2.1).
fn is_known(reason_code: ReasonCode) -> bool {
    matches!(reason_code.0, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
}

/// Appends the DISCONNECT of a server that speaks 5.0; 3.1.1 has none.
pub fn encode_disconnect(out: &mut BytesMut, reason_code: ReasonCode) {
    out.put_slice(&[0xe0, 0x01, reason_code.0]);
}

/// The DISCONNECT of a server with all that it may carry; a Session Expiry Interval is not among it (MQTT-3.14.2-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingDisconnect<'a> {
    /// Why the connection ends.
    pub reason_code: ReasonCode,
    /// For a person who reads the client's log, at the caller's choice (MQTT 5.0 §3.14.2.2.3).
    pub reason_string: Option<&'a str>,
    /// Another server for the client (MQTT 5.0 §3.14.2.2.5).
    pub server_reference: Option<&'a str>,
}

impl OutgoingDisconnect<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self) -> usize {
        self.writer(&[self.reason_code.0]).packet_bytes(0)
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// When a text has more than 65,535 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        self.writer(&[self.reason_code.0]).write(out, 0);
    }

    fn writer<'b>(&'b self, before: &'b [u8]) -> PacketWriter<'b, impl Iterator<Item = OutgoingProperty<'b>> + Clone> {
        let properties = [
            self.reason_string.map(|text| OutgoingProperty::text(properties::REASON_STRING, text)),
            self.server_reference.map(|text| OutgoingProperty::text(properties::SERVER_REFERENCE, text)),
        ];
        PacketWriter { first_byte: 0xe0, before, properties: properties.into_iter().flatten() }
    }
}
