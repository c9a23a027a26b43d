//! What a client publishes: its window, what it sends again, and what it was told (MQTT 5.0 §4.3, §4.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::Instant;

use crate::message::Sent;
use crate::wire::{self, PublishFlags, Version};

/// Publications that are not complete, at most; no server of the simulation offers a smaller Receive Maximum.
const WINDOW: usize = 8;

/// A topic of a publisher, and the level at which it publishes there: order holds for each level by itself (MQTT-4.6.0-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) qos: u8,
}

/// How far a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBACK or PUBREC is awaited.
    Published,
    /// PUBREC came; PUBREL was sent so many times.
    Released { times: u32 },
}

/// A publication of `QoS` 1 or 2 that is not complete.
#[derive(Clone, Debug)]
struct UnderWay {
    packet_identifier: u16,
    sent: Sent,
    qos: u8,
    stage: Stage,
}

/// A publisher's side of its session, and what it remembers for the judge.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    topics: Vec<Topic>,
    last_packet_identifier: u16,
    /// In the order in which they were first sent.
    under_way: VecDeque<UnderWay>,
    /// By `QoS`, Packet Identifiers of the PUBLISH packets of this connection that are not answered, in the order of sending.
    awaited: [VecDeque<u16>; 3],
    next_numbers: BTreeMap<String, u64>,
    /// When each message was first sent, and on which of its connections.
    pub(crate) first_sent: BTreeMap<Sent, (Instant, u64)>,
    /// Messages that may be there twice: `QoS` 1 on a connection that broke before their PUBACK; any whose session was lost.
    pub(crate) sent_again: BTreeSet<Sent>,
    /// Messages that the server has answered for: PUBACK or PUBREC.
    pub(crate) acknowledged: BTreeSet<Sent>,
    /// Messages that were acknowledged when the process was killed: what of them no hub had is gone with its memory.
    pub(crate) acknowledged_before_kill: BTreeSet<Sent>,
}

impl Outbox {
    pub(crate) fn new(topics: Vec<Topic>) -> Self {
        Self { topics, ..Self::default() }
    }

    /// Whether every exchange is complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The level of a topic of this publisher.
    pub(crate) fn qos_of(&self, topic: &str) -> u8 {
        self.topics.iter().find(|known| known.name == topic).map_or(0, |known| known.qos)
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        self.awaited.iter_mut().for_each(VecDeque::clear);
        // Version 3.1.1 has no other word for a refusal than the end of the connection.
        self.under_way.retain(|publication| !publication.sent.is_for_no_partition());
        let at_least_once = self.under_way.iter().filter(|publication| publication.qos == 1);
        self.sent_again.extend(at_least_once.map(|publication| publication.sent.clone()));
    }

    /// The server has nothing of the session: what it answered for is done, the rest is sent as if for the first time.
    pub(crate) fn session_is_new(&mut self) {
        self.under_way.retain(|publication| publication.stage == Stage::Published);
        self.sent_again.extend(self.under_way.iter().map(|publication| publication.sent.clone()));
    }

    /// Perhaps the server has nothing of the session, and perhaps it has.
    pub(crate) fn session_is_uncertain(&mut self) {
        let published = self.under_way.iter().filter(|publication| publication.stage == Stage::Published);
        self.sent_again.extend(published.map(|publication| publication.sent.clone()));
    }

    /// Memory is lost at the server.
    pub(crate) fn forgotten(&mut self) {
        self.acknowledged_before_kill.clone_from(&self.acknowledged);
    }

    /// What is sent first on a new connection: everything that is not complete, in the order of before (MQTT-4.4.0-1).
    pub(crate) fn greet(&mut self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        for publication in &mut self.under_way {
            let UnderWay { packet_identifier, sent, qos, stage } = publication;
            match stage {
                Stage::Published => {
                    let flags = PublishFlags { qos: *qos, is_again: true, is_retained: sent.is_retained() };
                    bytes.extend(wire::publish(version, &sent.topic, *packet_identifier, flags, &sent.payload()));
                    self.awaited[usize::from(*qos)].push_back(*packet_identifier);
                }
                Stage::Released { times } => {
                    *times += 1;
                    bytes.extend(wire::pubrel(*packet_identifier));
                }
            }
        }
        bytes
    }

