//! The services that a Session asks of its server, decoded: only the fields that are used (Part 4 §5).
//!
//! The transport shell turns a [`Request`] into its binary form, with a `RequestHeader` of its own, and a response into
//! a [`Response`]; a `ServiceFault`, or a `ResponseHeader` whose `serviceResult` is Bad, becomes its
//! [`StatusCode`](crate::StatusCode). The response of Publish (and of Republish) is not decoded by the shell: its body
//! comes as the bytes behind the `ResponseHeader`.

use std::time::Duration;

use bytes::Bytes;
use contract::UtcTime;

use crate::{NodeId, StatusCode};

/// Asks for one service of Part 4 §5. Every variant but [`Request::CreateSession`] carries the authentication token of
/// [`crate::Effect::Send`] in its `RequestHeader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// CreateSession (§5.7.2). The shell adds what it knows: the client description, server and endpoint URL, the
    /// client's certificate and a fresh nonce. It checks the server's signature over certificate and nonce, and answers
    /// `Err(Bad_ApplicationSignatureInvalid)` where it is wrong.
    CreateSession {
        /// A name for the server's diagnostics.
        session_name: Box<str>,
        /// How long the server keeps the Session without hearing from it.
        requested_session_timeout: Duration,
    },
    /// ActivateSession (§5.7.3). The shell signs certificate and `server_nonce` with the client's key, and builds the
    /// user identity token of its configuration: anonymous, or user name with the password encrypted over `server_nonce`.
    ActivateSession {
        /// The nonce of the Session's last CreateSession or ActivateSession response.
        server_nonce: Bytes,
    },
    /// `CloseSession` (§5.7.4).
    CloseSession {
        /// Whether its Subscriptions end with it.
        delete_subscriptions: bool,
    },
    /// Read (§5.11.2) of the Value attribute of each node, server timestamps only, `maxAge` 0.
    Read {
        /// The nodes, at most [`Request::READ_NODES_MAX`].
        nodes: Vec<NodeId>,
    },
    /// CreateSubscription (§5.14.2), with publishing enabled.
    CreateSubscription(SubscriptionParameters),
    /// CreateMonitoredItems (§5.13.2): Value attribute, `Reporting`, no filter, `TimestampsToReturn` Source.
    CreateMonitoredItems {
        /// The Subscription.
        subscription_id: u32,
        /// The items, within the server's `MaxMonitoredItemsPerCall`.
        items: Vec<MonitoredItemRequest>,
    },
    /// `DeleteSubscriptions` (§5.14.8).
    DeleteSubscriptions {
        /// The Subscriptions.
        subscription_ids: Vec<u32>,
    },
    /// Publish (§5.14.5). Answered by [`crate::Message::PublishResponse`].
    Publish {
        /// NotificationMessages that the server may forget.
        acknowledgements: Vec<Acknowledgement>,
    },
    /// Republish (§5.14.6). Answered by [`Response::Republish`].
    Republish {
        /// The Subscription.
        subscription_id: u32,
        /// The NotificationMessage to send again.
        sequence_number: u32,
    },
    /// TransferSubscriptions (§5.14.7).
    TransferSubscriptions {
        /// Subscriptions of another Session of ours.
        subscription_ids: Vec<u32>,
        /// Whether the server sends the current values first; never asked for by this actor.
        send_initial_values: bool,
    },
}

impl Request {
    /// Nodes that one Read names at most; within every server's limit.
    pub const READ_NODES_MAX: usize = 8;

    /// The service's name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateSession { .. } => "CreateSession",
            Self::ActivateSession { .. } => "ActivateSession",
            Self::CloseSession { .. } => "CloseSession",
            Self::Read { .. } => "Read",
            Self::CreateSubscription(_) => "CreateSubscription",
            Self::CreateMonitoredItems { .. } => "CreateMonitoredItems",
            Self::DeleteSubscriptions { .. } => "DeleteSubscriptions",
            Self::Publish { .. } => "Publish",
            Self::Republish { .. } => "Republish",
            Self::TransferSubscriptions { .. } => "TransferSubscriptions",
        }
    }
}

