//! Reason Codes by the names of the standard (MQTT 5.0 §2.4).

/// A Reason Code. Those from 0x80 on are failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    /// Success, Normal disconnection, Granted QoS 0.
    pub const SUCCESS: Self = Self(0x00);
    /// Disconnect with Will Message.
    pub const DISCONNECT_WITH_WILL_MESSAGE: Self = Self(0x04);
    /// No matching subscribers.
    pub const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    /// No subscription existed.
    pub const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    /// Continue authentication.
    pub const CONTINUE_AUTHENTICATION: Self = Self(0x18);
    /// Re-authenticate.
    pub const RE_AUTHENTICATE: Self = Self(0x19);
    /// Unspecified error.
    pub const UNSPECIFIED_ERROR: Self = Self(0x80);
    /// Malformed Packet.
    pub const MALFORMED_PACKET: Self = Self(0x81);
    /// Protocol Error.
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    /// Implementation specific error.
    pub const IMPLEMENTATION_SPECIFIC_ERROR: Self = Self(0x83);
    /// Unsupported Protocol Version.
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(0x84);
    /// Client Identifier not valid.
    pub const CLIENT_IDENTIFIER_NOT_VALID: Self = Self(0x85);
    /// Bad User Name or Password.
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    /// Not authorized.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// Server unavailable.
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    /// Server busy.
    pub const SERVER_BUSY: Self = Self(0x89);
    /// Banned.
    pub const BANNED: Self = Self(0x8A);
    /// Server shutting down.
    pub const SERVER_SHUTTING_DOWN: Self = Self(0x8B);
    /// Bad authentication method.
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8C);
    /// Keep Alive timeout.
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8D);
    /// Session taken over.
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
    /// Topic Filter invalid.
    pub const TOPIC_FILTER_INVALID: Self = Self(0x8F);
    /// Topic Name invalid.
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    /// Packet Identifier in use.
    pub const PACKET_IDENTIFIER_IN_USE: Self = Self(0x91);
    /// Packet Identifier not found.
    pub const PACKET_IDENTIFIER_NOT_FOUND: Self = Self(0x92);
    /// Receive Maximum exceeded.
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    /// Topic Alias invalid.
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    /// Packet too large.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// Message rate too high.
    pub const MESSAGE_RATE_TOO_HIGH: Self = Self(0x96);
    /// Quota exceeded.
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    /// Administrative action.
    pub const ADMINISTRATIVE_ACTION: Self = Self(0x98);
    /// Payload format invalid.
    pub const PAYLOAD_FORMAT_INVALID: Self = Self(0x99);
    /// Retain not supported.
    pub const RETAIN_NOT_SUPPORTED: Self = Self(0x9A);
    /// QoS not supported.
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9B);
    /// Use another server.
    pub const USE_ANOTHER_SERVER: Self = Self(0x9C);
    /// Server moved.
    pub const SERVER_MOVED: Self = Self(0x9D);
    /// Shared Subscriptions not supported.
    pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0x9E);
    /// Connection rate exceeded.
    pub const CONNECTION_RATE_EXCEEDED: Self = Self(0x9F);
    /// Maximum connect time.
    pub const MAXIMUM_CONNECT_TIME: Self = Self(0xA0);
    /// Subscription Identifiers not supported.
    pub const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: Self = Self(0xA1);
    /// Wildcard Subscriptions not supported.
    pub const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0xA2);

    /// Whether it says that something failed (MQTT 5.0 §2.4).
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }
}
