//! What an mqtt-connection actor asks of the runtime.

use std::ops::Range;

use bytes::Bytes;
use contract::{
    Credit, DeliveryNumber, DeliveryOutcome, PartitionIndex, Publication, PublishToken, SubscribeToken,
    SubscriptionRequest,
};

/// All that an mqtt-connection actor may ask of the runtime.
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
    /// To the home partition of this Client Identifier. Answered by [`crate::Message::Attached`].
    Attach {
        /// The partition, by [`contract::partition_of`] of the Client Identifier's bytes.
        partition: PartitionIndex,
        /// The Client Identifier.
        client_identifier: Box<str>,
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
        /// Names the request.
        token: SubscribeToken,
        /// In the order of the SUBSCRIBE; at least one.
        subscriptions: Vec<SubscriptionRequest>,
    },
    /// To every partition. Each answers with [`crate::Message::Unsubscribed`].
    Unsubscribe {
        /// Names the request.
        token: SubscribeToken,
        /// In the order of the UNSUBSCRIBE; at least one.
        topic_filters: Vec<Box<str>>,
    },
    /// To one partition: this much more may be under way to this connection.
    Credit {
        /// The partition.
        partition: PartitionIndex,
        /// What is added.
        credit: Credit,
    },
    /// To one partition: what became of its deliveries.
    DeliveriesSettled {
        /// The partition.
        partition: PartitionIndex,
        /// The deliveries, each exactly once, ascending.
        numbers: Vec<Range<DeliveryNumber>>,
        /// The fate that they share.
        outcome: DeliveryOutcome,
    },
    /// To every partition: this connection is gone. Pushed once, after the socket closed, where `Attach` was pushed before.
    Detach,
    /// To the operator: the connection ended for a reason that a person may want to see. Counted and logged, rate limited.
    Ended(EndReason),
    /// To the runtime, the last effect: the slot may be used again.
    Gone,
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
    /// No CONNECT within the connect timeout.
    ConnectTimeout,
    /// The peer broke the protocol: Malformed Packet or Protocol Error (MQTT 5.0 §4.13), with the Reason Code that it got.
    ProtocolError(u8),
    /// It was refused at CONNECT, with the Reason Code of CONNACK.
    ConnectRefused(u8),
    /// A 3.1.1 client's publication was refused, which that version can only say by closing: no PUBACK was written.
    PublicationRefused,
    /// Another connection took over.
    TakenOver,
    /// The socket was not read for the longest time that back-pressure may take.
    UnreadTooLong,
    /// The process stops.
    ServerStopping,
}