/// What a Subscription is asked to be (§5.14.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionParameters {
    /// How often the server looks for notifications to send. Milliseconds on the wire, as a Double.
    pub requested_publishing_interval: Duration,
    /// Publishing intervals without a Publish request after which the server deletes the Subscription.
    pub requested_lifetime_count: u32,
    /// Publishing intervals without a notification after which the server sends a keep-alive.
    pub requested_max_keep_alive_count: u32,
    /// Notifications in one message at most; 0 is no limit.
    pub max_notifications_per_publish: u32,
    /// Against other Subscriptions of the Session; 0 is the lowest.
    pub priority: u8,
}

/// One item to monitor (§5.13.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoredItemRequest {
    /// The node whose Value is monitored.
    pub node_id: NodeId,
    /// The number that its notifications carry: a dense slot.
    pub client_handle: u32,
    /// How often the server samples. Zero: as fast as it can, or event driven. Milliseconds on the wire, as a Double.
    pub sampling_interval: Duration,
    /// Values that the server holds for it.
    pub queue_size: u32,
    /// Which value is given up when the queue is full; always the oldest here.
    pub discard_oldest: bool,
}

/// Names a NotificationMessage that the server may forget (§5.14.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledgement {
    /// The Subscription.
    pub subscription_id: u32,
    /// The message.
    pub sequence_number: u32,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To CreateSession.
    CreateSession {
        /// The Session's id, for the server's diagnostics.
        session_id: NodeId,
        /// The secret that every later request carries.
        authentication_token: NodeId,
        /// What the server made of the timeout.
        revised_session_timeout: Duration,
        /// What the ActivateSession request has to sign.
        server_nonce: Bytes,
    },
    /// To ActivateSession.
    ActivateSession {
        /// What the next ActivateSession request has to sign.
        server_nonce: Bytes,
    },
    /// To `CloseSession`.
    CloseSession,
    /// To Read: one value for each node, in order.
    Read {
        /// The values.
        values: Vec<ReadValue>,
    },
    /// To CreateSubscription.
    CreateSubscription {
        /// The Subscription's id.
        subscription_id: u32,
        /// What the server made of the interval.
        revised_publishing_interval: Duration,
        /// What it made of the lifetime.
        revised_lifetime_count: u32,
        /// What it made of the keep-alive.
        revised_max_keep_alive_count: u32,
    },
    /// To CreateMonitoredItems: one result for each item, in order.
    CreateMonitoredItems {
        /// The results.
        results: Vec<MonitoredItemResult>,
    },
    /// To `DeleteSubscriptions`: one result for each id, in order.
    DeleteSubscriptions {
        /// The results.
        results: Vec<StatusCode>,
    },
    /// To Republish.
    Republish {
        /// The NotificationMessage in its binary form (Part 4 §7.26): the bytes behind the `ResponseHeader`.
        body: Bytes,
    },
    /// To TransferSubscriptions: one result for each id, in order.
    TransferSubscriptions {
        /// The results.
        results: Vec<TransferResult>,
    },
}

/// A value that was read, as far as this actor has a use for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadValue {
    /// Any unsigned integer, or an enumeration's number.
    Number(u64),
    /// A `DateTime`.
    DateTime(UtcTime),
    /// A String, or an array of them.
    Texts(Vec<String>),
    /// Null, or of another type.
    Other,
    /// Not to be had.
    Bad(StatusCode),
}

/// What became of one item (§5.13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitoredItemResult {
    /// Good, or why there is no such item.
    pub status_code: StatusCode,
    /// The server's number for it.
    pub monitored_item_id: u32,
    /// What the server made of the sampling interval.
    pub revised_sampling_interval: Duration,
    /// What it made of the queue.
    pub revised_queue_size: u32,
}

/// What became of one Subscription's transfer (§5.14.7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferResult {
    /// Good, or why it stays where it is, if it is at all.
    pub status_code: StatusCode,
    /// NotificationMessages that were sent and not acknowledged.
    pub available_sequence_numbers: Vec<u32>,
}
