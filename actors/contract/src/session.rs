//! A session over partitions (MQTT 5.0 §4.1): its name, how a client asks for it, and what outlives its connection.

use crate::{Credit, Delivery, DeliveryNumber, PartitionIndex, Publication};

/// Names a session over all partitions. A home gives no number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// The partition that [`crate::partition_of`] names for the Client Identifier's bytes.
    pub home: PartitionIndex,
    /// Its number there.
    pub number: u64,
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.home, self.number)
    }
}

/// What CONNECT asks of the home partition (MQTT 5.0 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// The Client Identifier.
    pub client_identifier: Box<str>,
    /// Clean Start (§3.1.2.4): a session that exists is ended first. A 3.1.1 Clean Session is this with an expiry of 0.
    pub clean_start: bool,
    /// The Session Expiry Interval that holds (§3.1.2.11.2), in seconds, after the server's cap. 0: ends with its connection;
    /// [`SESSION_EXPIRY_NEVER`]: never.
    pub session_expiry_s: u32,
    /// The Will (§3.1.2.5). The home keeps it, so that it is published whatever becomes of the connection.
    pub will: Option<Box<SessionWill>>,
}

/// A Session Expiry Interval that never passes (MQTT 5.0 §3.1.2.11.2).
pub const SESSION_EXPIRY_NEVER: u32 = u32::MAX;

/// A Will Message that waits for its connection's end (MQTT 5.0 §3.1.3.2, §3.1.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionWill {
    /// The message. Its dates of receipt are CONNECT's; the home stamps it anew when it publishes it
    /// ([`Publication::received_again`]).
    pub publication: Publication,
    /// Will Delay Interval, in seconds (§3.1.3.2.2).
    pub delay_s: u32,
}

/// What becomes of the Will when a session is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillFate {
    /// The client said DISCONNECT with 0x00: it is deleted unpublished (MQTT-3.1.2-10).
    Delete,
    /// Published once its Will Delay Interval has passed or the session ends, whichever is first (MQTT-3.1.2-8), unless a new
    /// connection continues the session before (MQTT-3.1.3-9).
    Publish,
}

/// What a connection of a session leaves for the next one. It moves from connection to home and from there to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// By partition: the credit that it has and has not spent. Empty where the client never subscribed.
    pub credits: Box<[Credit]>,
    /// QoS 1 and 2 deliveries that were sent and not acknowledged whole, in the order of sending. Their number is bounded by the
    /// client's Receive Maximum.
    pub in_flight: Vec<ParkedDelivery>,
    /// Deliveries that came from partitions and were not sent, in the order of arrival; bounded by the credit.
    pub waiting: Vec<(PartitionIndex, Delivery)>,
    /// The Packet Identifier that was given last; 0: none yet.
    pub last_packet_identifier: u16,
    /// Packet Identifiers of QoS 2 publications of the client that were accepted and not released by PUBREL yet, in the order of
    /// receipt (MQTT 5.0 §4.3.3).
    pub received: Vec<u16>,
    /// The client's Topic Filters with their subscription requests, for authorization at the next connection. Bounded by
    /// subscriptions per client.
    pub topic_filters: Vec<Box<str>>,
}

/// A delivery whose exchange with the client is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedDelivery {
    /// The Packet Identifier, 1 to 65,535; kept over reconnects (MQTT-4.4.0-1).
    pub packet_identifier: u16,
    /// The partition that it came from.
    pub partition: PartitionIndex,
    /// How far the exchange is.
    pub stage: DeliveryStage,
}

/// How far the exchange of a sent delivery is (MQTT 5.0 §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryStage {
    /// PUBLISH was sent; PUBACK or PUBREC is awaited. Sent again with DUP 1 at the next connection (MQTT-3.3.1-1).
    Published(Box<Delivery>),
    /// QoS 2: PUBREC came, so the delivery is settled; PUBREL is sent again at the next connection, PUBCOMP is awaited.
    Released(DeliveryNumber),
}
