//! One MQTT client: what it sends, what it is told, and what it remembers for the judge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::{ConnectionAddress, Instant};

use crate::build::{HUB_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::wire::{self, FromServer, PublishFlags, Version};

/// What a client is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes numbered messages to its topics.
    Publisher {
        /// Its topics.
        topics: Vec<String>,
        /// 0 or 1.
        qos: u8,
    },
    /// Subscribes to a Topic Filter.
    Subscriber {
        /// The filter.
        topic_filter: String,
        /// 0 or 1.
        qos: u8,
    },
}

/// A message that a publisher sent: `number` is its place among those of its topic, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) number: u64,
}

/// One in so many messages of a topic is larger than a hub takes, and one in so many larger than a partition does.
const FOR_NO_HUB_ONE_IN: u64 = 24;
const FOR_NO_PARTITION_ONE_IN: u64 = 35;
/// One in so many messages of a topic is to be retained.
const RETAINED_ONE_IN: u64 = 10;

impl Sent {
    /// Whether the partition refuses it.
    pub(crate) const fn is_for_no_partition(&self) -> bool {
        self.number.is_multiple_of(FOR_NO_PARTITION_ONE_IN)
    }

    /// Whether the hubs refuse it.
    pub(crate) const fn is_for_no_hub(&self) -> bool {
        self.number.is_multiple_of(FOR_NO_HUB_ONE_IN) || self.is_for_no_partition()
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let padding = match (self.is_for_no_partition(), self.is_for_no_hub()) {
            (true, _) => MESSAGE_BYTES_MAX,
            (false, true) => HUB_BYTES_MAX,
            (false, false) => 0,
        };
        let mut payload = format!("{}|{}|", self.topic, self.number).into_bytes();
        payload.resize(payload.len() + padding, b'.');
        payload
    }

    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(payload).ok()?.splitn(3, '|');
        let (topic, number) = (parts.next()?, parts.next()?);
        Some(Self { topic: topic.to_owned(), number: number.parse().ok()? })
    }
}

/// A client that is always there, though its connection may not be.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) identifier: String,
    pub(crate) version: Version,
    pub(crate) role: Role,
    pub(crate) connection: Option<ConnectionAddress>,
    is_welcome: bool,
    inbound: Vec<u8>,
    next_packet_identifier: u16,
    /// Messages without PUBACK, in the order in which they were first sent.
    unacknowledged: VecDeque<(u16, Sent)>,
    next_numbers: BTreeMap<String, u64>,
    /// When each message was first sent, and on which of its connections.
    pub(crate) first_sent: BTreeMap<Sent, (Instant, u64)>,
    connections_count: u64,
    /// Messages that were sent on a connection that broke before their PUBACK: they may be there twice.
    pub(crate) sent_again: BTreeSet<Sent>,
    pub(crate) acknowledged: BTreeSet<Sent>,
    /// Messages that were acknowledged when the process was killed: what of them no hub had is gone with its memory.
    pub(crate) acknowledged_before_kill: BTreeSet<Sent>,
    /// Since when it is subscribed without interruption.
    pub(crate) subscribed_since: Option<Instant>,
    /// What it received since then, in order.
    pub(crate) received: Vec<Sent>,
    /// It reads nothing until then.
    pub(crate) stalled_until: Instant,
    /// It publishes no more.
    pub(crate) is_at_rest: bool,
}

/// Unacknowledged messages that a publisher has at most.
const WINDOW: usize = 8;

impl Client {
    pub(crate) fn new(identifier: String, version: Version, role: Role) -> Self {
        Self {
            identifier,
            version,
            role,
            connection: None,
            is_welcome: false,
            inbound: Vec::new(),
            next_packet_identifier: 1,
            unacknowledged: VecDeque::new(),
            next_numbers: BTreeMap::new(),
            first_sent: BTreeMap::new(),
            connections_count: 0,
            sent_again: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            acknowledged_before_kill: BTreeSet::new(),
            subscribed_since: None,
            received: Vec::new(),
            stalled_until: Instant::ZERO,
            is_at_rest: false,
        }
    }

    /// The socket is open: what the client writes first.
    pub(crate) fn opened(&mut self, connection: ConnectionAddress) -> Vec<u8> {
        self.connection = Some(connection);
        self.connections_count += 1;
        self.inbound.clear();
        self.is_welcome = false;
        wire::connect(self.version, &self.identifier, 6)
    }

    /// The broker is gone, with all that it remembered.
    pub(crate) fn lost_to_a_kill(&mut self) {
        self.lost();
        self.acknowledged_before_kill.clone_from(&self.acknowledged);
    }

