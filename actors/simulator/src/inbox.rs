//! What a client is sent: what it answers, and what the standard says of each packet (MQTT 5.0 §3.3.4, §4.3, §4.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::Instant;

use crate::from_server::Publish;
use crate::message::Sent;
use crate::wire::{self, Version};

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) sent: Sent,
    pub(crate) qos: u8,
    /// DUP.
    pub(crate) is_again: bool,
    pub(crate) packet_identifier: u16,
    /// On which of the client's connections.
    pub(crate) connection: usize,
}

/// A subscriber's side of its session, and what it remembers for the judge.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own, or a memory for the judge")]
pub(crate) struct Inbox {
    /// Packet Identifiers of `QoS` 2 messages that were taken and not released by PUBREL.
    held: BTreeSet<u16>,
    /// Packet Identifiers of this connection's PUBLISH packets whose exchange the client has not completed.
    unanswered: BTreeSet<u16>,
    receive_maximum: usize,
    /// Since when it is subscribed without interruption, by the time of SUBACK.
    pub(crate) subscribed_since: Option<Instant>,
    /// SUBSCRIBE was sent in a session that perhaps still lives.
    has_asked: bool,
    /// What came since the session's last SUBACK, in order.
    pub(crate) received: Vec<Received>,
    /// What ever came, with how often it was new.
    pub(crate) ever: BTreeMap<Sent, u32>,
    /// By Packet Identifier, the message that had it last, and its place in the order of arrival.
    seen: BTreeMap<u16, (usize, Sent)>,
    arrivals_count: usize,
    is_resumed: bool,
    is_past_resends: bool,
    last_resent: Option<usize>,
    connection: usize,
    /// Answers that it holds back, with the Packet Identifier that each completes.
    answers: VecDeque<(Vec<u8>, Option<u16>)>,
    /// It holds its answers back.
    pub(crate) is_dawdling: bool,
    /// A session of it ended, so that what was shared with it may have gone to another client, or was under way at `QoS` 2.
    pub(crate) has_lost_a_session: bool,
    /// It has forgotten what the server perhaps remembers.
    has_forgotten: bool,
    /// The server did remember: what came before may have come again, and counted as new.
    pub(crate) may_count_twice: bool,
    /// It once offered too small a Maximum Packet Size for large messages in this session.
    pub(crate) had_small_packets: bool,
    /// The same, in any session.
    pub(crate) has_ever_had_small_packets: bool,
}

impl Inbox {
    /// A CONNECT is sent.
    pub(crate) fn dialed(&mut self, connection: usize, receive_maximum: u16, has_small_packets: bool) {
        self.connection = connection;
        self.receive_maximum = receive_maximum.into();
        self.had_small_packets |= has_small_packets;
        self.has_ever_had_small_packets |= has_small_packets;
    }

    /// The client gives its session up: with Clean Start it forgets what it had.
    pub(crate) fn forget(&mut self) {
        self.has_lost_a_session |= self.has_asked;
        self.has_forgotten = true;
        self.held.clear();
        self.subscribed_since = None;
        self.received.clear();
        self.seen.clear();
    }

    /// CONNACK came.
    pub(crate) fn welcomed(&mut self, session_present: bool, has_small_packets: bool) {
        self.is_resumed = session_present;
        self.is_past_resends = false;
        self.last_resent = None;
        self.unanswered.clear();
        let has_forgotten = std::mem::take(&mut self.has_forgotten);
        self.may_count_twice |= session_present && has_forgotten;
        if !session_present {
            self.forget();
            self.has_forgotten = false;
            self.has_asked = false;
            self.had_small_packets = has_small_packets;
        }
    }

    /// The connection is gone, with the answers that were held back.
    pub(crate) fn lost(&mut self) {
        self.answers.clear();
        self.unanswered.clear();
    }

    /// SUBSCRIBE is sent.
    pub(crate) fn asks(&mut self) {
        self.has_asked = true;
    }

    pub(crate) fn subscribed(&mut self, now: Instant) {
        self.subscribed_since = Some(now);
        self.received.clear();
    }

    pub(crate) fn unsubscribes(&mut self) {
        self.subscribed_since = None;
    }

