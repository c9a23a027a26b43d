//! `QoS` 2 both ways (MQTT 5.0 §4.3.3, §3.5 to §3.7).

use contract::{DeliveryNumber, DeliveryOutcome, PartitionIndex, QoS, Refusal, WillFate, partition_of};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, SESSION, acknowledgement, delivery, detach, publish, published, record, written};

const P0: PartitionIndex = PartitionIndex(0);

fn pubrel(packet_identifier: u16) -> Vec<u8> {
    acknowledgement(0x62, packet_identifier)
}

fn pubrec(packet_identifier: u16) -> Vec<u8> {
    acknowledgement(0x50, packet_identifier)
}

fn pubcomp(packet_identifier: u16) -> Vec<u8> {
    acknowledgement(0x70, packet_identifier)
}

fn subscriber(version: u8, config: ConnectionConfig) -> Harness {
    let mut harness = if version == 5 { Harness::connected_v5(config) } else { Harness::connected_v311(config) };
    harness.subscribe("#", 2, version, 1);
    harness.message(Message::Written { bytes: 1_000_000 });
    harness
}

fn deliver(harness: &mut Harness, numbers: std::ops::Range<u64>, qos: QoS) -> Vec<Effect> {
    let publication = record("a", &[], b"x", None);
    let deliveries = numbers.map(|number| delivery(number, qos, &publication)).collect();
    harness.message(Message::Deliver { partition: P0, deliveries })
}

fn settled(number: u64) -> Effect {
    let numbers = vec![DeliveryNumber(number)..DeliveryNumber(number + 1)];
    Effect::DeliveriesSettled { partition: P0, session: SESSION, numbers, outcome: DeliveryOutcome::Delivered }
}

#[test]
fn a_publication_is_handed_on_once_and_released_once() {
    // MQTT-4.3.3-8 to MQTT-4.3.3-12.
    for (version, unknown) in [(5, vec![0x70, 3, 0, 9, 0x92]), (4, vec![0x70, 2, 0, 9])] {
        let config = ConnectionConfig::default();
        let mut harness = if version == 5 { Harness::connected_v5(config) } else { Harness::connected_v311(config) };
        let effects = harness.receive(&publish(version, 2, 9, "a", &[], b"1"));
        let batches = published(&effects);
        assert_eq!((effects.len(), batches[0].2[0].qos()), (1, QoS::ExactlyOnce), "no PUBREC before it is accepted");
        let again = publish(version, 2, 9, "a", &[], b"1");
        assert_eq!(harness.receive(&again), [], "it waits for its partition");
        let pubrec = [Effect::Write(vec![0x50, 2, 0, 9].into())];
        assert_eq!(harness.message(Message::Accepted { token: batches[0].1 }), pubrec);
        assert_eq!(harness.receive(&again), pubrec, "PUBREC again, and no publication");
        assert_eq!(harness.receive(&again), pubrec);
        assert_eq!(written(&harness.receive(&pubrel(9))), [0x70, 2, 0, 9]);
        assert_eq!(written(&harness.receive(&pubrel(9))), unknown, "MQTT 5.0 §3.7.2.1");
        assert_eq!(published(&harness.receive(&again)).len(), 1, "the identifier is free, and this is another one");
    }
}

#[test]
fn pubacks_and_pubrecs_leave_in_the_order_of_receipt() {
    // MQTT-4.6.0-2, MQTT-4.6.0-3.
    let mut harness = Harness::connected_v5(ConnectionConfig { partitions_count: 2, ..ConnectionConfig::default() });
    let other = ["b", "c", "d", "e", "f"].into_iter().find(|t| partition_of(t.as_bytes(), 2) != partition_of(b"a", 2));
    let first = published(&harness.receive(&publish(5, 2, 1, "a", &[], b"1")))[0].1;
    let second = published(&harness.receive(&publish(5, 1, 2, other.unwrap(), &[], b"2")))[0].1;
    assert_eq!(harness.message(Message::Accepted { token: second }), []);
    assert_eq!(written(&harness.message(Message::Accepted { token: first })), [0x50, 2, 0, 1, 0x40, 2, 0, 2]);
}

#[test]
fn a_refused_publication_ends_its_exchange() {
    // MQTT 5.0 §4.3.3: a PUBREC of 0x80 or more frees the Packet Identifier.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(5, 2, 9, "a", &[], b"1")))[0].1;
    let effects = harness.message(Message::Refused { token, refusal: Refusal::QuotaExceeded });
    assert_eq!(written(&effects), [0x50, 3, 0, 9, 0x97]);
    assert_eq!(published(&harness.receive(&publish(5, 2, 9, "a", &[], b"1"))).len(), 1);
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(4, 2, 9, "a", &[], b"1")))[0].1;
    let effects = harness.message(Message::Refused { token, refusal: Refusal::QuotaExceeded });
    assert_eq!(effects, [Effect::Close, detach(WillFate::Publish)]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::PublicationRefused), Effect::Gone]);
}

