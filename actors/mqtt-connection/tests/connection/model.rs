//! The connection against references of ten lines, under generated steps, and under input that nobody meant.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use contract::{Credit, Delivery, PartitionIndex, Publication, PublishToken, QoS, Refusal, SubscribeResult};
use mqtt_connection::{ConnectionConfig, Effect, Message};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    Harness, attached, connect_v5, delivery, puback, publish, published, record, subscribe, subscribe_token, written,
};

const PARTITIONS_COUNT: u16 = 3;

fn config() -> ConnectionConfig {
    ConnectionConfig {
        partitions_count: PARTITIONS_COUNT,
        receive_maximum: 200,
        deliveries_count_max: 30,
        deliveries_bytes_max: 3_000,
        output_bytes_max: 400,
        publishes_count_max: 20,
        ..ConnectionConfig::default()
    }
}

/// What the PUBACKs of a connection must be: those of the oldest publications, as far as they are answered.
#[derive(Default)]
struct PubackReference {
    owed: VecDeque<(u16, PublishToken)>,
    answers: BTreeMap<PublishToken, u8>,
}

impl PubackReference {
    fn pubacks(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((id, reason)) = self.owed.front().and_then(|(id, token)| Some((*id, *self.answers.get(token)?)))
        {
            self.owed.pop_front();
            let [high, low] = id.to_be_bytes();
            if reason == 0 { bytes.extend([0x40, 2, high, low]) } else { bytes.extend([0x40, 3, high, low, reason]) }
        }
        bytes
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(u8, bool)>),
    Answer { index: prop::sample::Index, refuse: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let publish = vec((0_u8..6, any::<bool>()), 1..8).prop_map(Step::Publish);
    let answer = (any::<prop::sample::Index>(), prop::bool::weighted(0.2))
        .prop_map(|(index, refuse)| Step::Answer { index, refuse });
    vec(prop_oneof![publish, answer.clone(), answer], 1..60)
}

/// A client that acknowledges when it is asked to, and partitions that keep to their credit.
struct SubscriberReference {
    publication: Publication,
    receive_maximum: u16,
    credits: Vec<Credit>,
    numbers: Vec<u64>,
    unsettled: Vec<Vec<u64>>,
    in_flight: VecDeque<u16>,
}

impl SubscriberReference {
    fn new(receive_maximum: u16) -> Self {
        let count = usize::from(PARTITIONS_COUNT);
        Self {
            publication: record("a", &[], &[7; 20], None),
            receive_maximum,
            credits: vec![Credit::default(); count],
            numbers: vec![0; count],
            unsettled: vec![Vec::new(); count],
            in_flight: VecDeque::new(),
        }
    }

    /// As many as wanted, and as the credit allows.
    fn deliveries(&mut self, index: usize, count: u64, is_qos_1: bool) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while (deliveries.len() as u64) < count && self.credits[index].allows_one() {
            self.credits[index].spend(self.publication.size_bytes() as u64);
            let qos = if is_qos_1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            deliveries.push(delivery(self.numbers[index], qos, &self.publication));
            self.unsettled[index].push(self.numbers[index]);
            self.numbers[index] += 1;
        }
        deliveries
    }

