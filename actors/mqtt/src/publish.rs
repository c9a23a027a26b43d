//! PUBLISH (MQTT 5.0 §3.3), both ways, in place.
//!
//! mqttbytes makes a String of each Topic Name and values of all properties; here all parts are slices of the frame, and the
//! properties go on as the bytes that came.

use std::borrow::Cow;
use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};
use contract::QoS;

use crate::properties::{self, CheckedProperties, PropertySet, Value};
use crate::reader::Reader;
use crate::{
    DecodeError, Frame, ProtocolVersion, TopicName, encode_variable_byte_integer, variable_byte_integer_bytes,
};

/// Names a packet until its exchange is complete; never 0 (MQTT-2.2.1-3).
pub type PacketIdentifier = NonZeroU16;

/// What a client may put into a PUBLISH. Subscription Identifier is not among them (MQTT-3.3.4-6).
pub(crate) const FROM_CLIENT: PropertySet = PropertySet::of(&[
    properties::PAYLOAD_FORMAT_INDICATOR,
    properties::MESSAGE_EXPIRY_INTERVAL,
    properties::TOPIC_ALIAS,
    properties::RESPONSE_TOPIC,
    properties::CORRELATION_DATA,
    properties::USER_PROPERTY,
    properties::SUBSCRIPTION_IDENTIFIER,
    properties::CONTENT_TYPE,
]);

/// A PUBLISH that a client sent; its parts are slices of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may be sent again (MQTT 5.0 §3.3.1.1).
    pub dup: bool,
    /// The level.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// The Topic Name; `None` where only a Topic Alias stands for it (MQTT 5.0 §3.3.2.3.4).
    pub topic_name: Option<TopicName<'a>>,
    /// There for `QoS` 1 and 2.
    pub packet_identifier: Option<PacketIdentifier>,
    /// The properties as they came, in order, without Message Expiry Interval and Topic Alias. Borrowed unless one of these
    /// stood between others.
    pub properties: Cow<'a, [u8]>,
    /// The Message Expiry Interval, in seconds.
    pub message_expiry_s: Option<u32>,
    /// The Topic Alias, not 0.
    pub topic_alias: Option<u16>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Reads a PUBLISH. About 50 ns without properties.
    ///
    /// # Errors
    /// Malformed: `QoS` 3 (MQTT-3.3.1-4), DUP with `QoS` 0 (MQTT-3.3.1-2), fields out of bounds. Protocol error: neither Topic
    /// Name nor Topic Alias, a Subscription Identifier (MQTT-3.3.4-6), a property twice. A wildcard: Topic Name invalid.
    pub fn decode(frame: &'a Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let flags = frame.flags();
        let qos = QoS::from_bits((flags >> 1) & 0b11).ok_or(DecodeError::Malformed("QoS 3 (MQTT-3.3.1-4)"))?;
        let dup = flags & 0b1000 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::Malformed("DUP with QoS 0 (MQTT-3.3.1-2)"));
        }
        let mut reader = Reader::new(&frame.body);
        let topic_text = reader.string()?;
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_identifier()?),
        };
        let carried = match version {
            ProtocolVersion::V311 => Carried::default(),
            ProtocolVersion::V5 => Carried::split(&mut reader)?,
        };
        let topic_name = match topic_text {
            "" if carried.topic_alias.is_some() => None,
            "" if version == ProtocolVersion::V5 => {
                return Err(DecodeError::ProtocolError("neither Topic Name nor Topic Alias (MQTT 5.0 §3.3.2.1)"));
            }
            text => Some(TopicName::parse(text).ok_or(DecodeError::TopicNameInvalid)?),
        };
        Ok(Self {
            dup,
            qos,
            retain: flags & 1 != 0,
            topic_name,
            packet_identifier,
            properties: carried.properties,
            message_expiry_s: carried.message_expiry_s,
            topic_alias: carried.topic_alias,
            payload: reader.rest(),
        })
    }
}

/// The properties of an Application Message: those that go on unchanged, and those that do not.
#[derive(Debug, Default)]
pub(crate) struct Carried<'a> {
    pub(crate) properties: Cow<'a, [u8]>,
    pub(crate) message_expiry_s: Option<u32>,
    pub(crate) topic_alias: Option<u16>,
    pub(crate) will_delay_s: Option<u32>,
}

impl<'a> Carried<'a> {
    fn split(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::walk(CheckedProperties::split(reader, FROM_CLIENT)?)
    }

    /// Walks over the properties of a PUBLISH or a Will Message.
    pub(crate) fn walk(mut walk: CheckedProperties<'a>) -> Result<Self, DecodeError> {
        let all = walk.rest();
        let mut carried = Self::default();
        // The run of properties that go on, as a range of `all`, until one of the others interrupts it.
        let (mut run_start, mut at) = (0, 0);
        while let Some(property) = walk.next()? {
            let next = at + property.whole.len();
            let taken_out = match (property.identifier, property.value) {
                (properties::MESSAGE_EXPIRY_INTERVAL, Value::Integer(seconds)) => {
                    carried.message_expiry_s = Some(seconds);
                    true
                }
                (properties::WILL_DELAY_INTERVAL, Value::Integer(seconds)) => {
                    carried.will_delay_s = Some(seconds);
                    true
                }
                (properties::TOPIC_ALIAS, Value::Integer(alias)) => {
                    carried.topic_alias = u16::try_from(alias).ok();
                    true
                }
                (properties::SUBSCRIPTION_IDENTIFIER, _) => {
                    return Err(DecodeError::ProtocolError("a Subscription Identifier from a client (MQTT-3.3.4-6)"));
                }
                (properties::RESPONSE_TOPIC, _) if property.text().and_then(TopicName::parse).is_none() => {
                    return Err(DecodeError::ProtocolError("a Response Topic with a wildcard (MQTT-3.3.2-14)"));
                }
                _ => false,
            };
            if taken_out {
                append(&mut carried.properties, &all[run_start..at]);
                run_start = next;
            }
            at = next;
        }
        append(&mut carried.properties, &all[run_start..]);
        Ok(carried)
    }
}

