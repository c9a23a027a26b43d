//! What surrounds a connection: its socket's shell and its partitions, as their contracts have them, and every bound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{
    Actor, ConnectionAddress, CoreIndex, Credit, Delivery, DeliveryNumber, Effects, Instant, MESSAGE_EXPIRY_NEVER,
    PartitionIndex, Publication, PublicationArena, PublicationDraft, PublishToken, QoS, RECORD_PREFIX_BYTES, Refusal,
    SubscribeResult, SubscribeToken, UtcTime, partition_of,
};
use mqtt::ProtocolVersion;
use mqtt_connection::{Connection, ConnectionConfig, EFFECTS_COUNT_MAX, Effect, Message};

use super::client;
use super::mirror::Mirror;
use crate::choices::Choices;

/// Steps that may be due at once after one message.
const STEPS_AT_ONCE_MAX: usize = 10_000;
/// Bytes that a connection may hold unread besides what came last: `reading.rs` of the actor stops the socket there.
const UNREAD_BYTES_MAX: usize = 128 << 10;
/// SUBSCRIBEs and UNSUBSCRIBEs that one connection has pending, and as many that take back.
const ANSWERS_PENDING_MAX: usize = 32;

/// A connection and what it talks to.
#[derive(Debug)]
pub(super) struct World {
    config: Arc<ConnectionConfig>,
    connection: Connection,
    now: Instant,
    effects: Effects<Effect>,
    mirror: Mirror,
    is_paused: bool,
    is_socket_closed: bool,
    unwritten_bytes: usize,
    received_bytes: usize,
    attach: Attach,
    publishes: BTreeMap<PublishToken, (usize, usize)>,
    subscribes: Vec<Asked>,
    partitions: Vec<Partition>,
    counts: Counts,
}

/// What the home partition was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attach {
    NotAsked,
    Asked,
    Answered,
}

/// A SUBSCRIBE or UNSUBSCRIBE that some partitions have not answered.
#[derive(Debug)]
struct Asked {
    token: SubscribeToken,
    partitions: Vec<PartitionIndex>,
    filters_count: usize,
    is_subscribe: bool,
}

/// What one partition has sent, and may send.
#[derive(Clone, Debug, Default)]
struct Partition {
    credit: Credit,
    next_number: u64,
    unsettled: BTreeSet<u64>,
}

/// Effects that come once.
#[derive(Debug, Default)]
struct Counts {
    closes: u32,
    detaches: u32,
    ends: u32,
    gone: u32,
}