    /// The socket takes all that is written, until nothing more comes.
    fn drain(&mut self, harness: &mut Harness, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            self.note(&effects);
            let bytes = written(&effects).len();
            assert!(bytes <= 400 + 30, "one packet may pass the limit");
            effects = harness.message(Message::Written { bytes });
        }
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::SubscriberCredit { partition, credit, .. } = effect {
                let credit_of = &mut self.credits[usize::from(partition.0)];
                credit_of.count += credit.count;
                credit_of.bytes += credit.bytes;
            } else if let Effect::DeliveriesSettled { partition, numbers, .. } = effect {
                let known = &mut self.unsettled[usize::from(partition.0)];
                for number in numbers.iter().flat_map(|range| range.start.0..range.end.0) {
                    let at = known.iter().position(|each| *each == number).expect("settled once");
                    known.remove(at);
                }
            }
        }
        let bytes = written(effects);
        let mut rest = &bytes[..];
        while let [first_byte, length, tail @ ..] = rest {
            if *first_byte == 0x32 {
                self.in_flight.push_back(u16::from_be_bytes([tail[3], tail[4]]));
            }
            rest = &tail[usize::from(*length)..];
        }
        assert!(self.in_flight.len() <= usize::from(self.receive_maximum));
        for (credit, unsettled) in self.credits.iter().zip(&self.unsettled) {
            assert!(credit.count as usize + unsettled.len() <= 10, "a third of 30");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pubacks_are_those_of_the_reference(steps in steps()) {
        let mut harness = Harness::connected_v5(config());
        let mut reference = PubackReference::default();
        let mut next_id = 1_u16;
        let mut sent: VecDeque<Vec<u8>> = VecDeque::new();
        let mut unanswered: Vec<PublishToken> = Vec::new();
        let mut received: Vec<Vec<u8>> = Vec::new();
        for step in steps {
            let (effects, expected) = match step {
                Step::Publish(_) if reference.owed.len() + sent.len() > 150 => continue,
                Step::Publish(publications) => {
                    let mut bytes = Vec::new();
                    for (topic, is_qos_1) in publications {
                        let payload = [&[u8::from(is_qos_1)][..], &next_id.to_be_bytes()].concat();
                        sent.push_back(payload.clone());
                        bytes.extend(publish(5, is_qos_1.into(), next_id, &format!("t/{topic}"), &[], &payload));
                        next_id += 1;
                    }
                    (harness.receive(&bytes), Vec::new())
                }
                Step::Answer { index, refuse } => {
                    if unanswered.is_empty() {
                        continue;
                    }
                    let token = unanswered.remove(index.index(unanswered.len()));
                    reference.answers.insert(token, if refuse { 0x97 } else { 0 });
                    let message = if refuse {
                        Message::Refused { token, refusal: Refusal::QuotaExceeded }
                    } else {
                        Message::Accepted { token }
                    };
                    let expected = reference.pubacks();
                    (harness.message(message), expected)
                }
            };
            prop_assert_eq!(written(&effects), expected);
            harness.message(Message::Written { bytes: written(&effects).len() });
            // Payloads name their publication: within a step batches are by partition, over steps all are in order.
            let mut taken: Vec<(Vec<u8>, PublishToken)> = Vec::new();
            for (_, token, publications) in published(&effects) {
                unanswered.push(token);
                taken.extend(publications.iter().map(|each| (each.payload().to_vec(), token)));
            }
            taken.sort_by(|a, b| a.0[1..].cmp(&b.0[1..]));
            for (payload, token) in taken {
                prop_assert_eq!(sent.pop_front(), Some(payload.clone()));
                if payload[0] == 1 {
                    reference.owed.push_back((u16::from_be_bytes([payload[1], payload[2]]), token));
                }
                received.push(payload);
            }
            prop_assert!(!effects.contains(&Effect::Close));
        }
    }

    #[test]
    fn deliveries_stay_within_every_window_and_settle_once(
        receive_maximum in 1_u16..8,
        steps in vec((any::<bool>(), 0_u16..PARTITIONS_COUNT, 1_u64..5, any::<bool>()), 1..80),
    ) {
        let mut harness = Harness::new(config());
        let [high, low] = receive_maximum.to_be_bytes();
        harness.receive(&connect_v5("c", 10, &[0x21, high, low]));
        harness.message(attached());
        let mut subscriber = SubscriberReference::new(receive_maximum);
        let effects = harness.subscribe("#", 1, 5, PARTITIONS_COUNT);
        subscriber.note(&effects);
        harness.message(Message::Written { bytes: 1_000 });
        for (is_delivery, partition, count, is_qos_1) in steps {
            let effects = if is_delivery {
                let deliveries = subscriber.deliveries(usize::from(partition), count, is_qos_1);
                if deliveries.is_empty() {
                    continue;
                }
                harness.message(Message::Deliver { partition: PartitionIndex(partition), deliveries })
            } else if let Some(id) = subscriber.in_flight.pop_front() {
                harness.receive(&puback(id))
            } else {
                continue;
            };
            subscriber.drain(&mut harness, effects);
        }
        while let Some(id) = subscriber.in_flight.pop_front() {
            let effects = harness.receive(&puback(id));
            subscriber.drain(&mut harness, effects);
        }
        prop_assert_eq!(subscriber.unsettled.concat(), Vec::<u64>::new(), "all is settled once all is acknowledged");
    }

    #[test]
    fn whatever_comes_the_end_comes_once(
        is_v5 in any::<bool>(),
        inputs in vec((0_u8..12, vec(any::<u8>(), 1..40), any::<prop::sample::Index>()), 1..60),
    ) {
        let mut harness = if is_v5 { Harness::connected_v5(config()) } else { Harness::connected_v311(config()) };
        let version = if is_v5 { 5 } else { 4 };
        let mut tokens: Vec<PublishToken> = Vec::new();
        let mut subscribes = Vec::new();
        let mut credit = 0_u32;
        let mut number = 0;
        let mut unwritten = 0;
        let mut all = Vec::new();
        let mut is_closed = false;
        for (kind, bytes, index) in inputs {
            let id = u16::from(bytes[0]);
            let effects = match kind {
                _ if is_closed => break,
                0 => harness.receive(&bytes),
                1 => harness.receive(&publish(version, bytes[0] % 3, id, "a/b", &[], &bytes)),
                2 => harness.receive(&publish(version, 1, id, &format!("t/{id}"), &[], &bytes)),
                3 => harness.receive(&subscribe(version, id.max(1), &[("#", 1), ("a+", 0)])),
                4 => harness.receive(&puback(id.max(1))),
                5 => harness.receive(&[0xc0, 0x00]),
                6 if !tokens.is_empty() => {
                    let token = tokens.remove(index.index(tokens.len()));
                    harness.message(Message::Accepted { token })
                }
                7 if !tokens.is_empty() => {
                    let token = tokens.remove(index.index(tokens.len()));
                    harness.message(Message::Refused { token, refusal: Refusal::TooLarge })
                }
                8 if !subscribes.is_empty() => {
                    let (token, partition) = subscribes.remove(index.index(subscribes.len()));
                    let results = vec![SubscribeResult::Granted];
                    harness.message(Message::Subscribed { partition, token, results })
                }
                9 if credit > 0 => {
                    let publication = record("a", &[], &bytes, None);
                    let qos = if id % 2 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                    let deliveries = vec![delivery(number, qos, &publication)];
                    number += 1;
                    credit -= 1;
                    harness.message(Message::Deliver { partition: PartitionIndex(0), deliveries })
                }
                10 => harness.message(Message::Written { bytes: unwritten }),
                _ => harness.advance(Duration::from_secs(id.into())),
            };
            unwritten = if kind == 10 { 0 } else { unwritten } + written(&effects).len();
            tokens.extend(published(&effects).iter().map(|(_, token, _)| *token));
            if effects.iter().any(|effect| matches!(effect, Effect::Subscribe { .. })) {
                let token = subscribe_token(&effects);
                subscribes.extend((0..PARTITIONS_COUNT).map(|partition| (token, PartitionIndex(partition))));
            }
            for effect in &effects {
                if let Effect::SubscriberCredit { partition: PartitionIndex(0), credit: more, .. } = effect {
                    credit += more.count;
                }
            }
            is_closed = effects.contains(&Effect::Close);
            all.extend(effects);
            prop_assert!(unwritten <= 2 * 400 + 200, "{} bytes wait", unwritten);
        }
        all.extend(harness.message(Message::SocketClosed));
        for token in tokens {
            all.extend(harness.message(Message::Accepted { token }));
        }
        all.extend(harness.advance(Duration::from_secs(100)));
        let count = |wanted: &Effect| all.iter().filter(|effect| *effect == wanted).count();
        prop_assert_eq!((count(&Effect::Gone), all.iter().filter(|effect| matches!(effect, Effect::Detach { .. })).count()), (1, 1));
        prop_assert_eq!(all.last(), Some(&Effect::Gone));
        prop_assert!(count(&Effect::Close) <= 1);
    }
}