fn append<'a>(joined: &mut Cow<'a, [u8]>, run: &'a [u8]) {
    if joined.is_empty() {
        *joined = Cow::Borrowed(run);
    } else if !run.is_empty() {
        joined.to_mut().extend_from_slice(run);
    }
}

/// A PUBLISH that goes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingPublish<'a> {
    /// It may have been sent before (MQTT-3.3.1-1).
    pub dup: bool,
    /// The RETAIN flag that the client sees (MQTT 5.0 §3.3.1.3).
    pub retain: bool,
    /// The level.
    pub qos: QoS,
    /// There for `QoS` 1 and 2, and only then (MQTT-2.2.1-2, MQTT-2.2.1-4).
    pub packet_identifier: Option<PacketIdentifier>,
    /// A valid Topic Name; empty where `topic_alias` stands for it.
    pub topic_name: &'a [u8],
    /// Gives `topic_name` this Topic Alias, or stands for the name that had it last; at most the Topic Alias Maximum of the
    /// client (MQTT-3.1.2-26). Left out for 3.1.1.
    pub topic_alias: Option<NonZeroU16>,
    /// Properties that are forwarded unchanged; left out for 3.1.1.
    pub properties: &'a [u8],
    /// The Message Expiry Interval that remains, in seconds; left out for 3.1.1.
    pub message_expiry_s: Option<u32>,
    /// The Subscription Identifiers that matched (MQTT-3.3.4-3); left out for 3.1.1.
    pub subscription_identifiers: &'a [u32],
    /// Bytes of the payload, which follows what [`OutgoingPublish::encode_header`] writes.
    pub payload_bytes: usize,
}

impl OutgoingPublish<'_> {
    /// Bytes of the whole packet; what the client's Maximum Packet Size is compared with (MQTT-3.1.2-24).
    pub fn packet_bytes(&self, version: ProtocolVersion) -> usize {
        let remaining_length = self.remaining_length(version);
        1 + variable_byte_integer_bytes(remaining_length) + remaining_length
    }

    /// Appends everything before the payload.
    ///
    /// # Panics
    /// When the packet exceeds what a Remaining Length can say, 256 MiB: ask [`OutgoingPublish::packet_bytes`] first. When
    /// `packet_identifier` is not what `qos` demands, or nothing names the topic.
    pub fn encode_header(&self, out: &mut BytesMut, version: ProtocolVersion) {
        assert_eq!(
            self.packet_identifier.is_some(),
            self.qos != QoS::AtMostOnce,
            "QoS 1 and 2 have a Packet Identifier"
        );
        let is_named = !self.topic_name.is_empty() || (self.topic_alias.is_some() && version == ProtocolVersion::V5);
        assert!(is_named, "a Topic Name, or an alias that the client knows");
        out.put_u8(0x30 | (u8::from(self.dup) << 3) | (self.qos.bits() << 1) | u8::from(self.retain));
        encode_variable_byte_integer(out, wire_length(self.remaining_length(version)));
        out.put_u16(u16::try_from(self.topic_name.len()).expect("a Topic Name has at most 65,535 bytes"));
        out.put_slice(self.topic_name);
        if let Some(packet_identifier) = self.packet_identifier {
            out.put_u16(packet_identifier.get());
        }
        if version == ProtocolVersion::V5 {
            encode_variable_byte_integer(out, wire_length(self.properties_bytes()));
            out.put_slice(self.properties);
            if let Some(seconds) = self.message_expiry_s {
                out.put_u8(properties::MESSAGE_EXPIRY_INTERVAL);
                out.put_u32(seconds);
            }
            if let Some(alias) = self.topic_alias {
                out.put_u8(properties::TOPIC_ALIAS);
                out.put_u16(alias.get());
            }
            for identifier in self.subscription_identifiers {
                out.put_u8(properties::SUBSCRIPTION_IDENTIFIER);
                encode_variable_byte_integer(out, *identifier);
            }
        }
    }

    fn remaining_length(&self, version: ProtocolVersion) -> usize {
        let packet_identifier_bytes = if self.packet_identifier.is_some() { 2 } else { 0 };
        let properties_bytes = match version {
            ProtocolVersion::V311 => 0,
            ProtocolVersion::V5 => {
                let bytes = self.properties_bytes();
                variable_byte_integer_bytes(bytes) + bytes
            }
        };
        2 + self.topic_name.len() + packet_identifier_bytes + properties_bytes + self.payload_bytes
    }

    fn properties_bytes(&self) -> usize {
        let identifiers = self.subscription_identifiers.iter();
        let identifiers_bytes: usize = identifiers.map(|id| 1 + variable_byte_integer_bytes(*id as usize)).sum();
        let expiry_bytes = if self.message_expiry_s.is_some() { 5 } else { 0 };
        let alias_bytes = if self.topic_alias.is_some() { 3 } else { 0 };
        self.properties.len() + expiry_bytes + alias_bytes + identifiers_bytes
    }
}

fn wire_length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the caller compared the packet with the largest one")
}
