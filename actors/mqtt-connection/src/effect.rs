//! What an mqtt-connection actor asks of the runtime.

use std::ops::Range;

use access::Credentials;
use bytes::Bytes;
use contract::{
    AttachRequest, Credit, DeliveryNumber, DeliveryOutcome, PartitionIndex, Publication, PublishToken, SessionId,
    SessionState, SubscribeToken, SubscriptionName, SubscriptionRequest, WillFate,
};

/// All that an mqtt-connection actor may ask of the runtime.
///
/// A session is named by its [`SessionId`]; where a partition wants the connection's address as well, who routes the effect
/// adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the socket: write these bytes after those before. The shell gathers all writes of a turn into one system call, and
    /// answers with [`crate::Message::Written`].
    Write(Bytes),
    /// To the socket: read no more until `ResumeReading`; TCP then holds the peer back.
    PauseReading,
    /// To the socket: read on.
    ResumeReading,
    /// To the socket: write what was given, then close. Answered by [`crate::Message::SocketClosed`].
    Close,
    /// To who knows the clients: who is this? Pushed only where [`crate::Authentication::Required`] holds, one at a time. Answered
    /// by [`crate::Message::Authenticated`] or [`crate::Message::AuthenticationContinues`]; an answer that comes after the end
    /// is ignored.
    Authenticate {
        /// Which step of the exchange it is.
        step: AuthenticationStep,
        /// What the client says about itself; the shell adds what the transport knows.
        credentials: Box<Credentials>,
    },
    /// To the home partition of this Client Identifier. Answered by [`crate::Message::Attached`], [`crate::Message::AttachRefused`]
    /// or [`crate::Message::TakenOver`], by exactly one of them, and the connection does not go before.
    Attach {
        /// The partition, by [`contract::partition_of`] of the Client Identifier's bytes.
        partition: PartitionIndex,
        /// What is asked for.
        request: Box<AttachRequest>,
    },
    /// To every partition: deliveries of this session go to this connection from here on. Pushed once, where `Attached` brought
    /// credits of before.
    Resume {
        /// The session.
        session: SessionId,
    },
    /// To the partition that owns the topics. Answered by [`crate::Message::Accepted`] or [`crate::Message::Refused`].
    Publish {
        /// The partition, by [`contract::partition_of`] of each Topic Name.
        partition: PartitionIndex,
        /// Names them until the answer.
        token: PublishToken,
        /// The publications, in order; at least one.
        publications: Vec<Publication>,
    },
    /// To every partition. Each answers with [`crate::Message::Subscribed`].
    Subscribe {
        /// The session that the Subscriptions are of.
        session: SessionId,
        /// Names the request.
        token: SubscribeToken,
        /// In the order of the SUBSCRIBE; at least one.
        subscriptions: Vec<SubscriptionRequest>,
    },
    /// To every partition. Each answers with [`crate::Message::Unsubscribed`].
    Unsubscribe {
        /// The session that the Subscriptions are of.
        session: SessionId,
        /// Names the request.
        token: SubscribeToken,
        /// In the order of the UNSUBSCRIBE; at least one.
        topic_filters: Vec<SubscriptionName>,
    },
    /// To one partition: this much more may be under way to this connection.
    SubscriberCredit {
        /// The partition.
        partition: PartitionIndex,
        /// The session.
        session: SessionId,
        /// What is added.
        credit: Credit,
    },
    /// To one partition: what became of its deliveries.
    DeliveriesSettled {
        /// The partition.
        partition: PartitionIndex,
        /// The session.
        session: SessionId,
        /// The deliveries, each exactly once, ascending.
        numbers: Vec<Range<DeliveryNumber>>,
        /// The fate that they share.
        outcome: DeliveryOutcome,
    },
    /// To every partition: the connection ends and its session does not. Each answers with [`crate::Message::Suspended`], after the
    /// last answer and the last delivery to this connection. Pushed when the end is decided, and only by a client that subscribed
    /// or has `QoS` 2 publications that no partition has answered; then `Park` follows once all have answered.
    Suspend {
        /// The session.
        session: SessionId,
    },
    /// To the home partition: the session is at rest, keep what it left. The last effect about it.
    Park {
        /// The home partition.
        partition: PartitionIndex,
        /// The session.
        session: SessionId,
        /// What it left.
        state: Box<SessionState>,
        /// How long to keep it, in seconds; DISCONNECT may have changed it (MQTT 5.0 §3.14.2.2.2).
        session_expiry_s: u32,
        /// What becomes of the Will.
        will: WillFate,
    },
    /// To every partition: the session ends with this connection. The last effect about it; pushed when the end is decided.
    Detach {
        /// The session.
        session: SessionId,
        /// What becomes of the Will.
        will: WillFate,
    },
    /// To the operator: the connection ended for a reason that a person may want to see. Counted and logged, rate limited.
    Ended(EndReason),
    /// To the runtime, the last effect: the slot may be used again.
    Gone,
}

/// When authentication happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationStep {
    /// CONNECT: the first word.
    Connect,
    /// AUTH 0x18: what the client answers to [`crate::Message::AuthenticationContinues`] (MQTT-4.12.0-3).
    Continue,
    /// AUTH 0x19: the first word of an authentication over the standing connection (MQTT 5.0 §4.12.1).
    Reauthenticate,
}

/// Why a connection ended, for counters and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// DISCONNECT came (MQTT 5.0 §3.14).
    ClientDisconnected,
    /// The peer closed the socket without DISCONNECT.
    SocketClosed,
    /// Nothing came for one and a half Keep Alive (MQTT-3.1.2-22).
    KeepAliveTimeout,
    /// No CONNECT within the connect timeout, or its authentication took longer.
    ConnectTimeout,
    /// The peer broke the protocol: Malformed Packet or Protocol Error (MQTT 5.0 §4.13), with the Reason Code that it got.
    ProtocolError(u8),
    /// It was refused at CONNECT, with the Reason Code of CONNACK.
    ConnectRefused(u8),
    /// Authentication over the standing connection failed, with the Reason Code of DISCONNECT (MQTT 5.0 §4.12.1).
    ReauthenticationFailed(u8),
    /// A 3.1.1 client's publication was refused, which that version can only say by closing: no PUBACK was written.
    PublicationRefused,
    /// The access rules changed and took a right that it uses.
    AccessLost,
    /// Another connection took over.
    TakenOver,
    /// The socket was not read for the longest time that back-pressure may take.
    UnreadTooLong,
    /// The process stops.
    ServerStopping,
}
