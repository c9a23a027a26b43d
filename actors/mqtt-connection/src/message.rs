//! What may arrive at an mqtt-connection actor.

use bytes::Bytes;
use contract::{Delivery, PartitionIndex, PublishToken, Refusal, SubscribeResult, SubscribeToken};

/// All that may arrive at an mqtt-connection actor: from its socket's shell, and from partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Bytes as they came from the socket, at least one, cut anywhere. When full: waits; the socket is not read.
    Received(Bytes),
    /// So many more bytes of [`crate::Effect::Write`] are in the socket's send buffer. When full: waits; credit of partitions
    /// stays withheld.
    Written {
        /// Bytes.
        bytes: usize,
    },
    /// The socket is closed, by the peer, an error, or [`crate::Effect::Close`]. The shell's last word. When full: waits.
    SocketClosed,
    /// The home partition knows this connection (answers [`crate::Effect::Attach`]). When full: waits; no CONNACK yet.
    Attached {
        /// Whether there was a session.
        session_present: bool,
    },
    /// Another connection took over the Client Identifier (MQTT-3.1.4-3). When full: waits.
    TakenOver,
    /// Publications were accepted (answers [`crate::Effect::Publish`]). When full: waits; losing it would withhold a PUBACK for ever.
    Accepted {
        /// Their token.
        token: PublishToken,
    },
    /// Publications were refused (answers [`crate::Effect::Publish`]). When full: waits, as `Accepted`.
    Refused {
        /// Their token.
        token: PublishToken,
        /// Why.
        refusal: Refusal,
    },
    /// One partition's answer to [`crate::Effect::Subscribe`]. When full: waits; no SUBACK yet.
    Subscribed {
        /// The partition.
        partition: PartitionIndex,
        /// The request.
        token: SubscribeToken,
        /// One for each subscription, in order.
        results: Vec<SubscribeResult>,
    },
    /// One partition's answer to [`crate::Effect::Unsubscribe`]. When full: waits; no UNSUBACK yet.
    Unsubscribed {
        /// The partition.
        partition: PartitionIndex,
        /// The request.
        token: SubscribeToken,
        /// One for each filter, in order.
        existed: Vec<bool>,
    },
    /// Records for the client, within the credit given to that partition. When full: cannot happen; credit was spent first.
    Deliver {
        /// The partition.
        partition: PartitionIndex,
        /// At least one.
        deliveries: Vec<Delivery>,
    },
    /// The process stops: DISCONNECT with Reason Code 0x8B (MQTT 5.0 §3.14.2.1), then close. When full: waits.
    Stop,
}
