//! A pure model of an OPC UA server, as far as a Session of ours can see one: the reference that tests and simulations hold
//! the actor against. Not for production; nothing in the actor uses it.
//!
//! It follows Part 4: Sessions that move between `SecureChannels`, Subscriptions with publishing, keep-alive and lifetime
//! counters (§5.14.1.2), MonitoredItems with queues that discard the oldest value and say so (§5.13.1.5), retransmission
//! queues (§5.14.1.1), Republish and TransferSubscriptions. Values are exact: every [`ModelServer::set_value`] is a sample.
//!
//! | File | Its idea |
//! |---|---|
//! | `encode.rs` | Variants and NotificationMessages in the binary encoding |
//! | `session.rs` | a Session, its SecureChannel and its Publish requests |
//! | `subscription.rs` | a Subscription, its items, queues and counters |

pub mod encode;
mod session;
mod subscription;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use contract::{Instant, UtcTime};

use crate::{Identifier, MonitoredItemResult, NodeId, ReadValue, Request, Response, StatusCode, TransferResult};
use encode::ModelValue;
use session::{ModelSession, QueuedPublish};
use subscription::{ModelItem, ModelSubscription};

/// What a model server allows.
#[derive(Clone, Copy, Debug)]
pub struct ModelServerConfig {
    /// Sessions are closed when nothing was heard for this long, whatever they asked for.
    pub session_timeout_max: Duration,
    /// Unacknowledged messages that a Subscription keeps; the oldest goes first.
    pub retransmissions_max: usize,
    /// Publish requests that a Session may queue.
    pub publish_requests_max: usize,
    /// Notifications in one message; 0 is no limit.
    pub notifications_per_publish_max: usize,
    /// MonitoredItems in one call; 0 is no limit.
    pub items_per_call_max: usize,
    /// Values in an item's queue.
    pub queue_size_max: u32,
    /// Whether another Session may take Subscriptions over.
    pub allows_transfer: bool,
    /// Whether a Session may move to another SecureChannel.
    pub allows_reactivation: bool,
    /// The number that a Subscription's first message has.
    pub first_sequence_number: u32,
}

impl Default for ModelServerConfig {
    fn default() -> Self {
        Self {
            session_timeout_max: Duration::from_hours(1),
            retransmissions_max: 100,
            publish_requests_max: 20,
            notifications_per_publish_max: 0,
            items_per_call_max: 0,
            queue_size_max: 10_000,
            allows_transfer: true,
            allows_reactivation: true,
            first_sequence_number: 1,
        }
    }
}

/// A SecureChannel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// An answer on its way to a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelAnswer {
    /// Where to.
    pub channel: ChannelId,
    /// Which request.
    pub request_handle: u32,
    /// What.
    pub body: ModelAnswerBody,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelAnswerBody {
    /// To any service but Publish, and to a Publish that failed.
    Response(Result<Response, StatusCode>),
    /// To Publish: the body behind the `ResponseHeader`.
    Publish(Bytes),
}

/// A node with its value.
#[derive(Clone, Debug)]
struct ModelNode {
    value: ModelValue,
}

/// The server.
#[derive(Debug)]
pub struct ModelServer {
    config: ModelServerConfig,
    nodes: BTreeMap<NodeId, ModelNode>,
    sessions: BTreeMap<NodeId, ModelSession>,
    subscriptions: BTreeMap<u32, ModelSubscription>,
    answers: Vec<ModelAnswer>,
    next_number: u32,
    next_channel: u32,
    served_count: u64,
    utc_at_zero: UtcTime,
}

impl ModelServer {
    /// Makes a server whose clock shows `utc_at_zero` at [`Instant::ZERO`].
    pub fn new(config: ModelServerConfig, utc_at_zero: UtcTime) -> Self {
        Self {
            config,
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            answers: Vec::new(),
            next_number: 1,
            next_channel: 1,
            served_count: 0,
            utc_at_zero,
        }
    }

    /// The server's clock.
    pub fn utc(&self, now: Instant) -> UtcTime {
        self.utc_at_zero.saturating_add(now - Instant::ZERO)
    }

    /// What the server allows; may be changed at any time.
    pub fn config_mut(&mut self) -> &mut ModelServerConfig {
        &mut self.config
    }

    /// Gives a node a value; makes the node if there is none. Every item that monitors it samples it.
    pub fn set_value(&mut self, node_id: &NodeId, value: &ModelValue) {
        self.nodes.insert(node_id.clone(), ModelNode { value: value.clone() });
        for subscription in self.subscriptions.values_mut() {
            subscription.sample(node_id, value);
        }
    }

