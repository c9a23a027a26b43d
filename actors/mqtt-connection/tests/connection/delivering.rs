//! Records to the client, within every window (MQTT 5.0 §3.3, §4.9).

use std::time::Duration;

use contract::{Actor, Credit, Delivery, DeliveryNumber, DeliveryOutcome, PartitionIndex, QoS};
use mqtt_connection::{ConnectionConfig, Effect, Message};

use crate::support::{Harness, SESSION, attached, connect_v5, delivery, puback, record, written};

const P0: PartitionIndex = PartitionIndex(0);

fn deliver(harness: &mut Harness, deliveries: Vec<Delivery>) -> Vec<Effect> {
    harness.message(Message::Deliver { partition: P0, deliveries })
}

fn settled(from: u64, to: u64, outcome: DeliveryOutcome) -> Effect {
    Effect::DeliveriesSettled {
        partition: P0,
        session: SESSION,
        numbers: vec![DeliveryNumber(from)..DeliveryNumber(to)],
        outcome,
    }
}

fn subscriber(version: u8, config: ConnectionConfig) -> Harness {
    let mut harness = if version == 5 { Harness::connected_v5(config) } else { Harness::connected_v311(config) };
    let effects = harness.subscribe("#", 1, version, 1);
    harness.message(Message::Written { bytes: 1_000_000 });
    assert!(!effects.is_empty());
    harness
}

#[test]
fn a_delivery_carries_what_its_version_has() {
    let publication = record("a", b"\x26\x00\x01k\x00\x01v", b"21.5", Some(60));
    let with_identifiers = Delivery {
        retain: true,
        subscription_identifiers: vec![3, 200].into_boxed_slice(),
        ..delivery(0, QoS::AtLeastOnce, &publication)
    };
    let mut harness = subscriber(5, ConnectionConfig::default());
    harness.advance(Duration::from_millis(1_500));
    let effects = deliver(&mut harness, vec![with_identifiers.clone()]);
    let expected = b"\x33\x1b\x00\x01a\x00\x01\x11\x26\x00\x01k\x00\x01v\x02\x00\x00\x00\x3b\x0b\x03\x0b\xc8\x0121.5";
    assert_eq!(written(&effects), expected);
    assert_eq!(effects.len(), 1, "QoS 1 is settled by PUBACK");
    assert_eq!(harness.receive(&puback(1)), [settled(0, 1, DeliveryOutcome::Delivered)]);
    assert_eq!(harness.receive(&puback(1)), [], "an unknown Packet Identifier is left alone");

    let mut harness = subscriber(4, ConnectionConfig::default());
    let effects = deliver(&mut harness, vec![with_identifiers]);
    assert_eq!(written(&effects), b"\x33\x09\x00\x01a\x00\x0121.5");
}

#[test]
fn deliveries_of_one_step_share_a_write_and_a_settlement() {
    let mut harness = subscriber(4, ConnectionConfig::default());
    let publication = record("a", &[], b"x", None);
    let effects = deliver(&mut harness, (0..3).map(|n| delivery(n, QoS::AtMostOnce, &publication)).collect());
    let expected = b"\x30\x04\x00\x01ax".repeat(3);
    assert_eq!(effects, [settled(0, 3, DeliveryOutcome::Delivered), Effect::Write(expected.into())]);
}

#[test]
fn a_large_payload_is_written_from_the_shared_record() {
    let mut harness = subscriber(4, ConnectionConfig::default());
    let publication = record("a", &[], &vec![7; 20_000], None);
    let effects = deliver(&mut harness, vec![delivery(0, QoS::AtLeastOnce, &publication)]);
    let [Effect::Write(header), Effect::Write(payload)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(&header[..], b"\x32\xa5\x9c\x01\x00\x01a\x00\x01");
    assert_eq!(payload.as_ptr(), publication.payload().as_ptr());
}

#[test]
fn no_more_are_in_flight_than_the_clients_receive_maximum() {
    // MQTT-3.3.4-9.
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x21, 0x00, 0x02]));
    harness.message(attached());
    harness.subscribe("#", 1, 5, 1);
    let publication = record("a", &[], b"x", None);
    let effects = deliver(&mut harness, (0..5).map(|n| delivery(n, QoS::AtLeastOnce, &publication)).collect());
    assert_eq!(written(&effects).len(), 2 * 9);
    let effects = harness.receive(&puback(1));
    assert_eq!(written(&effects)[..8], *b"\x32\x07\x00\x01a\x00\x03\x00");
    let effects = harness.receive(&[puback(2), puback(3)].concat());
    assert_eq!(effects[0], settled(1, 3, DeliveryOutcome::Delivered));
    assert_eq!(written(&effects).len(), 2 * 9);
}

#[test]
fn what_the_client_cannot_take_or_came_too_late_is_given_up() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x27, 0, 0, 0, 50]));
    harness.message(attached());
    harness.subscribe("#", 1, 5, 1);
    let large = record("a", &[], &[7; 50], None);
    let late = record("a", &[], b"x", Some(5));
    harness.advance(Duration::from_secs(5));
    let deliveries = vec![delivery(0, QoS::AtLeastOnce, &large), delivery(1, QoS::AtMostOnce, &late)];
    let effects = deliver(&mut harness, deliveries);
    // MQTT-3.1.2-24, MQTT-3.3.2-5.
    assert_eq!(effects, [settled(0, 1, DeliveryOutcome::PacketTooLarge), settled(1, 2, DeliveryOutcome::Expired)]);
}

