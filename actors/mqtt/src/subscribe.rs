//! SUBSCRIBE (MQTT 5.0 §3.8).
//!
//! Checked here, then read by mqttbytes; mended: the flags of the fixed header (MQTT-3.8.1-1), reserved bits of the options
//! (MQTT-3.8.3-5), no filter at all (MQTT-3.8.3-2), a Packet Identifier of 0, a Subscription Identifier of 0 or given twice
//! (the one that mqttbytes counts a byte too many for can only be followed by user properties, which it then still reads whole).

use bytes::{BufMut, Bytes, BytesMut};
use contract::{QoS, RetainHandling};

use crate::properties::{CheckedProperties, PropertySet, SUBSCRIPTION_IDENTIFIER, USER_PROPERTY};
use crate::reader::Reader;
use crate::{DecodeError, Frame, PacketIdentifier, ProtocolVersion};

const PROPERTIES: PropertySet = PropertySet::of(&[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY]);

/// A client subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// What SUBACK carries.
    pub packet_identifier: PacketIdentifier,
    /// The Subscription Identifier, 1 to `268_435_455`.
    pub subscription_identifier: Option<u32>,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
}

/// One Topic Filter with its Subscription Options (MQTT 5.0 §3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// As it came: a string, not checked to be a Topic Filter, for SUBACK answers each by itself.
    pub topic_filter: String,
    /// Maximum QoS.
    pub maximum_qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

impl Subscribe {
    /// Reads a SUBSCRIBE.
    ///
    /// # Errors
    /// Malformed: flags, reserved bits, `QoS` 3, fields out of bounds. Protocol error: no filter (MQTT-3.8.3-2), Retain Handling
    /// 3, No Local of a Shared Subscription (MQTT-3.8.3-4), a Subscription Identifier of 0.
    pub fn decode(frame: &Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        if frame.flags() != 0b0010 {
            return Err(DecodeError::Malformed("flags of SUBSCRIBE (MQTT-3.8.1-1)"));
        }
        let packet_identifier = check(&frame.body, version)?;
        let mut packet = BytesMut::with_capacity(1 + frame.body.len());
        packet.put_u8(frame.first_byte);
        packet.put_slice(&frame.body);
        let header = mqttbytes::FixedHeader::new(frame.first_byte, 0, frame.body.len());
        let packet: Bytes = packet.freeze();
        let beyond = |_| DecodeError::Malformed("SUBSCRIBE that its second reading refuses");
        match version {
            ProtocolVersion::V311 => {
                let read = mqttbytes::v4::Subscribe::read(header, packet).map_err(beyond)?;
                let filters = read.filters.into_iter().map(|filter| SubscribeFilter {
                    topic_filter: filter.path,
                    maximum_qos: qos_of(filter.qos),
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: RetainHandling::Send,
                });
                Ok(Self { packet_identifier, subscription_identifier: None, filters: filters.collect() })
            }
            ProtocolVersion::V5 => {
                use mqttbytes::v5::RetainForwardRule as Rule;
                let read = mqttbytes::v5::Subscribe::read(header, packet).map_err(beyond)?;
                let subscription_identifier = read.properties.and_then(|properties| properties.id);
                let filters = read.filters.into_iter().map(|filter| SubscribeFilter {
                    topic_filter: filter.path,
                    maximum_qos: qos_of(filter.qos),
                    no_local: filter.nolocal,
                    retain_as_published: filter.preserve_retain,
                    retain_handling: match filter.retain_forward_rule {
                        Rule::OnEverySubscribe => RetainHandling::Send,
                        Rule::OnNewSubscribe => RetainHandling::SendIfNew,
                        Rule::Never => RetainHandling::DoNotSend,
                    },
                });
                Ok(Self {
                    packet_identifier,
                    subscription_identifier: subscription_identifier.and_then(|value| u32::try_from(value).ok()),
                    filters: filters.collect(),
                })
            }
        }
    }
}

fn check(body: &[u8], version: ProtocolVersion) -> Result<PacketIdentifier, DecodeError> {
    let mut reader = Reader::new(body);
    let packet_identifier = reader.packet_identifier()?;
    if version == ProtocolVersion::V5 {
        CheckedProperties::split(&mut reader, PROPERTIES)?.check()?;
    }
    if reader.is_empty() {
        return Err(DecodeError::ProtocolError("SUBSCRIBE without a Topic Filter (MQTT-3.8.3-2)"));
    }
    while !reader.is_empty() {
        let topic_filter = reader.string()?;
        let options = reader.byte()?;
        let reserved = if version == ProtocolVersion::V5 { 0b1100_0000 } else { 0b1111_1100 };
        if options & reserved != 0 {
            return Err(DecodeError::Malformed("reserved Subscription Options (MQTT-3.8.3-5)"));
        }
        if options & 0b11 == 0b11 {
            return Err(DecodeError::Malformed("Maximum QoS 3 (MQTT 5.0 §3.8.3.1)"));
        }
        if options & 0b11_0000 == 0b11_0000 {
            return Err(DecodeError::ProtocolError("Retain Handling 3 (MQTT 5.0 §3.8.3.1)"));
        }
        if options & 0b100 != 0 && topic_filter.starts_with("$share/") {
            return Err(DecodeError::ProtocolError("No Local of a Shared Subscription (MQTT-3.8.3-4)"));
        }
    }
    Ok(packet_identifier)
}

fn qos_of(qos: mqttbytes::QoS) -> QoS {
    match qos {
        mqttbytes::QoS::AtMostOnce => QoS::AtMostOnce,
        mqttbytes::QoS::AtLeastOnce => QoS::AtLeastOnce,
        mqttbytes::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}
