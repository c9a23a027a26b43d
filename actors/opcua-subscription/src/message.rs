//! What may arrive at an opcua-subscription actor.

use bytes::Bytes;
use contract::{PublishToken, UtcTime};

use crate::{Response, SessionState, StatusCode};

/// What may arrive at an opcua-subscription actor.
///
/// The messages of the transport shell come in the order in which they happened, and none may be lost: when the
/// mailbox is full, the shell stops reading its socket until there is room. Acceptances come from partitions, whose
/// answers are bounded by the tokens outstanding here.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Begin. The first message, once. When full: cannot happen, the mailbox is empty then.
    Start {
        /// What an earlier life of this Session saved, if anything was found.
        saved: Option<SessionState>,
    },
    /// The SecureChannel is open (answers [`crate::Effect::Connect`]). When full: waits.
    Connected {
        /// The `ApplicationUri` of the endpoint's `ApplicationDescription`.
        server_application_uri: Box<str>,
        /// The date.
        utc: UtcTime,
    },
    /// There is no connection: Connect failed, the connection broke, or Disconnect is done. The last word about that
    /// connection; its unanswered requests stay unanswered. When full: waits.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// The date.
        utc: UtcTime,
    },
    /// A request was answered, refused, or not answered in time. When full: waits.
    Response {
        /// The handle of [`crate::Effect::Send`].
        request_handle: u32,
        /// What came; a time-out is `Bad_Timeout`. A failed Publish comes here too.
        result: Result<Response, StatusCode>,
        /// The date at which it was read from the socket.
        received_utc: UtcTime,
    },
    /// A Publish request was answered with Good. When full: waits, the socket is not read.
    PublishResponse {
        /// The handle of [`crate::Effect::Send`].
        request_handle: u32,
        /// The PublishResponse behind its `ResponseHeader` (Part 4 §5.14.5.2), decrypted.
        body: Bytes,
        /// The date at which it was read from the socket.
        received_utc: UtcTime,
    },
    /// A partition stored the publications as durably as the profile asks (answers [`crate::Effect::Publish`]). When
    /// full: waits; losing it would withhold Publish requests for ever.
    Accepted {
        /// The publications' token.
        token: PublishToken,
    },
    /// All destinations settled the publications; sent for those that asked for it, after `Accepted`. When full: waits.
    Delivered {
        /// The publications' token.
        token: PublishToken,
    },
    /// End: no new values are asked for, what was received is waited for, then the connection closes and
    /// [`crate::Effect::Stopped`] follows. When full: waits.
    Stop {
        /// Whether the Session and its Subscriptions end too. Left alive, the server gathers values for the next
        /// start, until the Session Timeout or the Subscriptions' lifetime.
        close_session: bool,
    },
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// This actor asked for it.
    Requested,
    /// The server cannot be reached, or refused the TCP connection.
    Unreachable(Box<str>),
    /// Nothing came in time while connecting.
    TimedOut,
    /// The server closed the connection, with an Error message (Part 6 §7.1.2.5) or without.
    ClosedByServer(StatusCode),
    /// No endpoint has the security policy and mode that are configured.
    NoEndpoint,
    /// The server's certificate is not trusted, or its signatures are wrong.
    NotTrusted(StatusCode),
    /// Bytes of the server that are no OPC UA, or beyond our limits.
    ProtocolError(StatusCode),
}
