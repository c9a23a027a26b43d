//! A session over many connections, cut at any packet: nothing is lost, and `QoS` 2 comes once (MQTT 5.0 §4.3, §4.4, §4.6).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::{Credit, Delivery, PartitionIndex, PublishToken, QoS, SessionState};
use mqtt_connection::{ConnectionConfig, Effect, Message};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    Harness, acknowledgement, attached, attached_with, connect_v5, delivery, publish, record, subscribe,
};

const PARTITIONS_COUNT: u16 = 2;

#[derive(Clone, Debug)]
enum Step {
    /// A partition delivers so many.
    Deliver { partition: u16, count: u64, qos_2: bool },
    /// So many acknowledgements of the client arrive.
    Acknowledge(usize),
    /// The client publishes at `QoS` 2.
    Publish,
    /// A partition accepts the oldest batch.
    Accept,
    /// The client reads nothing more: what is written is lost.
    Deaf,
    /// The connection is cut, and another one takes its Receive Maximum; batches that wait are accepted or taken out.
    Cut { receive_maximum: u16, accept: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deliver = (0..PARTITIONS_COUNT, 1_u64..4, any::<bool>()).prop_map(|(partition, count, qos_2)| Step::Deliver {
        partition,
        count,
        qos_2,
    });
    let acknowledge = (1_usize..6).prop_map(Step::Acknowledge);
    let cut = (1_u16..6, any::<bool>()).prop_map(|(receive_maximum, accept)| Step::Cut { receive_maximum, accept });
    vec(
        prop_oneof![3 => deliver, 4 => acknowledge, 2 => Just(Step::Publish), 2 => Just(Step::Accept), 1 => Just(Step::Deaf), 1 => cut],
        1..120,
    )
}

/// The home and its partitions, and a client that keeps to the standard.
struct World {
    harness: Harness,
    credits: Vec<Credit>,
    sent_counts: Vec<u64>,
    unsettled: BTreeSet<(u16, u64)>,
    /// Batches that no partition answered, and what is in them.
    batches: VecDeque<(PublishToken, Vec<u64>)>,
    accepted: Vec<u64>,
    state: Option<Box<SessionState>>,
    /// What the client got, by partition, and the `QoS` 2 identifiers that it has not been told to release.
    got: Vec<Vec<u64>>,
    unreleased: BTreeSet<u16>,
    acknowledgements: VecDeque<Vec<u8>>,
    is_deaf: bool,
    /// The client's own publications: what is in them, and whether PUBREC came.
    publishing: BTreeMap<u16, (u64, bool)>,
    published_count: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            harness: Harness::new(config()),
            credits: vec![Credit::default(); usize::from(PARTITIONS_COUNT)],
            sent_counts: vec![0; usize::from(PARTITIONS_COUNT)],
            unsettled: BTreeSet::new(),
            batches: VecDeque::new(),
            accepted: Vec::new(),
            state: None,
            got: vec![Vec::new(); usize::from(PARTITIONS_COUNT)],
            unreleased: BTreeSet::new(),
            acknowledgements: VecDeque::new(),
            is_deaf: false,
            publishing: BTreeMap::new(),
            published_count: 0,
        };
        world.connect(5);
        world.receive(&subscribe(5, 1, &[("#", 2)]));
        world
    }

    fn connect(&mut self, receive_maximum: u16) {
        self.harness = Harness::new(config());
        let [high, low] = receive_maximum.to_be_bytes();
        self.receive(&connect_v5("c", 10, &[0x11, 0, 0, 0, 60, 0x21, high, low]));
        let state = self.state.take();
        self.message(state.map_or_else(attached, |state| attached_with(*state)));
        // What was not answered is sent again, in its order (MQTT-4.4.0-1).
        for (identifier, (payload, is_received)) in self.publishing.clone() {
            if is_received {
                self.receive(&acknowledgement(0x62, identifier));
            } else {
                self.receive(&publish(5, 2, identifier, "t", &[], &payload.to_be_bytes()));
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let effects = self.harness.receive(bytes);
        self.note(effects);
    }

    fn message(&mut self, message: Message) {
        let effects = self.harness.message(message);
        self.note(effects);
    }

    fn note(&mut self, effects: Vec<Effect>) {
        let mut written = 0;
        for effect in effects {
            match effect {
                Effect::Write(bytes) => {
                    written += bytes.len();
                    if !self.is_deaf {
                        self.read(&bytes);
                    }
                }
                Effect::Publish { token, publications, .. } => {
                    let number = |payload: &[u8]| u64::from_be_bytes(payload.try_into().expect("eight bytes"));
                    self.batches.push_back((token, publications.iter().map(|each| number(each.payload())).collect()));
                }
                Effect::SubscriberCredit { partition, credit, .. } => {
                    let credit_of = &mut self.credits[usize::from(partition.0)];
                    credit_of.count += credit.count;
                    credit_of.bytes += credit.bytes;
                }
                Effect::DeliveriesSettled { partition, numbers, .. } => {
                    for number in numbers.iter().flat_map(|range| range.start.0..range.end.0) {
                        assert!(self.unsettled.remove(&(partition.0, number)), "settled once");
                    }
                }
                Effect::Park { state, .. } => self.state = Some(state),
                Effect::Subscribe { .. }
                | Effect::Attach { .. }
                | Effect::Resume { .. }
                | Effect::Suspend { .. }
                | Effect::Ended(_)
                | Effect::Gone => {}
                Effect::PauseReading
                | Effect::ResumeReading
                | Effect::Close
                | Effect::Authenticate { .. }
                | Effect::Unsubscribe { .. }
                | Effect::Detach { .. } => panic!("{effect:?}"),
            }
        }
        if written > 0 {
            self.message(Message::Written { bytes: written });
        }
    }

    /// The client reads; packets are short and whole.
    fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let [first_byte, length, tail @ ..] = rest {
            let (packet, after) = tail.split_at(usize::from(*length));
            let identifier = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            match first_byte >> 4 {
                3 => self.take(first_byte >> 1 & 0b11 == 2, identifier(3), &packet[6..]),
                5 => {
                    self.publishing.get_mut(&identifier(0)).expect("under way").1 = true;
                    self.acknowledgements.push_back(acknowledgement(0x62, identifier(0)));
                }
                6 => {
                    self.unreleased.remove(&identifier(0));
                    self.acknowledgements.push_back(acknowledgement(0x70, identifier(0)));
                }
                7 => {
                    self.publishing.remove(&identifier(0));
                }
                _ => {}
            }
            rest = after;
        }
    }

    fn take(&mut self, is_qos_2: bool, identifier: u16, payload: &[u8]) {
        let partition = usize::from(payload[0]);
        let number = u64::from_be_bytes(payload[1..9].try_into().expect("eight bytes"));
        let answer = if is_qos_2 { 0x50 } else { 0x40 };
        self.acknowledgements.push_back(acknowledgement(answer, identifier));
        let is_new = if is_qos_2 { self.unreleased.insert(identifier) } else { !self.got[partition].contains(&number) };
        if is_new {
            self.got[partition].push(number);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Deliver { partition, count, qos_2 } => self.deliver(partition, count, qos_2),
            Step::Acknowledge(count) => {
                let count = count.min(self.acknowledgements.len());
                let bytes: Vec<u8> = self.acknowledgements.drain(..count).flatten().collect();
                if !bytes.is_empty() {
                    self.receive(&bytes);
                }
            }
            Step::Publish if self.publishing.len() < 10 => {
                let payload = self.published_count;
                self.published_count += 1;
                let identifier = u16::try_from(payload % 1_000 + 1).expect("short");
                self.publishing.insert(identifier, (payload, false));
                self.receive(&publish(5, 2, identifier, "t", &[], &payload.to_be_bytes()));
            }
            Step::Publish => {}
            Step::Accept => self.accept_oldest(),
            Step::Deaf => self.is_deaf = true,
            Step::Cut { receive_maximum, accept } => self.cut(receive_maximum, accept),
        }
    }

    fn deliver(&mut self, partition: u16, count: u64, qos_2: bool) {
        let index = usize::from(partition);
        let qos = if qos_2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        let mut deliveries: Vec<Delivery> = Vec::new();
        while (deliveries.len() as u64) < count && self.credits[index].allows_one() {
            let number = self.sent_counts[index];
            let payload = [&[u8::try_from(partition).expect("short")][..], &number.to_be_bytes()].concat();
            let publication = record("a", &[], &payload, None);
            self.credits[index].spend(publication.size_bytes() as u64);
            deliveries.push(delivery(number, qos, &publication));
            self.sent_counts[index] += 1;
            self.unsettled.insert((partition, number));
        }
        if !deliveries.is_empty() {
            self.message(Message::Deliver { partition: PartitionIndex(partition), deliveries });
        }
    }

    fn accept_oldest(&mut self) {
        if let Some((token, payloads)) = self.batches.pop_front() {
            self.accepted.extend(payloads);
            self.message(Message::Accepted { token });
        }
    }

    fn cut(&mut self, receive_maximum: u16, accept: bool) {
        self.message(Message::SocketClosed);
        // What the client had written is lost with the socket.
        self.acknowledgements.clear();
        self.is_deaf = false;
        while accept && !self.batches.is_empty() {
            self.accept_oldest();
        }
        self.batches.clear();
        for partition in (0..PARTITIONS_COUNT).map(PartitionIndex) {
            self.message(Message::Suspended { partition });
        }
        assert!(self.state.is_some(), "it is parked once all have answered");
        self.connect(receive_maximum);
    }
}

fn config() -> ConnectionConfig {
    ConnectionConfig { partitions_count: PARTITIONS_COUNT, deliveries_count_max: 16, ..ConnectionConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_session_loses_nothing_and_doubles_no_qos_2(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Cut { receive_maximum: 5, accept: true });
        for _ in 0..1_000 {
            world.step(&Step::Accept);
            world.step(&Step::Acknowledge(5));
        }
        prop_assert!(world.unsettled.is_empty(), "unsettled: {:?}", world.unsettled);
        prop_assert!(world.unreleased.is_empty() && world.publishing.is_empty());
        for (got, sent_count) in world.got.iter().zip(&world.sent_counts) {
            // Each once and in order: MQTT-4.6.0-1 holds over connections, and QoS 1 was counted at its first receipt.
            let expected: Vec<u64> = (0..*sent_count).collect();
            prop_assert_eq!(got, &expected);
        }
        let mut accepted = world.accepted.clone();
        accepted.sort_unstable();
        prop_assert_eq!(accepted, (0..world.published_count).collect::<Vec<u64>>());
    }
}
