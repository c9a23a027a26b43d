//! Why bytes are no packet, and the Reason Code that the peer gets for them.

use crate::ReasonCode;

/// The peer broke a rule of the standard: its connection ends (MQTT 5.0 §4.13.1, MQTT 3.1.1 §4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be read as the standard says. Reason 0x81.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// They can be read, and say what they must not. Reason 0x82.
    #[error("protocol error: {0}")]
    ProtocolError(&'static str),
    /// Larger than the Maximum Packet Size that was announced (MQTT-3.2.2-15). Reason 0x95.
    #[error("a packet of {packet_bytes} bytes, {packet_bytes_max} are allowed")]
    PacketTooLarge {
        /// Bytes of the packet, with its fixed header.
        packet_bytes: u32,
        /// Bytes that are allowed.
        packet_bytes_max: u32,
    },
    /// Neither 3.1.1 nor 5.0 (MQTT-3.1.2-2). Reason 0x84; return code 1 for a client of an older version.
    #[error("a protocol version other than 3.1.1 and 5.0")]
    UnsupportedProtocolVersion,
    /// A Topic Name with a wildcard (MQTT-3.3.2-2). Reason 0x90.
    #[error("a Topic Name with a wildcard")]
    TopicNameInvalid,
    /// A Topic Alias of 0 (MQTT-3.3.2-8), or above the Topic Alias Maximum that was announced. Reason 0x94.
    #[error("a Topic Alias that was not offered")]
    TopicAliasInvalid,
}

impl DecodeError {
    /// What DISCONNECT, or CONNACK, says about it (MQTT 5.0 §2.4).
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MALFORMED_PACKET,
            Self::ProtocolError(_) => ReasonCode::PROTOCOL_ERROR,
            Self::PacketTooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::UnsupportedProtocolVersion => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::TopicNameInvalid => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicAliasInvalid => ReasonCode::TOPIC_ALIAS_INVALID,
        }
    }
}
