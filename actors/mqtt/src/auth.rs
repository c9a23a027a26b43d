//! AUTH (MQTT 5.0 §3.15), both ways, which mqttbytes does not have.

use bytes::BytesMut;

use crate::properties::{self, CheckedProperties, PropertySet, Value};
use crate::property_writer::{OutgoingProperty, PacketWriter};
use crate::reader::Reader;
use crate::{DecodeError, Frame, ReasonCode};

const PROPERTIES: PropertySet = PropertySet::of(&[
    properties::AUTHENTICATION_METHOD,
    properties::AUTHENTICATION_DATA,
    properties::REASON_STRING,
    properties::USER_PROPERTY,
]);

/// Authentication Data (MQTT 5.0 §4.12): any bytes, secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthenticationData(pub Box<[u8]>);

impl std::fmt::Debug for AuthenticationData {
    /// Keeps it out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AuthenticationData({} bytes)", self.0.len())
    }
}

/// A client's step of enhanced authentication (MQTT 5.0 §4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// 0x18 Continue authentication, or 0x19 Re-authenticate.
    pub reason_code: ReasonCode,
    /// The Authentication Method.
    pub method: Box<str>,
    /// The Authentication Data.
    pub data: Option<AuthenticationData>,
}

impl Auth {
    /// Reads an AUTH of MQTT 5.0 that a client sent.
    ///
    /// # Errors
    /// Malformed: flags (MQTT-3.15.1-1), a Reason Code that AUTH does not have, fields out of bounds. Protocol error: Success,
    /// which only a server says (MQTT 5.0 §3.15.2.1), no Authentication Method (MQTT 5.0 §3.15.2.2.2).
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        const SUCCESS: DecodeError = DecodeError::ProtocolError("AUTH with Success from a client (MQTT 5.0 §3.15.2.1)");
        if frame.flags() != 0 {
            return Err(DecodeError::Malformed("AUTH with flags (MQTT-3.15.1-1)"));
        }
        if frame.body.is_empty() {
            return Err(SUCCESS);
        }
        let mut reader = Reader::new(&frame.body);
        let reason_code = ReasonCode(reader.byte()?);
        if !matches!(reason_code.0, 0x00 | 0x18 | 0x19) {
            return Err(DecodeError::Malformed("a Reason Code that AUTH does not have (MQTT 5.0 §3.15.2.1)"));
        }
        let (mut method, mut data) = (None, None);
        let mut walk = CheckedProperties::split(&mut reader, PROPERTIES)?;
        while let Some(property) = walk.next()? {
            match (property.identifier, property.value) {
                (properties::AUTHENTICATION_METHOD, _) => method = property.text(),
                (properties::AUTHENTICATION_DATA, Value::Binary(bytes)) => data = Some(bytes),
                _ => {}
            }
        }
        reader.end()?;
        if reason_code == ReasonCode::SUCCESS {
            return Err(SUCCESS);
        }
        let method =
            method.ok_or(DecodeError::ProtocolError("AUTH without Authentication Method (MQTT 5.0 §3.15.2.2.2)"))?;
        Ok(Self { reason_code, method: method.into(), data: data.map(|data| AuthenticationData(data.into())) })
    }
}

/// A server's step of enhanced authentication (MQTT 5.0 §4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingAuth<'a> {
    /// 0x00 Success, or 0x18 Continue authentication.
    pub reason_code: ReasonCode,
    /// The Authentication Method of the client's CONNECT (MQTT-4.12.0-5).
    pub method: &'a str,
    /// The Authentication Data.
    pub data: Option<&'a [u8]>,
    /// For a person who reads the client's log, at the caller's choice (MQTT 5.0 §3.15.2.2.4).
    pub reason_string: Option<&'a str>,
}

impl OutgoingAuth<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self) -> usize {
        self.writer(&[self.reason_code.0]).packet_bytes(0)
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// When a text or the data has more than 65,535 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        self.writer(&[self.reason_code.0]).write(out, 0);
    }

    fn writer<'b>(&'b self, before: &'b [u8]) -> PacketWriter<'b, impl Iterator<Item = OutgoingProperty<'b>> + Clone> {
        let properties = [
            Some(OutgoingProperty::text(properties::AUTHENTICATION_METHOD, self.method)),
            self.data.map(|data| OutgoingProperty::Binary(properties::AUTHENTICATION_DATA, data)),
            self.reason_string.map(|text| OutgoingProperty::text(properties::REASON_STRING, text)),
        ];
        PacketWriter { first_byte: 0xf0, before, properties: properties.into_iter().flatten() }
    }
}
