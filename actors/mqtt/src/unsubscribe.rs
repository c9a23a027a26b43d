//! UNSUBSCRIBE (MQTT 5.0 §3.10).
//!
//! The v5 reader of mqttbytes prints a leftover `dbg!` each time, and takes any flags and no filter at all; this one is ours.

use crate::properties::{CheckedProperties, PropertySet, USER_PROPERTY};
use crate::reader::Reader;
use crate::{DecodeError, Frame, PacketIdentifier, ProtocolVersion};

const PROPERTIES: PropertySet = PropertySet::of(&[USER_PROPERTY]);

/// A client ends Subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// What UNSUBACK carries.
    pub packet_identifier: PacketIdentifier,
    /// At least one; strings, not checked to be Topic Filters, for UNSUBACK answers each by itself.
    pub topic_filters: Vec<Box<str>>,
}

impl Unsubscribe {
    /// Reads an UNSUBSCRIBE.
    ///
    /// # Errors
    /// Malformed: flags (MQTT-3.10.1-1), fields out of bounds. Protocol error: no filter (MQTT-3.10.3-2).
    pub fn decode(frame: &Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        if frame.flags() != 0b0010 {
            return Err(DecodeError::Malformed("flags of UNSUBSCRIBE (MQTT-3.10.1-1)"));
        }
        let mut reader = Reader::new(&frame.body);
        let packet_identifier = reader.packet_identifier()?;
        if version == ProtocolVersion::V5 {
            CheckedProperties::split(&mut reader, PROPERTIES)?.check()?;
        }
        if reader.is_empty() {
            return Err(DecodeError::ProtocolError("UNSUBSCRIBE without a Topic Filter (MQTT-3.10.3-2)"));
        }
        let mut topic_filters = Vec::with_capacity(1);
        while !reader.is_empty() {
            topic_filters.push(reader.string()?.into());
        }
        Ok(Self { packet_identifier, topic_filters })
    }
}