    /// Takes a node away; its items keep what they have.
    pub fn remove_node(&mut self, node_id: &NodeId) {
        self.nodes.remove(node_id);
    }

    /// Opens a SecureChannel.
    pub fn open_channel(&mut self) -> ChannelId {
        self.next_channel += 1;
        ChannelId(self.next_channel)
    }

    /// A SecureChannel is gone, with the Publish requests that came over it and the answers on their way.
    pub fn close_channel(&mut self, channel: ChannelId) {
        self.answers.retain(|answer| answer.channel != channel);
        for session in self.sessions.values_mut() {
            session.forget_channel(channel);
        }
    }

    /// The process ends and starts again: nodes stay, nothing else does.
    pub fn restart(&mut self) {
        self.sessions.clear();
        self.subscriptions.clear();
        self.answers.clear();
    }

    /// Deletes all Subscriptions, as an operator could.
    pub fn delete_subscriptions(&mut self) {
        self.subscriptions.clear();
    }

    /// How many Subscriptions and MonitoredItems there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.subscriptions.len(), self.subscriptions.values().map(|subscription| subscription.items.len()).sum())
    }

    /// NotificationMessages that were sent and not acknowledged.
    pub fn unacknowledged_count(&self) -> usize {
        self.subscriptions.values().map(|subscription| subscription.available_sequence_numbers().len()).sum()
    }

    /// Takes a request.
    pub fn request(
        &mut self,
        channel: ChannelId,
        request_handle: u32,
        authentication_token: Option<&NodeId>,
        request: &Request,
        now: Instant,
    ) {
        let result = match request {
            Request::CreateSession { requested_session_timeout, .. } => {
                Ok(self.create_session(channel, *requested_session_timeout, now))
            }
            Request::ActivateSession { server_nonce } => {
                self.activate_session(channel, authentication_token, server_nonce, now)
            }
            Request::CloseSession { .. }
            | Request::Read { .. }
            | Request::CreateSubscription(_)
            | Request::CreateMonitoredItems { .. }
            | Request::DeleteSubscriptions { .. }
            | Request::Publish { .. }
            | Request::Republish { .. }
            | Request::TransferSubscriptions { .. } => match self.session_of(channel, authentication_token, now) {
                Ok(token) => match self.serve(&token, channel, request_handle, request, now) {
                    Some(result) => result,
                    None => return,
                },
                Err(status_code) => Err(status_code),
            },
        };
        self.answers.push(ModelAnswer { channel, request_handle, body: ModelAnswerBody::Response(result) });
    }

    fn session_of(
        &mut self,
        channel: ChannelId,
        authentication_token: Option<&NodeId>,
        now: Instant,
    ) -> Result<NodeId, StatusCode> {
        let token = authentication_token.ok_or(StatusCode::BAD_SESSION_ID_INVALID)?;
        let session = self.sessions.get_mut(token).ok_or(StatusCode::BAD_SESSION_ID_INVALID)?;
        session.heard_at = now;
        match session.channel {
            Some(activated) if activated == channel => Ok(token.clone()),
            Some(_) => Err(StatusCode::BAD_SECURE_CHANNEL_ID_INVALID),
            None => Err(StatusCode::BAD_SESSION_NOT_ACTIVATED),
        }
    }

    /// Serves a request of an activated Session; `None` where the answer comes later.
    fn serve(
        &mut self,
        token: &NodeId,
        channel: ChannelId,
        request_handle: u32,
        request: &Request,
        now: Instant,
    ) -> Option<Result<Response, StatusCode>> {
        Some(match request {
            Request::CreateSession { .. } | Request::ActivateSession { .. } => Err(StatusCode::BAD_UNEXPECTED_ERROR),
            Request::CloseSession { delete_subscriptions } => {
                self.sessions.remove(token);
                if *delete_subscriptions {
                    self.subscriptions.retain(|_, subscription| subscription.session != *token);
                }
                Ok(Response::CloseSession)
            }
            Request::Read { nodes } => Ok(Response::Read { values: self.read(nodes, now) }),
            Request::CreateSubscription(parameters) => {
                let id = self.number();
                let first = self.config.first_sequence_number;
                let subscription = ModelSubscription::new(token.clone(), parameters, first, now);
                let response = Response::CreateSubscription {
                    subscription_id: id,
                    revised_publishing_interval: subscription.publishing_interval,
                    revised_lifetime_count: subscription.lifetime_count,
                    revised_max_keep_alive_count: subscription.max_keep_alive_count,
                };
                self.subscriptions.insert(id, subscription);
                Ok(response)
            }
            Request::CreateMonitoredItems { subscription_id, items } => self.create_items(*subscription_id, items),
            Request::DeleteSubscriptions { subscription_ids } => {
                let delete = |id: &u32| match self.subscriptions.remove(id) {
                    Some(_) => StatusCode::GOOD,
                    None => StatusCode::BAD_SUBSCRIPTION_ID_INVALID,
                };
                Ok(Response::DeleteSubscriptions { results: subscription_ids.iter().map(delete).collect() })
            }
            Request::Publish { acknowledgements } => {
                let results = acknowledgements
                    .iter()
                    .map(|named| match self.subscriptions.get_mut(&named.subscription_id) {
                        Some(subscription) => subscription.acknowledge(named.sequence_number),
                        None => StatusCode::BAD_SUBSCRIPTION_ID_INVALID,
                    })
                    .collect();
                return self.queue_publish(token, QueuedPublish { channel, request_handle, results }, now);
            }
            Request::Republish { subscription_id, sequence_number } => {
                match self.subscriptions.get_mut(subscription_id).filter(|subscription| subscription.session == *token)
                {
                    Some(subscription) => subscription.republish(*sequence_number),
                    None => Err(StatusCode::BAD_SUBSCRIPTION_ID_INVALID),
                }
            }
            Request::TransferSubscriptions { subscription_ids, .. } => {
                let results = subscription_ids.iter().map(|id| self.transfer(*id, token)).collect();
                Ok(Response::TransferSubscriptions { results })
            }
        })
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    fn create_session(&mut self, channel: ChannelId, requested_timeout: Duration, now: Instant) -> Response {
        let number = self.number();
        let token = NodeId { namespace_index: 0, identifier: Identifier::Opaque(Box::new(number.to_be_bytes())) };
        let timeout = requested_timeout.min(self.config.session_timeout_max);
        let session = ModelSession::new(channel, timeout, number, now);
        let server_nonce = session.nonce();
        self.sessions.insert(token.clone(), session);
        Response::CreateSession {
            session_id: NodeId { namespace_index: 1, identifier: Identifier::Numeric(number) },
            authentication_token: token,
            revised_session_timeout: timeout,
            server_nonce,
        }
    }

    fn activate_session(
        &mut self,
        channel: ChannelId,
        authentication_token: Option<&NodeId>,
        server_nonce: &Bytes,
        now: Instant,
    ) -> Result<Response, StatusCode> {
        let allows_reactivation = self.config.allows_reactivation;
        let session = authentication_token
            .and_then(|token| self.sessions.get_mut(token))
            .ok_or(StatusCode::BAD_SESSION_ID_INVALID)?;
        if *server_nonce != session.nonce() {
            return Err(StatusCode::BAD_APPLICATION_SIGNATURE_INVALID);
        }
        if session.created_on != channel && !allows_reactivation {
            return Err(StatusCode::BAD_SECURE_CHANNEL_ID_INVALID);
        }
        session.activate(channel, now);
        Ok(Response::ActivateSession { server_nonce: session.nonce() })
    }

    fn read(&self, nodes: &[NodeId], now: Instant) -> Vec<ReadValue> {
        let value = |node_id: &NodeId| match (node_id.namespace_index, &node_id.identifier) {
            (0, Identifier::Numeric(2_255)) => {
                ReadValue::Texts(vec!["http://opcfoundation.org/UA/".to_owned(), "urn:model".to_owned()])
            }
            (0, Identifier::Numeric(2_258)) => ReadValue::DateTime(self.utc(now)),
            (0, Identifier::Numeric(2_259)) => ReadValue::Number(0),
            (0, Identifier::Numeric(11_714)) => ReadValue::Number(self.config.items_per_call_max as u64),
            _ if self.nodes.contains_key(node_id) => ReadValue::Other,
            _ => ReadValue::Bad(StatusCode::BAD_NODE_ID_UNKNOWN),
        };
        nodes.iter().map(value).collect()
    }

    fn create_items(
        &mut self,
        subscription_id: u32,
        items: &[crate::MonitoredItemRequest],
    ) -> Result<Response, StatusCode> {
        let per_call_max = self.config.items_per_call_max;
        if per_call_max > 0 && items.len() > per_call_max {
            return Err(StatusCode::BAD_TOO_MANY_OPERATIONS);
        }
        let mut number = self.next_number;
        let subscription =
            self.subscriptions.get_mut(&subscription_id).ok_or(StatusCode::BAD_SUBSCRIPTION_ID_INVALID)?;
        let results = items
            .iter()
            .map(|item| {
                let Some(node) = self.nodes.get(&item.node_id) else {
                    return MonitoredItemResult {
                        status_code: StatusCode::BAD_NODE_ID_UNKNOWN,
                        monitored_item_id: 0,
                        revised_sampling_interval: Duration::ZERO,
                        revised_queue_size: 0,
                    };
                };
                number += 1;
                let queue_size = item.queue_size.clamp(1, self.config.queue_size_max);
                subscription.add(number, ModelItem::new(item, queue_size, &node.value));
                MonitoredItemResult {
                    status_code: StatusCode::GOOD,
                    monitored_item_id: number,
                    revised_sampling_interval: item.sampling_interval,
                    revised_queue_size: queue_size,
                }
            })
            .collect();
        self.next_number = number;
        Ok(Response::CreateMonitoredItems { results })
    }

    fn transfer(&mut self, subscription_id: u32, to: &NodeId) -> TransferResult {
        let refused = |status_code| TransferResult { status_code, available_sequence_numbers: Vec::new() };
        match self.subscriptions.get_mut(&subscription_id) {
            None => refused(StatusCode::BAD_SUBSCRIPTION_ID_INVALID),
            Some(_) if !self.config.allows_transfer => refused(StatusCode::BAD_USER_ACCESS_DENIED),
            Some(subscription) => {
                subscription.session = to.clone();
                subscription.lifetime_left = subscription.lifetime_count;
                TransferResult {
                    status_code: StatusCode::GOOD,
                    available_sequence_numbers: subscription.available_sequence_numbers(),
                }
            }
        }
    }

    fn queue_publish(
        &mut self,
        token: &NodeId,
        publish: QueuedPublish,
        now: Instant,
    ) -> Option<Result<Response, StatusCode>> {
        let subscriptions: Vec<u32> = self.subscriptions_of(token);
        if subscriptions.is_empty() {
            return Some(Err(StatusCode::BAD_NO_SUBSCRIPTION));
        }
        for id in &subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(id) {
                subscription.lifetime_left = subscription.lifetime_count;
            }
        }
        let publish_requests_max = self.config.publish_requests_max;
        let session = self.sessions.get_mut(token)?;
        session.publishes.push_back(publish);
        if session.publishes.len() > publish_requests_max
            && let Some(oldest) = session.publishes.pop_front()
        {
            self.answers.push(ModelAnswer {
                channel: oldest.channel,
                request_handle: oldest.request_handle,
                body: ModelAnswerBody::Response(Err(StatusCode::BAD_TOO_MANY_PUBLISH_REQUESTS)),
            });
        }
        self.serve_late(token, now);
        None
    }

    /// Serves Subscriptions that are late, as long as there are Publish requests: the one first that was served longest ago
    /// (Part 4 §5.14.1.2: at once, and in turn where the priority is the same).
    fn serve_late(&mut self, token: &NodeId, now: Instant) {
        let (utc, config) = (self.utc(now), self.config);
        loop {
            let late = self.subscriptions.iter_mut().filter(|(_, other)| other.is_late && other.session == *token);
            let Some((id, subscription)) = late.min_by_key(|(_, other)| other.served_count) else { return };
            let Some(publish) = self.sessions.get_mut(token).and_then(|session| session.publishes.pop_front()) else {
                return;
            };
            self.served_count += 1;
            subscription.served_count = self.served_count;
            let body = subscription.publish(*id, utc, &config, &publish.results);
            self.answers.push(ModelAnswer {
                channel: publish.channel,
                request_handle: publish.request_handle,
                body: ModelAnswerBody::Publish(body),
            });
        }
    }

    fn subscriptions_of(&self, token: &NodeId) -> Vec<u32> {
        let ours = self.subscriptions.iter().filter(|(_, subscription)| subscription.session == *token);
        ours.map(|(id, _)| *id).collect()
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let publishing = self.subscriptions.values().map(|subscription| subscription.next_publishing_at);
        let sessions = self.sessions.values().map(|session| session.heard_at + session.timeout);
        publishing.chain(sessions).min()
    }

    /// Does what is due at `now`: publishing timers, lifetimes, Session timeouts.
    pub fn advance(&mut self, now: Instant) {
        self.sessions.retain(|_, session| session.heard_at + session.timeout > now);
        let due: Vec<u32> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.next_publishing_at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let has_request =
                self.sessions.get(&subscription.session).is_some_and(|session| !session.publishes.is_empty());
            if !subscription.tick(has_request) {
                self.subscriptions.remove(&id);
                continue;
            }
            let session = subscription.session.clone();
            self.serve_late(&session, now);
        }
    }

    /// Takes the oldest answer.
    pub fn poll_answer(&mut self) -> Option<ModelAnswer> {
        if self.answers.is_empty() { None } else { Some(self.answers.remove(0)) }
    }
}
