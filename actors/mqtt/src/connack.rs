//! CONNACK (MQTT 5.0 §3.2, MQTT 3.1.1 §3.2).
//!
//! That of 3.1.1 is written by mqttbytes. Its 5.0 CONNACK lacks the Property Length where there are no properties, and copies
//! every text first; that one is ours.

use bytes::BytesMut;

use crate::ReasonCode;
use crate::properties;
use crate::property_writer::{OutgoingProperty, PacketWriter};

/// What a server that speaks 5.0 says about itself. What is absent takes the standard's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connack {
    /// There was a session (MQTT 5.0 §3.2.2.1.1); false with a failure (MQTT-3.2.2-6).
    pub session_present: bool,
    /// The Session Expiry Interval that is used, in seconds, where it is not what the client asked for.
    pub session_expiry_interval_s: Option<u32>,
    /// What the server takes unacknowledged; absent: 65,535.
    pub receive_maximum: Option<u16>,
    /// The highest level that the server takes; absent: 2.
    pub maximum_qos: Option<u8>,
    /// The largest packet that the server takes, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// The Client Identifier, where the client left it to the server (MQTT-3.2.2-16).
    pub assigned_client_identifier: Option<String>,
    /// Topic Aliases that the server takes; absent: none.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the server retains messages.
    pub retain_available: Option<bool>,
    /// Whether Topic Filters may have wildcards.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether Subscription Identifiers may be used.
    pub subscription_identifiers_available: Option<bool>,
    /// Whether there are Shared Subscriptions.
    pub shared_subscription_available: Option<bool>,
    /// The Keep Alive that the client must use, in seconds (MQTT-3.2.2-21).
    pub server_keep_alive_s: Option<u16>,
    /// What Response Topics may begin with, where the client asked (MQTT 5.0 §3.2.2.3.15).
    pub response_information: Option<String>,
    /// The Authentication Method of the client's CONNECT, where it had one (MQTT 5.0 §4.12).
    pub authentication_method: Option<String>,
    /// The last Authentication Data (MQTT 5.0 §3.2.2.3.18).
    pub authentication_data: Option<Box<[u8]>>,
    /// Another server for the client (MQTT 5.0 §3.2.2.3.16). Written with a failure too.
    pub server_reference: Option<String>,
    /// For a person who reads the client's log, at the caller's choice (MQTT 5.0 §3.2.2.3.9). Written with a failure too.
    pub reason_string: Option<String>,
    /// User Properties, in this order (MQTT 5.0 §3.2.2.3.10). Written with a failure too.
    pub user_properties: Vec<(String, String)>,
}

impl Connack {
    /// Bytes of the whole packet; what the client's Maximum Packet Size is compared with (MQTT-3.2.2-19, MQTT-3.2.2-20).
    pub fn packet_bytes(&self, reason_code: ReasonCode) -> usize {
        self.writer(&self.before(reason_code), reason_code).packet_bytes(0)
    }

    /// The Connect Acknowledge Flags and the Reason Code; no session with a failure (MQTT-3.2.2-6).
    fn before(&self, reason_code: ReasonCode) -> [u8; 2] {
        [u8::from(self.session_present && !reason_code.is_failure()), reason_code.0]
    }

    fn writer<'a>(
        &'a self,
        before: &'a [u8],
        reason_code: ReasonCode,
    ) -> PacketWriter<'a, impl Iterator<Item = OutgoingProperty<'a>> + Clone> {
        let accepted = if reason_code.is_failure() { None } else { Some(self.accepted()) };
        let either_way = [
            text(properties::SERVER_REFERENCE, self.server_reference.as_deref()),
            text(properties::REASON_STRING, self.reason_string.as_deref()),
        ];
        let user = self.user_properties.iter().map(|(name, value)| OutgoingProperty::UserProperty(name, value));
        let properties = accepted.into_iter().flatten().chain(either_way).flatten().chain(user);
        PacketWriter { first_byte: 0x20, before, properties }
    }

    /// What only a client that may stay learns.
    fn accepted(&self) -> [Option<OutgoingProperty<'_>>; 14] {
        use OutgoingProperty::{Binary, Byte, FourBytes, TwoBytes};
        let flag = |identifier: u8, value: Option<bool>| value.map(|value| OutgoingProperty::flag(identifier, value));
        [
            self.session_expiry_interval_s.map(|value| FourBytes(properties::SESSION_EXPIRY_INTERVAL, value)),
            self.receive_maximum.map(|value| TwoBytes(properties::RECEIVE_MAXIMUM, value)),
            self.maximum_qos.map(|value| Byte(properties::MAXIMUM_QOS, value)),
            flag(properties::RETAIN_AVAILABLE, self.retain_available),
            self.maximum_packet_size.map(|value| FourBytes(properties::MAXIMUM_PACKET_SIZE, value)),
            text(properties::ASSIGNED_CLIENT_IDENTIFIER, self.assigned_client_identifier.as_deref()),
            self.topic_alias_maximum.map(|value| TwoBytes(properties::TOPIC_ALIAS_MAXIMUM, value)),
            flag(properties::WILDCARD_SUBSCRIPTION_AVAILABLE, self.wildcard_subscription_available),
            flag(properties::SUBSCRIPTION_IDENTIFIERS_AVAILABLE, self.subscription_identifiers_available),
            flag(properties::SHARED_SUBSCRIPTION_AVAILABLE, self.shared_subscription_available),
            self.server_keep_alive_s.map(|value| TwoBytes(properties::SERVER_KEEP_ALIVE, value)),
            text(properties::RESPONSE_INFORMATION, self.response_information.as_deref()),
            text(properties::AUTHENTICATION_METHOD, self.authentication_method.as_deref()),
            self.authentication_data.as_deref().map(|data| Binary(properties::AUTHENTICATION_DATA, data)),
        ]
    }
}

fn text(identifier: u8, value: Option<&str>) -> Option<OutgoingProperty<'_>> {
    value.map(|value| OutgoingProperty::text(identifier, value))
}

/// The Connect Return Code of 3.1.1 (MQTT 3.1.1 §3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectReturnCode {
    /// 0.
    Accepted,
    /// 1.
    UnacceptableProtocolVersion,
    /// 2.
    IdentifierRejected,
    /// 3.
    ServerUnavailable,
    /// 4.
    BadUserNameOrPassword,
    /// 5.
    NotAuthorized,
}

/// Appends the CONNACK of 3.1.1.
pub fn encode_connack_v3(out: &mut BytesMut, return_code: ConnectReturnCode, session_present: bool) {
    use mqttbytes::v4::ConnectReturnCode as Code;
    let code = match return_code {
        ConnectReturnCode::Accepted => Code::Success,
        ConnectReturnCode::UnacceptableProtocolVersion => Code::RefusedProtocolVersion,
        ConnectReturnCode::IdentifierRejected => Code::BadClientId,
        ConnectReturnCode::ServerUnavailable => Code::ServiceUnavailable,
        ConnectReturnCode::BadUserNameOrPassword => Code::BadUserNamePassword,
        ConnectReturnCode::NotAuthorized => Code::NotAuthorized,
    };
    mqttbytes::v4::ConnAck::new(code, session_present).write(out).expect("a CONNACK is short");
}

/// Appends the CONNACK of 5.0: all of `connack` with Success; with a failure its Server Reference, Reason String and User
/// Properties.
///
/// # Panics
/// When a text or the data has more than 65,535 bytes.
pub fn encode_connack(out: &mut BytesMut, reason_code: ReasonCode, connack: &Connack) {
    connack.writer(&connack.before(reason_code), reason_code).write(out, 0);
}
