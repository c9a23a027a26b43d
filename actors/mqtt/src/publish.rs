//! PUBLISH (MQTT 5.0 §3.3), both ways, in place.
//!
//! mqttbytes makes a String of each Topic Name and values of all properties; here all parts are slices of the frame, and the
//! properties go on as the bytes that came.

use std::borrow::Cow;
use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};
use contract::QoS;

use crate::properties::{self, CheckedProperties, PropertySet, Value};
use crate::reader::{Reader, check_string};
use crate::{DecodeError, Frame, ProtocolVersion, TopicName, VARIABLE_BYTE_INTEGER_MAX, variable_byte_integer_bytes};

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
    /// Whether `frame` is a PUBLISH to `topic_name`. It may be malformed all the same.
    #[inline]
    pub fn is_to(frame: &Frame, topic_name: TopicName<'_>) -> bool {
        frame.packet_type() == 3 && Reader::new(&frame.body).binary() == Ok(topic_name.as_str().as_bytes())
    }

    /// Reads a PUBLISH. About 50 ns without properties.
    ///
    /// # Errors
    /// Malformed: `QoS` 3 (MQTT-3.3.1-4), DUP with `QoS` 0 (MQTT-3.3.1-2), fields out of bounds. Protocol error: neither Topic
    /// Name nor Topic Alias, a Subscription Identifier (MQTT-3.3.4-6), a property twice. A wildcard: Topic Name invalid.
    pub fn decode(frame: &'a Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        Self::decode_known(frame, version, None)
    }

    /// Reads a PUBLISH as [`Publish::decode`] does, and does not check its Topic Name if it is `known`.
    ///
    /// # Errors
    /// As [`Publish::decode`].
    #[inline]
    pub fn decode_known(
        frame: &'a Frame,
        version: ProtocolVersion,
        known: Option<TopicName<'a>>,
    ) -> Result<Self, DecodeError> {
        let flags = frame.flags();
        let qos = QoS::from_bits((flags >> 1) & 0b11).ok_or(DecodeError::Malformed("QoS 3 (MQTT-3.3.1-4)"))?;
        let dup = flags & 0b1000 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::Malformed("DUP with QoS 0 (MQTT-3.3.1-2)"));
        }
        let mut reader = Reader::new(&frame.body);
        let topic_bytes = reader.binary()?;
        let known = known.filter(|known| known.as_str().as_bytes() == topic_bytes);
        let topic_text = if known.is_some() { "" } else { check_string(topic_bytes)? };
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_identifier()?),
        };
        let carried = match version {
            ProtocolVersion::V311 => Carried::default(),
            ProtocolVersion::V5 => Carried::split(&mut reader)?,
        };
        let topic_name = match known {
            Some(_) => known,
            None => topic_name_of(topic_text, carried.topic_alias, version)?,
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

/// The Topic Name that `text` is; `None` where a Topic Alias stands for it.
fn topic_name_of(
    text: &str,
    topic_alias: Option<u16>,
    version: ProtocolVersion,
) -> Result<Option<TopicName<'_>>, DecodeError> {
    match text {
        "" if topic_alias.is_some() => Ok(None),
        "" if version == ProtocolVersion::V5 => {
            Err(DecodeError::ProtocolError("neither Topic Name nor Topic Alias (MQTT 5.0 §3.3.2.1)"))
        }
        text => TopicName::parse(text).map(Some).ok_or(DecodeError::TopicNameInvalid),
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
    #[inline]
    fn split(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if let [0, ..] = reader.rest() {
            reader.take(1)?;
            return Ok(Self::default());
        }
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
    #[inline]
    pub fn packet_bytes(&self, version: ProtocolVersion) -> usize {
        self.lengths(version).packet_bytes()
    }

    /// Appends everything before the payload.
    ///
    /// # Panics
    /// When the packet exceeds what a Remaining Length can say, 256 MiB: ask [`OutgoingPublish::packet_bytes`] first. When
    /// `packet_identifier` is not what `qos` demands, or nothing names the topic.
    pub fn encode_header(&self, out: &mut BytesMut, version: ProtocolVersion) {
        self.encode_header_of(self.lengths(version), out, version);
    }

    /// Appends what [`OutgoingPublish::encode_header`] does, with lengths that [`OutgoingPublish::lengths`] gave for the same packet and
    /// version.
    ///
    /// # Panics
    /// As [`OutgoingPublish::encode_header`].
    #[inline]
    pub fn encode_header_of(&self, lengths: PublishLengths, out: &mut BytesMut, version: ProtocolVersion) {
        assert_eq!(
            self.packet_identifier.is_some(),
            self.qos != QoS::AtMostOnce,
            "QoS 1 and 2 have a Packet Identifier"
        );
        let is_named = !self.topic_name.is_empty() || (self.topic_alias.is_some() && version == ProtocolVersion::V5);
        assert!(is_named, "a Topic Name, or an alias that the client knows");
        let PublishLengths { remaining_length, properties_bytes } = lengths;
        let mut fields = Fields::default();
        fields.put([0x30 | (u8::from(self.dup) << 3) | (self.qos.bits() << 1) | u8::from(self.retain)]);
        fields.put_variable_byte_integer(wire_length(remaining_length));
        let topic_name_bytes = u16::try_from(self.topic_name.len()).expect("a Topic Name has at most 65,535 bytes");
        fields.put(topic_name_bytes.to_be_bytes());
        out.put_slice(fields.take());
        out.put_slice(self.topic_name);
        let mut fields = Fields::default();
        if let Some(packet_identifier) = self.packet_identifier {
            fields.put(packet_identifier.get().to_be_bytes());
        }
        if version == ProtocolVersion::V5 {
            fields.put_variable_byte_integer(wire_length(properties_bytes));
            if properties_bytes > 0 {
                self.encode_properties(&mut fields, out);
            }
        }
        out.put_slice(fields.take());
    }

    /// Writes the properties, and what stands in `fields` before them.
    fn encode_properties(&self, fields: &mut Fields, out: &mut BytesMut) {
        if !self.properties.is_empty() {
            out.put_slice(fields.take());
            out.put_slice(self.properties);
        }
        if let Some(seconds) = self.message_expiry_s {
            fields.put([properties::MESSAGE_EXPIRY_INTERVAL]);
            fields.put(seconds.to_be_bytes());
        }
        if let Some(alias) = self.topic_alias {
            fields.put([properties::TOPIC_ALIAS]);
            fields.put(alias.get().to_be_bytes());
        }
        for identifier in self.subscription_identifiers {
            out.put_slice(fields.take());
            fields.put([properties::SUBSCRIPTION_IDENTIFIER]);
            fields.put_variable_byte_integer(*identifier);
        }
    }

    /// The lengths that stand in the packet.
    #[inline]
    pub fn lengths(&self, version: ProtocolVersion) -> PublishLengths {
        let packet_identifier_bytes = if self.packet_identifier.is_some() { 2 } else { 0 };
        let before_properties_bytes = 2 + self.topic_name.len() + packet_identifier_bytes + self.payload_bytes;
        match version {
            ProtocolVersion::V311 => PublishLengths { remaining_length: before_properties_bytes, properties_bytes: 0 },
            ProtocolVersion::V5 => {
                let bytes = self.properties_bytes();
                let remaining_length = before_properties_bytes + variable_byte_integer_bytes(bytes) + bytes;
                PublishLengths { remaining_length, properties_bytes: bytes }
            }
        }
    }

    #[inline]
    fn properties_bytes(&self) -> usize {
        let identifiers = self.subscription_identifiers.iter();
        let identifiers_bytes: usize = identifiers.map(|id| 1 + variable_byte_integer_bytes(*id as usize)).sum();
        let expiry_bytes = if self.message_expiry_s.is_some() { 5 } else { 0 };
        let alias_bytes = if self.topic_alias.is_some() { 3 } else { 0 };
        self.properties.len() + expiry_bytes + alias_bytes + identifiers_bytes
    }
}

/// The lengths of an [`OutgoingPublish`], in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLengths {
    /// All behind the fixed header.
    remaining_length: usize,
    /// The properties, without their length.
    properties_bytes: usize,
}

impl PublishLengths {
    /// The whole packet.
    #[inline]
    pub const fn packet_bytes(self) -> usize {
        1 + variable_byte_integer_bytes(self.remaining_length) + self.remaining_length
    }
}

/// Short fields that are appended together: an append costs more than the field.
#[derive(Default)]
struct Fields {
    /// Room for a Packet Identifier, a Property Length, an expiry and an alias: 14 bytes.
    bytes: [u8; 16],
    count: usize,
}

impl Fields {
    #[inline]
    fn put<const COUNT: usize>(&mut self, field: [u8; COUNT]) {
        self.bytes[self.count..self.count + COUNT].copy_from_slice(&field);
        self.count += COUNT;
    }

    #[inline]
    fn put_variable_byte_integer(&mut self, value: u32) {
        assert!(value <= VARIABLE_BYTE_INTEGER_MAX, "a Variable Byte Integer has 28 bits");
        let mut rest = value;
        while rest > 0x7f {
            self.put([(rest & 0x7f) as u8 | 0x80]);
            rest >>= 7;
        }
        self.put([(rest & 0x7f) as u8]);
    }

    /// What was put since the last call.
    #[inline]
    fn take(&mut self) -> &[u8] {
        &self.bytes[..std::mem::take(&mut self.count)]
    }
}

#[inline]
fn wire_length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the caller compared the packet with the largest one")
}