    /// Whether every exchange is complete.
    pub(crate) fn is_done(&self) -> bool {
        // What is too large for the connection after is given up, and PUBREL with it.
        let is_given_up = |packet_identifier: &u16| {
            let seen = self.seen.get(packet_identifier);
            self.had_small_packets && seen.is_some_and(|(_, sent)| sent.is_for_no_hub())
        };
        self.held.iter().all(is_given_up) && self.answers.is_empty()
    }

    /// Takes PUBLISH.
    ///
    /// # Panics
    /// When the server may not send it.
    pub(crate) fn take_publish(&mut self, publish: &Publish) {
        let Publish { topic, qos, is_again, is_retained, packet_identifier, payload } = publish;
        let (qos, is_again, packet_identifier) = (*qos, *is_again, *packet_identifier);
        assert!(self.has_asked, "a message of {topic} comes to a session that has not subscribed");
        let sent = Sent::parse(payload);
        let is_held = qos == 2 && self.held.contains(&packet_identifier);
        if qos == 0 {
            assert!(!is_again, "DUP is 0 at QoS 0 (MQTT-3.3.1-2)");
        } else {
            self.check_packet_identifier(packet_identifier, is_again, is_held, sent.as_ref());
        }
        match qos {
            0 => {}
            1 => self.answers.push_back((wire::puback(packet_identifier), Some(packet_identifier))),
            _ => {
                self.held.insert(packet_identifier);
                self.answers.push_back((wire::pubrec(packet_identifier), None));
            }
        }
        // A Retained Message is told to each new subscriber; it is not news.
        if let Some(sent) = sent.filter(|_| !is_retained && !is_held) {
            assert_eq!(sent.topic, *topic, "a payload stays with its topic");
            *self.ever.entry(sent.clone()).or_default() += 1;
            self.received.push(Received { sent, qos, is_again, packet_identifier, connection: self.connection });
        }
    }

    fn check_packet_identifier(&mut self, packet_identifier: u16, is_again: bool, is_held: bool, sent: Option<&Sent>) {
        assert_ne!(packet_identifier, 0, "a Packet Identifier is not 0 (MQTT-2.2.1-4)");
        assert!(self.unanswered.insert(packet_identifier), "{packet_identifier} is in flight twice (MQTT-2.2.1-4)");
        assert!(
            self.unanswered.len() <= self.receive_maximum,
            "{} in flight are above a Receive Maximum of {} (MQTT-3.3.4-9)",
            self.unanswered.len(),
            self.receive_maximum
        );
        if is_again {
            assert!(self.is_resumed, "DUP on a session's first connection");
            assert!(!self.is_past_resends, "what was sent before comes before what is new (MQTT-4.4.0-1)");
        } else {
            self.is_past_resends = true;
            assert!(!is_held, "{packet_identifier} is sent again without DUP (MQTT-3.3.1-1)");
        }
        let Some(sent) = sent else { return };
        match self.seen.get(&packet_identifier) {
            Some((place, seen)) if is_again && seen == sent => {
                assert!(self.last_resent < Some(*place), "resent in the order of first sending (MQTT-4.6.0-1)");
                self.last_resent = Some(*place);
            }
            Some(_) | None => {
                assert!(!is_held, "{packet_identifier} has another message than before");
                self.seen.insert(packet_identifier, (self.arrivals_count, sent.clone()));
                self.arrivals_count += 1;
            }
        }
    }

    /// Takes PUBREL.
    pub(crate) fn take_pubrel(&mut self, version: Version, packet_identifier: u16) {
        let is_known = self.held.remove(&packet_identifier);
        // Unknown where PUBCOMP was lost on its way, or where the client has begun anew.
        assert!(is_known || self.is_resumed, "PUBREL for {packet_identifier}, which is not held");
        self.answers.push_back((wire::pubcomp(version, packet_identifier, is_known), Some(packet_identifier)));
    }

    /// The answers that it gives by and by.
    pub(crate) fn answers(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.is_dawdling {
            return bytes;
        }
        for (answer, completes) in self.answers.drain(..) {
            bytes.extend(answer);
            if let Some(packet_identifier) = completes {
                self.unanswered.remove(&packet_identifier);
            }
        }
        bytes
    }
}