#[test]
fn receive_maximum_counts_until_pubcomp() {
    // MQTT-3.3.4-7; MQTT 5.0 §4.9.
    let config = || ConnectionConfig { receive_maximum: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config());
    let bytes = [publish(5, 2, 1, "a", &[], b"1"), publish(5, 2, 2, "a", &[], b"2")].concat();
    let token = published(&harness.receive(&bytes))[0].1;
    harness.message(Message::Accepted { token });
    harness.receive(&pubrel(1));
    assert_eq!(published(&harness.receive(&publish(5, 2, 3, "a", &[], b"3"))).len(), 1);
    assert_eq!(harness.receive(&publish(5, 2, 3, "a", &[], b"3")), [], "the same one is not one more");
    let effects = harness.receive(&publish(5, 1, 4, "a", &[], b"4"));
    assert_eq!(written(&effects), [0xe0, 0x01, 0x93], "2 has no PUBCOMP");
    // A 3.1.1 client may send its PUBRELs behind many PUBLISHes.
    let mut harness = Harness::connected_v311(config());
    let mut token = published(&harness.receive(&bytes_v311(1..6))).first().map(|batch| batch.1);
    let mut answers = Vec::new();
    while let Some(accepted) = token.take() {
        let effects = harness.message(Message::Accepted { token: accepted });
        answers.extend(written(&effects));
        token = published(&effects).first().map(|batch| batch.1);
    }
    assert_eq!(answers.len(), 5 * 4, "all five are accepted, none is released");
}

fn bytes_v311(identifiers: std::ops::Range<u16>) -> Vec<u8> {
    identifiers.flat_map(|identifier| publish(4, 2, identifier, "a", &[], b"1")).collect()
}

#[test]
fn a_delivery_settles_at_pubrec_and_frees_its_place_at_pubcomp() {
    // MQTT-4.3.3-1 to MQTT-4.3.3-7, MQTT-3.3.4-9.
    for version in [4, 5] {
        let config = ConnectionConfig { deliveries_count_max: 2, ..ConnectionConfig::default() };
        let mut harness = subscriber(version, config);
        let effects = deliver(&mut harness, 0..1, QoS::ExactlyOnce);
        let expected: &[u8] =
            if version == 5 { b"\x34\x07\x00\x01a\x00\x01\x00x" } else { b"\x34\x06\x00\x01a\x00\x01x" };
        assert_eq!(effects, [Effect::Write(expected.to_vec().into())]);
        let effects = harness.receive(&pubrec(1));
        assert_eq!(effects[0], settled(0));
        assert_eq!(written(&effects), [0x62, 2, 0, 1]);
        assert_eq!(harness.receive(&pubrec(1)), [Effect::Write(vec![0x62, 2, 0, 1].into())], "PUBREL again");
        assert_eq!(written(&deliver(&mut harness, 1..3, QoS::AtLeastOnce)).len(), expected.len(), "one of two");
        let effects = harness.receive(&pubcomp(1));
        assert_eq!(written(&effects).len(), expected.len(), "the other");
        assert_eq!(harness.receive(&pubcomp(1)), [], "an unknown one is left alone");
    }
}

#[test]
fn a_pubrec_that_failed_ends_its_exchange() {
    // MQTT 5.0 §4.3.3, §3.5.2.1.
    let mut harness = subscriber(5, ConnectionConfig::default());
    deliver(&mut harness, 0..1, QoS::ExactlyOnce);
    assert_eq!(harness.receive(&[0x50, 3, 0, 1, 0x83]), [settled(0)], "no PUBREL");
    assert_eq!(written(&harness.receive(&pubrec(1))), [0x62, 3, 0, 1, 0x92], "nothing has that identifier");
}

#[test]
fn packets_of_another_exchange_are_protocol_errors() {
    let ended = |qos, bytes: &[u8]| {
        let mut harness = subscriber(5, ConnectionConfig::default());
        deliver(&mut harness, 0..1, qos);
        written(&harness.receive(bytes)) == [0xe0, 0x01, 0x82]
    };
    assert!(ended(QoS::ExactlyOnce, &acknowledgement(0x40, 1)), "PUBACK of QoS 2");
    assert!(ended(QoS::AtLeastOnce, &pubrec(1)), "PUBREC of QoS 1");
    assert!(ended(QoS::ExactlyOnce, &pubcomp(1)), "PUBCOMP before PUBREC");
    assert!(!ended(QoS::ExactlyOnce, &pubrec(1)));
}
