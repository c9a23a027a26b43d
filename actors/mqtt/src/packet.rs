//! All that a client may send after CONNECT.

use crate::ping::check_pingreq;
use crate::{Acknowledgement, Auth, DecodeError, Disconnect, Frame, ProtocolVersion, Publish, Subscribe, Unsubscribe};

/// A packet that a client sent after its CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    Puback(Acknowledgement),
    /// PUBREC.
    Pubrec(Acknowledgement),
    /// PUBREL.
    Pubrel(Acknowledgement),
    /// PUBCOMP.
    Pubcomp(Acknowledgement),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe),
    /// PINGREQ.
    Pingreq,
    /// DISCONNECT.
    Disconnect(Disconnect),
    /// AUTH, 5.0 only.
    Auth(Auth),
}

impl<'a> ClientPacket<'a> {
    /// Reads a packet of a connection that speaks `version`.
    ///
    /// # Errors
    /// What the packet's own reader says; a second CONNECT (MQTT-3.1.0-2) and packets that only a server sends are protocol
    /// errors; packet type 0, and 15 for 3.1.1, are malformed (MQTT 5.0 §2.1.2).
    pub fn decode(frame: &'a Frame, version: ProtocolVersion) -> Result<Self, DecodeError> {
        match frame.packet_type() {
            3 => Publish::decode(frame, version).map(Self::Publish),
            4 => Acknowledgement::decode(frame, version, 0).map(Self::Puback),
            5 => Acknowledgement::decode(frame, version, 0).map(Self::Pubrec),
            6 => Acknowledgement::decode(frame, version, 0b0010).map(Self::Pubrel),
            7 => Acknowledgement::decode(frame, version, 0).map(Self::Pubcomp),
            8 => Subscribe::decode(frame, version).map(Self::Subscribe),
            10 => Unsubscribe::decode(frame, version).map(Self::Unsubscribe),
            12 => check_pingreq(frame).map(|()| Self::Pingreq),
            14 => Disconnect::decode(frame, version).map(Self::Disconnect),
            15 if version == ProtocolVersion::V5 => Auth::decode(frame).map(Self::Auth),
            1 => Err(DecodeError::ProtocolError("a second CONNECT (MQTT-3.1.0-2)")),
            2 | 9 | 11 | 13 => Err(DecodeError::ProtocolError("a packet that only a server sends (MQTT 5.0 §2.1.2)")),
            _ => Err(DecodeError::Malformed("a reserved packet type (MQTT 5.0 §2.1.2)")),
        }
    }
}
