//! CONNACK (MQTT 5.0 §3.2, MQTT 3.1.1 §3.2).
//!
//! Written by mqttbytes; mended: its 5.0 CONNACK without properties lacks the Property Length, so there always are some.

use bytes::{BufMut, BytesMut};

use crate::ReasonCode;

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

/// Appends the CONNACK of 5.0: the properties of `connack` with Success, none with a failure.
pub fn encode_connack(out: &mut BytesMut, reason_code: ReasonCode, connack: &Connack) {
    if reason_code.is_failure() {
        out.put_slice(&[0x20, 0x03, 0x00, reason_code.0, 0x00]);
        return;
    }
    let mut packet = mqttbytes::v5::ConnAck::new(mqttbytes::v5::ConnectReturnCode::Success, connack.session_present);
    let mut properties = mqttbytes::v5::ConnAckProperties::new();
    properties.session_expiry_interval = connack.session_expiry_interval_s;
    properties.receive_max = connack.receive_maximum;
    properties.max_qos = connack.maximum_qos;
    properties.max_packet_size = connack.maximum_packet_size;
    properties.assigned_client_identifier.clone_from(&connack.assigned_client_identifier);
    properties.topic_alias_max = connack.topic_alias_maximum;
    properties.retain_available = connack.retain_available.map(u8::from);
    properties.wildcard_subscription_available = connack.wildcard_subscription_available.map(u8::from);
    properties.subscription_identifiers_available = connack.subscription_identifiers_available.map(u8::from);
    properties.shared_subscription_available = connack.shared_subscription_available.map(u8::from);
    properties.server_keep_alive = connack.server_keep_alive_s;
    packet.properties = Some(properties);
    packet.write(out).expect("a CONNACK is short");
}
