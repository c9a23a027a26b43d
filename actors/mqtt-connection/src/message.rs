//! What may arrive at an mqtt-connection actor.

use std::sync::Arc;

use access::{AccessRules, Principal};
use bytes::Bytes;
use contract::{
    Delivery, PartitionIndex, PublishToken, Refusal, SessionId, SessionState, SubscribeResult, SubscribeToken,
};
use mqtt::ReasonCode;

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
    /// Who the client is, or the Reason Code with which it is refused (answers [`crate::Effect::Authenticate`]; MQTT 5.0 §3.2.2.2:
    /// 0x86, 0x87, 0x88, 0x8C and the like). When full: waits; no CONNACK yet.
    Authenticated {
        /// The client.
        result: Result<Arc<Principal>, ReasonCode>,
        /// Last Authentication Data for the client, where it chose a method (MQTT 5.0 §4.12); empty: none.
        data: Bytes,
    },
    /// The method wants another exchange with the client (answers [`crate::Effect::Authenticate`]; MQTT-4.12.0-2). When full: waits.
    AuthenticationContinues {
        /// Authentication Data of the AUTH packet.
        data: Bytes,
    },
    /// The home partition gave the session (answers [`crate::Effect::Attach`]). When full: waits; no CONNACK yet.
    Attached {
        /// Its name.
        session: SessionId,
        /// What it left at its last connection; `None`: it is new.
        state: Option<Box<SessionState>>,
    },
    /// The home partition has no room for another session (answers [`crate::Effect::Attach`]). When full: waits.
    AttachRefused {
        /// Why.
        refusal: Refusal,
    },
    /// Another connection took over the Client Identifier (MQTT-3.1.4-3). Before `Attached` it answers [`crate::Effect::Attach`].
    /// When full: waits.
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
    /// One partition's answer to [`crate::Effect::Suspend`]: nothing more comes from it. When full: waits; the session is not parked.
    Suspended {
        /// The partition.
        partition: PartitionIndex,
    },
    /// Records for the client, within the credit given to that partition. When full: cannot happen; credit was spent first.
    Deliver {
        /// The partition.
        partition: PartitionIndex,
        /// At least one.
        deliveries: Vec<Delivery>,
    },
    /// The access rules changed: what the client uses is checked again. When full: waits.
    AccessChanged(Arc<AccessRules>),
    /// The process stops: DISCONNECT with Reason Code 0x8B (MQTT 5.0 §3.14.2.1), then close. When full: waits.
    Stop,
}