    /// The socket is gone.
    pub(crate) fn lost(&mut self) {
        self.connection = None;
        self.is_welcome = false;
        self.subscribed_since = None;
        self.received.clear();
        // Version 3.1.1 has no other word for a refusal than the end of the connection.
        self.unacknowledged.retain(|(_, sent)| !sent.is_for_no_partition());
        self.sent_again.extend(self.unacknowledged.iter().map(|(_, sent)| sent.clone()));
    }

    /// Whether it publishes at `QoS` 0.
    pub(crate) fn is_at_most_once(&self) -> bool {
        matches!(self.role, Role::Publisher { qos: 0, .. })
    }

    /// Whether it has nothing left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// Takes bytes from the server; what the client answers.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        self.inbound.extend_from_slice(bytes);
        let mut answer = Vec::new();
        while let Some(packet) = wire::take(self.version, &mut self.inbound) {
            match packet {
                FromServer::ConnAck { code } => {
                    assert_eq!(code, 0, "{} is let in", self.identifier);
                    self.is_welcome = true;
                    answer.extend(self.greet());
                }
                FromServer::SubAck { codes, .. } => {
                    assert!(codes.iter().all(|code| *code < 0x80), "{} may subscribe", self.identifier);
                    self.subscribed_since = Some(now);
                    self.received.clear();
                }
                FromServer::UnsubAck => answer.extend(self.greet()),
                FromServer::Publish { topic, qos, is_retained, packet_identifier, payload } => {
                    if qos > 0 {
                        answer.extend(wire::puback(packet_identifier));
                    }
                    // A Retained Message is told to each new subscriber; it is not news.
                    if !is_retained && let Some(sent) = Sent::parse(&payload) {
                        assert_eq!(sent.topic, topic, "a payload stays with its topic");
                        self.received.push(sent);
                    }
                }
                FromServer::PubAck { packet_identifier, reason } => self.acknowledge(packet_identifier, reason),
                FromServer::PingResp | FromServer::Disconnect { .. } => {}
            }
        }
        answer
    }

    fn greet(&mut self) -> Vec<u8> {
        match &self.role {
            Role::Publisher { .. } => {
                let again = self.unacknowledged.iter();
                again.flat_map(|(packet_identifier, sent)| self.publication(*packet_identifier, sent, true)).collect()
            }
            Role::Subscriber { topic_filter, qos } => wire::subscribe(self.version, 9, topic_filter, *qos),
        }
    }

    fn publication(&self, packet_identifier: u16, sent: &Sent, is_again: bool) -> Vec<u8> {
        let flags = PublishFlags { is_again, is_retained: sent.number.is_multiple_of(RETAINED_ONE_IN) };
        wire::publish(self.version, &sent.topic, packet_identifier, flags, &sent.payload())
    }

    /// Says that it is there, or unsubscribes in order to subscribe again.
    fn be_a_subscriber(&mut self, count: u64) -> Vec<u8> {
        match &self.role {
            Role::Subscriber { topic_filter, .. }
                if count == 1 && !self.is_at_rest && self.subscribed_since.is_some() =>
            {
                let bytes = wire::unsubscribe(self.version, 11, topic_filter);
                self.subscribed_since = None;
                bytes
            }
            Role::Subscriber { .. } | Role::Publisher { .. } => wire::pingreq(),
        }
    }

    fn acknowledge(&mut self, packet_identifier: u16, reason: u8) {
        let (oldest, sent) = self.unacknowledged.pop_front().expect("a PUBACK answers a PUBLISH");
        assert_eq!(oldest, packet_identifier, "{}: PUBACKs come in the order of PUBLISHes", self.identifier);
        if reason < 0x80 {
            self.acknowledged.insert(sent);
        }
    }

    /// Publishes up to `count` messages, as far as its window allows.
    pub(crate) fn publish(&mut self, count: u64, topic_index: usize, now: Instant) -> Vec<u8> {
        if !self.is_welcome {
            return Vec::new();
        }
        let Role::Publisher { topics, qos } = &self.role else { return self.be_a_subscriber(count) };
        if self.is_at_rest {
            return Vec::new();
        }
        let mut bytes = Vec::new();
        for step in 0..count {
            if self.unacknowledged.len() >= WINDOW {
                break;
            }
            let topic = topics[(topic_index + usize::try_from(step).expect("small")) % topics.len()].clone();
            let number = self.next_numbers.entry(topic.clone()).or_default();
            *number += 1;
            let sent = Sent { topic, number: *number };
            self.first_sent.insert(sent.clone(), (now, self.connections_count));
            let packet_identifier = if *qos == 0 { 0 } else { self.next_packet_identifier };
            bytes.extend(self.publication(packet_identifier, &sent, false));
            if *qos > 0 {
                self.next_packet_identifier = self.next_packet_identifier % 60_000 + 1;
                self.unacknowledged.push_back((packet_identifier, sent));
            }
        }
        bytes
    }
}