#[test]
fn deliveries_wait_for_the_socket_and_settle_when_they_are_written() {
    let config = ConnectionConfig { output_bytes_max: 100, ..ConnectionConfig::default() };
    let mut harness = subscriber(4, config);
    let publication = record("a", &[], &[7; 45], None);
    let effects = deliver(&mut harness, (0..5).map(|n| delivery(n, QoS::AtMostOnce, &publication)).collect());
    assert_eq!(written(&effects).len(), 2 * 50);
    assert_eq!(effects[0], settled(0, 2, DeliveryOutcome::Delivered));
    let effects = harness.message(Message::Written { bytes: 50 });
    assert_eq!(effects[0], settled(2, 3, DeliveryOutcome::Delivered));
    let effects = harness.message(Message::Written { bytes: 100 });
    assert_eq!(effects[0], settled(3, 5, DeliveryOutcome::Delivered));
}

#[test]
fn one_write_may_set_free_the_deliveries_of_a_thousand_partitions() {
    let config = ConnectionConfig {
        partitions_count: 1_000,
        output_bytes_max: 50_000,
        deliveries_bytes_max: 1 << 30,
        ..ConnectionConfig::default()
    };
    let mut harness = Harness::connected_v311(config);
    harness.subscribe("#", 1, 4, 1_000);
    let large = record("a", &[], &vec![7; 50_000], None);
    let small = record("a", &[], b"x", None);
    for partition in 0..1_000 {
        let publication = if partition == 0 { &large } else { &small };
        let deliveries = (0..4).map(|n| delivery(n, QoS::AtMostOnce, publication)).collect();
        let effects = harness.message(Message::Deliver { partition: PartitionIndex(partition), deliveries });
        assert!(partition == 0 || effects.is_empty());
    }
    let mut settled_count = 1;
    for _ in 0..4 {
        let effects = harness.message(Message::Written { bytes: 50_100 });
        for effect in effects {
            if let Effect::DeliveriesSettled { numbers, .. } = effect {
                settled_count += numbers.iter().map(|range| range.end.0 - range.start.0).sum::<u64>();
            }
        }
    }
    assert_eq!(settled_count, 4_000, "over many steps, each within its effects");
}

#[test]
fn credit_comes_back_in_halves_of_a_share() {
    let config = ConnectionConfig { deliveries_count_max: 4, ..ConnectionConfig::default() };
    let mut harness = subscriber(4, config);
    let publication = record("a", &[], b"x", None);
    let size = publication.size_bytes() as u64;
    let one = |n| vec![delivery(n, QoS::AtMostOnce, &publication)];
    let effects = deliver(&mut harness, one(0));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::SubscriberCredit { .. })));
    let effects = deliver(&mut harness, one(1));
    let credit = Credit { count: 2, bytes: 2 * size };
    assert!(effects.contains(&Effect::SubscriberCredit { partition: P0, session: SESSION, credit }), "{effects:?}");
}

#[test]
fn latency_to_the_subscriber_is_observed() {
    let publication = record("a", &[], b"x", None);
    let mut harness = subscriber(4, ConnectionConfig::default());
    harness.advance(Duration::from_millis(3));
    let mut effects = contract::Effects::new(mqtt_connection::EFFECTS_COUNT_MAX);
    let deliveries = vec![delivery(0, QoS::AtMostOnce, &publication)];
    harness.connection.handle(Message::Deliver { partition: P0, deliveries }, harness.now, &mut effects);
    let observed: Vec<_> = effects.drain_observations().collect();
    assert_eq!(
        observed,
        [contract::Observation::new(contract::Hop::ReceivedToSubscriber, Duration::from_millis(3), 1)]
    );
}

#[test]
fn a_topic_gets_a_free_alias_where_the_client_takes_any() {
    // MQTT 5.0 §3.3.2.3.4, MQTT-3.1.2-26, MQTT-3.1.2-27.
    let lengths = |properties: &[u8]| {
        let mut harness = Harness::new(ConnectionConfig::default());
        harness.receive(&connect_v5("c", 10, properties));
        harness.message(attached());
        harness.subscribe("#", 1, 5, 1);
        harness.message(Message::Written { bytes: 1_000_000 });
        let publication = record("topic", &[], b"x", None);
        let mut sent = |number| {
            let effects = deliver(&mut harness, vec![delivery(number, QoS::AtMostOnce, &publication)]);
            harness.message(Message::Written { bytes: 1_000_000 });
            written(&effects)
        };
        [sent(0), sent(1), sent(2)]
    };
    let plain = b"\x30\x09\x00\x05topic\x00x".to_vec();
    assert_eq!(lengths(&[]), [plain.clone(), plain.clone(), plain.clone()]);
    let set = b"\x30\x0c\x00\x05topic\x03\x23\x00\x01x".to_vec();
    let alias = b"\x30\x07\x00\x00\x03\x23\x00\x01x".to_vec();
    assert_eq!(lengths(&[0x22, 0, 1]), [set, alias.clone(), alias]);
}