    /// Publishes up to `count` messages, as far as the window allows; `connection` counts this client's connections.
    pub(crate) fn publish(
        &mut self,
        count: u64,
        topic_index: usize,
        version: Version,
        now: Instant,
        connection: u64,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        for step in 0..count {
            if self.under_way.len() >= WINDOW || self.topics.is_empty() {
                break;
            }
            let index = (topic_index + usize::try_from(step).expect("small")) % self.topics.len();
            let Topic { name, qos } = self.topics[index].clone();
            let number = self.next_numbers.entry(name.clone()).or_default();
            *number += 1;
            let sent = Sent { topic: name, number: *number };
            self.first_sent.insert(sent.clone(), (now, connection));
            let flags = PublishFlags { qos, is_again: false, is_retained: sent.is_retained() };
            let packet_identifier = if qos == 0 { 0 } else { self.next_packet_identifier() };
            bytes.extend(wire::publish(version, &sent.topic, packet_identifier, flags, &sent.payload()));
            if qos > 0 {
                self.awaited[usize::from(qos)].push_back(packet_identifier);
                self.under_way.push_back(UnderWay { packet_identifier, sent, qos, stage: Stage::Published });
            }
        }
        bytes
    }

    /// The next one that no exchange has (MQTT-2.2.1-3).
    fn next_packet_identifier(&mut self) -> u16 {
        self.last_packet_identifier = self.last_packet_identifier % 60_000 + 1;
        self.last_packet_identifier
    }

    /// Takes the answer to a PUBLISH: they come in the order of PUBLISH packets, for each level (MQTT-4.6.0-2, MQTT-4.6.0-3).
    fn answered(&mut self, packet_identifier: u16, qos: u8) -> usize {
        let oldest = self.awaited[usize::from(qos)].pop_front();
        assert_eq!(oldest, Some(packet_identifier), "answers at QoS {qos} come in the order of PUBLISH packets");
        let is_it =
            |publication: &UnderWay| publication.packet_identifier == packet_identifier && publication.qos == qos;
        self.under_way.iter().position(is_it).expect("an answer is for a publication under way")
    }

    pub(crate) fn take_puback(&mut self, packet_identifier: u16, reason: u8) {
        let place = self.answered(packet_identifier, 1);
        let publication = self.under_way.remove(place).expect("found");
        if reason < 0x80 {
            self.acknowledged.insert(publication.sent);
        }
    }

    /// Takes PUBREC; the answer is PUBREL, unless the exchange ended.
    pub(crate) fn take_pubrec(&mut self, packet_identifier: u16, reason: u8) -> Vec<u8> {
        let place = self.answered(packet_identifier, 2);
        if reason >= 0x80 {
            self.under_way.remove(place);
            return Vec::new();
        }
        let publication = &mut self.under_way[place];
        publication.stage = Stage::Released { times: 1 };
        self.acknowledged.insert(publication.sent.clone());
        wire::pubrel(packet_identifier)
    }

    pub(crate) fn take_pubcomp(&mut self, packet_identifier: u16, reason: u8) {
        let is_it = |publication: &UnderWay| publication.packet_identifier == packet_identifier && publication.qos == 2;
        let place = self.under_way.iter().position(is_it).expect("PUBCOMP is for a publication under way");
        let publication = self.under_way.remove(place).expect("found");
        let Stage::Released { times } = publication.stage else { panic!("PUBCOMP comes after PUBREL") };
        // A server that has answered a PUBREL before does not know its Packet Identifier any more.
        assert!(reason == 0 || (reason == 0x92 && times > 1), "PUBCOMP with {reason:#x} after {times} PUBREL");
    }
}
