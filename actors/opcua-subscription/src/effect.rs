//! What an opcua-subscription actor may ask of the runtime.

use std::time::Duration;

use contract::{PartitionIndex, Publication, PublishToken};

use crate::{AcknowledgeAt, NodeId, Report, Request, SessionState};

/// What an opcua-subscription actor may ask of the runtime.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a connection and a SecureChannel: choose the endpoint by the configured security policy and mode, HEL/ACK,
    /// OpenSecureChannel. The shell renews the channel's token by itself before its lifetime ends. Answered by exactly
    /// one [`crate::Message::Connected`] or [`crate::Message::Disconnected`].
    Connect,
    /// Write what is queued, close the SecureChannel and the connection. Answered by exactly one
    /// [`crate::Message::Disconnected`], whether or not the connection broke at the same time.
    Disconnect,
    /// Send a request over the SecureChannel. Answered once, unless the connection ends first.
    Send {
        /// Names the request until it is answered; never 0, unique among those outstanding. The `RequestHeader`'s
        /// `requestHandle` may be the same number.
        request_handle: u32,
        /// The `RequestHeader`'s `authenticationToken`; `None` for CreateSession, whose header carries the null NodeId.
        authentication_token: Option<NodeId>,
        /// The service.
        request: Request,
        /// After which the shell answers `Bad_Timeout` by itself; the `RequestHeader`'s `timeoutHint`. `None`: never, and
        /// a hint of 0; so for Publish, whose silence is watched over here.
        timeout: Option<Duration>,
    },
    /// Hand publications to the partition that owns their topics. Answered by [`crate::Message::Accepted`], and then by
    /// [`crate::Message::Delivered`] where that is asked for.
    Publish {
        /// The partition, by [`contract::partition_of`] of each Topic Name.
        partition: PartitionIndex,
        /// Names them until they are accepted (or delivered).
        token: PublishToken,
        /// The publications, in order.
        publications: Vec<Publication>,
        /// What the OPC UA acknowledgement waits for.
        acknowledge: AcknowledgeAt,
    },
    /// Keep this beyond the process's life; it replaces what was kept before. Small, and rare: when the Session or its
    /// Subscriptions change, not with their notifications. Not answered.
    SaveState(SessionState),
    /// Tell people: log and telemetry. Not answered.
    Report(Report),
    /// The last effect, after [`crate::Message::Stop`].
    Stopped,
}