impl World {
    pub(super) fn new(config: ConnectionConfig) -> Self {
        let config = Arc::new(config);
        let address = ConnectionAddress { core: CoreIndex(1), slot: 2, generation: 3 };
        let now = Instant::from_millis(1_000);
        Self {
            connection: Connection::new(Arc::clone(&config), address, now),
            now,
            effects: Effects::new(EFFECTS_COUNT_MAX),
            mirror: Mirror::new(config.packet_bytes_max, config.deliveries_count_max),
            is_paused: false,
            is_socket_closed: false,
            unwritten_bytes: 0,
            received_bytes: 0,
            attach: Attach::NotAsked,
            publishes: BTreeMap::new(),
            subscribes: Vec::new(),
            partitions: vec![Partition::default(); usize::from(config.partitions_count)],
            counts: Counts::default(),
            config,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.mirror.version()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.counts.gone > 0
    }

    /// Bytes come, at once or in two parts; none while the socket is not read.
    pub(super) fn receive(&mut self, bytes: &[u8], is_split: bool) {
        let (first, second) = bytes.split_at(if is_split { bytes.len() / 2 } else { 0 });
        for part in [first, second] {
            if part.is_empty() || self.is_paused || self.is_socket_closed {
                continue;
            }
            self.mirror.send(part);
            self.received_bytes = part.len();
            self.message(Message::Received(Bytes::copy_from_slice(part)));
        }
    }

    pub(super) fn attached(&mut self, session_present: bool) {
        if self.attach == Attach::Asked {
            self.attach = Attach::Answered;
            self.message(Message::Attached { session_present });
        }
    }

    /// One batch, the first or a later one, is accepted or refused.
    pub(super) fn answer_publish(&mut self, choices: &mut Choices<'_>) {
        let index = choices.below(self.publishes.len().clamp(1, 256));
        let Some(token) = self.publishes.keys().copied().nth(index) else { return };
        self.publishes.remove(&token);
        self.message(match choices.byte() % 8 {
            0 => Message::Refused { token, refusal: Refusal::QuotaExceeded },
            1 => Message::Refused { token, refusal: Refusal::TooLarge },
            _ => Message::Accepted { token },
        });
    }

    /// Partitions answer one request: one of them, or all.
    pub(super) fn answer_subscribe(&mut self, choices: &mut Choices<'_>) {
        if self.subscribes.is_empty() {
            return;
        }
        let index = choices.below(self.subscribes.len());
        let (answers, is_well) = (choices.pick(&[u16::MAX, 1]), !choices.flag());
        self.answer_request(index, answers, is_well);
    }

    fn answer_request(&mut self, index: usize, answers: u16, is_well: bool) {
        let Asked { token, mut partitions, filters_count, is_subscribe } = self.subscribes.remove(index);
        for _ in 0..answers {
            let Some(partition) = partitions.pop() else { break };
            self.message(if is_subscribe {
                let result = if is_well { SubscribeResult::Granted } else { SubscribeResult::QuotaExceeded };
                Message::Subscribed { partition, token, results: vec![result; filters_count] }
            } else {
                Message::Unsubscribed { partition, token, existed: vec![is_well; filters_count] }
            });
        }
        if !partitions.is_empty() {
            self.subscribes.insert(0, Asked { token, partitions, filters_count, is_subscribe });
        }
    }

    /// A partition delivers, as far as its credit goes.
    pub(super) fn deliver(
        &mut self,
        choices: &mut Choices<'_>,
        qos: QoS,
        count: usize,
        payload_bytes: usize,
        message_expiry_s: Option<u32>,
    ) {
        let index = choices.below(self.partitions.len());
        let publication = publication(self.now, payload_bytes, message_expiry_s);
        let partition = &mut self.partitions[index];
        let mut deliveries = Vec::new();
        while deliveries.len() < count && partition.credit.allows_one() {
            partition.credit.spend(publication.size_bytes() as u64);
            partition.unsettled.insert(partition.next_number);
            deliveries.push(Delivery {
                number: DeliveryNumber(partition.next_number),
                offset: None,
                publication: publication.clone(),
                qos,
                retain: count % 2 == 1,
                subscription_identifiers: if count > 30 { Box::from([7, 268_435_455]) } else { Box::default() },
            });
            partition.next_number += 1;
        }
        if !deliveries.is_empty() {
            let partition = PartitionIndex(u16::try_from(index).expect("few"));
            self.message(Message::Deliver { partition, deliveries });
        }
    }

    /// The socket takes a part of what was written, or all.
    pub(super) fn written(&mut self, choices: &mut Choices<'_>) {
        let bytes = choices.pick(&[usize::MAX, 1, 50, 1_000]).min(self.unwritten_bytes);
        self.unwritten_bytes -= bytes;
        if bytes > 0 && !self.is_socket_closed {
            self.message(Message::Written { bytes });
        }
    }

    /// The client acknowledges one delivery, or as many as are in flight.
    pub(super) fn acknowledge(&mut self, choices: &mut Choices<'_>) {
        let (index, is_all) = (usize::from(choices.byte()), choices.flag());
        for _ in 0..if is_all { self.mirror.in_flight_count() } else { 1 } {
            let Some(identifier) = self.mirror.in_flight(index) else { break };
            self.receive(&client::packet(0x40, &identifier.to_be_bytes()), false);
        }
    }

    /// The socket takes all that is written, until nothing more comes.
    pub(super) fn drain(&mut self) {
        while self.unwritten_bytes > 0 && !self.is_socket_closed {
            let bytes = std::mem::take(&mut self.unwritten_bytes);
            self.message(Message::Written { bytes });
        }
    }

    /// Time passes; every step is taken when it is due.
    pub(super) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.connection.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now, &mut self.effects);
            self.settle_down();
        }
        self.now = end;
    }

    pub(super) fn take_over(&mut self) {
        if self.attach == Attach::Answered {
            self.message(Message::TakenOver);
        }
    }

    pub(super) fn stop(&mut self) {
        self.message(Message::Stop);
    }

    pub(super) fn close(&mut self) {
        if !self.is_socket_closed {
            self.is_socket_closed = true;
            self.unwritten_bytes = 0;
            self.message(Message::SocketClosed);
        }
    }

    /// The socket closes, and all that is owed is answered: it ends, once, and says nothing afterwards.
    pub(super) fn end(mut self) {
        let was_closed_by_it = self.counts.closes > 0;
        self.close();
        for _ in 0..STEPS_AT_ONCE_MAX {
            if self.is_gone() {
                break;
            }
            self.attached(false);
            while let Some((token, _)) = self.publishes.pop_first() {
                self.message(Message::Accepted { token });
            }
            while !self.subscribes.is_empty() {
                self.answer_request(0, u16::MAX, true);
            }
            if let Some(due) = self.connection.poll_timeout() {
                self.advance(due - self.now);
            }
        }
        let Counts { closes, detaches, ends, gone } = self.counts;
        assert_eq!((ends, gone), (1, 1), "it ends");
        assert_eq!(detaches, u32::from(self.attach != Attach::NotAsked), "whoever attached detaches");
        assert!(closes <= 1);
        assert!(self.mirror.is_between_packets() || !was_closed_by_it, "what it wrote before its end is whole");
        assert_eq!(self.connection.buffered_bytes(), 0, "it holds nothing");
        assert_eq!(self.connection.poll_timeout(), None, "nothing is due");
        self.attached(true);
        for token in std::mem::take(&mut self.publishes).into_keys() {
            self.message(Message::Accepted { token });
        }
        while !self.subscribes.is_empty() {
            self.answer_request(0, u16::MAX, false);
        }
        self.stop();
    }

    fn message(&mut self, message: Message) {
        self.connection.handle(message, self.now, &mut self.effects);
        self.settle_down();
    }

    /// Takes the effects, and the steps that are due at once.
    fn settle_down(&mut self) {
        self.observe();
        let mut steps = 0;
        while self.connection.poll_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.effects);
            self.observe();
            steps += 1;
            assert!(steps < STEPS_AT_ONCE_MAX, "steps that are due at once come to an end");
        }
        self.check_bounds();
    }

    fn observe(&mut self) {
        while let Some(effect) = self.effects.pop() {
            assert!(!self.is_gone(), "Gone is the last effect, not {effect:?}");
            self.take(effect);
        }
        self.effects.drain_observations();
    }

    fn take(&mut self, effect: Effect) {
        let is_socket = matches!(effect, Effect::Write(_) | Effect::PauseReading | Effect::ResumeReading);
        assert!(!is_socket || self.counts.closes == 0, "after Close the socket is left alone");
        assert!(!is_socket || !self.is_socket_closed, "a closed socket is left alone");
        match effect {
            Effect::Write(bytes) => {
                assert!(!bytes.is_empty());
                self.unwritten_bytes += bytes.len();
                self.mirror.write(&bytes);
            }
            Effect::PauseReading => assert!(!std::mem::replace(&mut self.is_paused, true), "paused twice"),
            Effect::ResumeReading => assert!(std::mem::replace(&mut self.is_paused, false), "resumed twice"),
            Effect::Close => self.counts.closes += 1,
            Effect::Attach { partition, client_identifier } => {
                assert_eq!(self.attach, Attach::NotAsked);
                assert_eq!(partition, partition_of(client_identifier.as_bytes(), self.config.partitions_count));
                self.attach = Attach::Asked;
            }
            Effect::Publish { partition, token, publications } => self.take_batch(partition, token, &publications),
            Effect::Subscribe { token, subscriptions } => self.ask(token, subscriptions.len(), true),
            Effect::Unsubscribe { token, topic_filters } => self.ask(token, topic_filters.len(), false),
            Effect::Credit { partition, credit: more } => {
                let credit = &mut self.partitions[usize::from(partition.0)].credit;
                credit.count += more.count;
                credit.bytes += more.bytes;
            }
            Effect::DeliveriesSettled { partition, numbers, outcome: _ } => {
                let unsettled = &mut self.partitions[usize::from(partition.0)].unsettled;
                assert!(numbers.windows(2).all(|pair| pair[0].end < pair[1].start), "ascending: {numbers:?}");
                for number in numbers.iter().flat_map(|range| range.start.0..range.end.0) {
                    assert!(unsettled.remove(&number), "{number} is settled once");
                }
            }
            Effect::Detach => self.counts.detaches += 1,
            Effect::Ended(_) => self.counts.ends += 1,
            Effect::Gone => self.counts.gone += 1,
        }
    }

    fn take_batch(&mut self, partition: PartitionIndex, token: PublishToken, publications: &[Publication]) {
        assert!(!publications.is_empty());
        for publication in publications {
            assert_eq!(partition, partition_of(publication.topic_name(), self.config.partitions_count));
        }
        let bytes = publications.iter().map(Publication::size_bytes).sum();
        let before = self.publishes.insert(token, (publications.len(), bytes));
        assert_eq!(before, None, "{token:?} names one batch");
    }

    fn ask(&mut self, token: SubscribeToken, filters_count: usize, is_subscribe: bool) {
        assert!(filters_count > 0);
        assert!(self.subscribes.iter().all(|asked| asked.token != token), "{token:?} names one request");
        let partitions = (0..self.config.partitions_count).map(PartitionIndex).collect();
        self.subscribes.push(Asked { token, partitions, filters_count, is_subscribe });
    }

    fn check_bounds(&self) {
        let config = &self.config;
        let (packet_bytes, partitions_count) = (config.packet_bytes_max as usize, u32::from(config.partitions_count));
        // The Will Message comes on top of each.
        let count: usize = self.publishes.values().map(|(count, _)| count).sum();
        assert!(count <= config.publishes_count_max as usize + 1, "{count} publications under way");
        let bytes: usize = self.publishes.values().map(|(_, bytes)| bytes).sum();
        let last_bytes = 2 * (RECORD_PREFIX_BYTES + 2 * packet_bytes);
        assert!(bytes as u64 <= config.publishes_bytes_max + last_bytes as u64, "{bytes} bytes of publications");
        for partition in &self.partitions {
            let under_way = partition.credit.count as usize + partition.unsettled.len();
            let share = (config.deliveries_count_max / partitions_count).max(1) as usize;
            assert!(under_way <= share || self.counts.closes > 0, "{under_way} of {share} deliveries under way");
        }
        let owed_bytes = 5 * usize::from(config.receive_maximum) + ANSWERS_PENDING_MAX * packet_bytes;
        let output_bytes = 2 * config.output_bytes_max + owed_bytes + 21_000;
        assert!(self.unwritten_bytes <= output_bytes, "{} bytes wait for the socket", self.unwritten_bytes);
        let held_bytes = self.connection.buffered_bytes();
        assert!(held_bytes >= self.unwritten_bytes);
        let input_bytes = held_bytes - self.unwritten_bytes;
        assert!(
            input_bytes <= UNREAD_BYTES_MAX + self.received_bytes + packet_bytes,
            "{input_bytes} bytes wait to be read"
        );
    }
}

fn publication(now: Instant, payload_bytes: usize, message_expiry_s: Option<u32>) -> Publication {
    let draft = PublicationDraft {
        topic_name: "a/b",
        properties: &[0x26, 0, 1, b'k', 0, 1, b'v'],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
        received_at: now,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(1_024);
    let mut builder = arena.begin(&draft);
    builder.put(&vec![7; payload_bytes]);
    builder.finish(1)
}
