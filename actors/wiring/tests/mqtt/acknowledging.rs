//! QoS 1 and 2, both ways (MQTT 5.0 §4.3, §4.9; MQTT 3.1.1 §4.3), within one connection.

use std::time::Duration;

use broker_partition::QueueWhenFull;

use crate::harness::{
    Broker, Client, Packet, Setup, Shape, V5, V311, Version, connect, on_each_shape, on_each_shape_and_version, packet,
    publish, publishes, subscribe, unsubscribe,
};

fn watcher(broker: &mut Broker, version: Version) -> Client {
    let watcher = broker.connect(version, "watcher");
    broker.subscribe(watcher, "#", 0);
    watcher
}

// proves 5.0: MQTT-4.3.2-4, MQTT-4.3.2-5
// proves 3.1.1: MQTT-4.3.2-2
#[test]
fn after_puback_the_same_packet_identifier_is_a_new_message() {
    on_each_shape_and_version(|broker, version| {
        let watcher = watcher(broker, version);
        let client = broker.connect(version, "c");
        broker.publish(client, &publish("a", "1").qos(1, 5));
        assert_eq!(broker.only(client), Packet::Puback(Packet::plain(5, 0)));
        broker.publish(client, &publish("a", "2").qos(1, 5).dup());
        assert_eq!(broker.only(client), Packet::Puback(Packet::plain(5, 0)));
        broker.publish(client, &publish("a", "3").qos(1, 5));
        assert_eq!(broker.only(client), Packet::Puback(Packet::plain(5, 0)));
        assert_eq!(broker.payloads(watcher), ["1", "2", "3"]);
    });
}

// proves 5.0: MQTT-4.3.3-8, MQTT-4.3.3-10, MQTT-4.3.3-11, MQTT-4.3.3-12, MQTT-3.7.2-1
// proves 3.1.1: MQTT-4.3.3-2
#[test]
fn until_pubrel_a_qos_2_message_is_delivered_once() {
    on_each_shape_and_version(|broker, version| {
        let watcher = watcher(broker, version);
        let client = broker.connect(version, "c");
        broker.publish(client, &publish("a", "1").qos(2, 5));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        for _ in 0..2 {
            broker.publish(client, &publish("a", "1").qos(2, 5).dup());
            assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)), "again, and not delivered again");
        }
        broker.acknowledge(client, 0x62, 5);
        assert_eq!(broker.only(client), Packet::Pubcomp(Packet::plain(5, 0)));
        broker.publish(client, &publish("a", "2").qos(2, 5).dup());
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        assert_eq!(broker.payloads(watcher), ["1", "2"]);
        // A PUBREL of nothing is answered too; 5.0 says that it was of nothing.
        broker.acknowledge(client, 0x62, 99);
        let code = if version == V5 { 0x92 } else { 0 };
        assert_eq!(broker.only(client), Packet::Pubcomp(Packet::plain(99, code)));
    });
}

// proves 5.0: MQTT-4.3.3-13
#[test]
fn an_exchange_goes_on_though_its_message_expired() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        broker.publish(client, &publish("a", "1").qos(2, 5).with(&[0x02, 0, 0, 0, 1]));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        broker.pass(Duration::from_secs(10));
        broker.publish(client, &publish("a", "1").qos(2, 5).dup().with(&[0x02, 0, 0, 0, 1]));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        broker.acknowledge(client, 0x62, 5);
        assert_eq!(broker.only(client), Packet::Pubcomp(Packet::plain(5, 0)));
    });
}

// proves 5.0: MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.2-2, MQTT-4.3.3-1, MQTT-4.3.3-2
// proves 3.1.1: MQTT-2.3.1-4
#[test]
fn deliveries_under_way_have_packet_identifiers_of_their_own() {
    on_each_shape_and_version(|broker, version| {
        let subscriber = broker.connect(version, "subscriber");
        broker.subscribe(subscriber, "#", 2);
        let publisher = broker.connect(version, "publisher");
        let mut under_way: Vec<u16> = Vec::new();
        for round in 0..60_u16 {
            let qos = 1 + u8::try_from(round % 2).unwrap();
            broker.publish(publisher, &publish("a", [0]).qos(qos, round + 1));
            broker.acknowledge(publisher, 0x62, round + 1);
            let delivered = publishes(broker.take(subscriber)).remove(0);
            assert!(!delivered.dup && delivered.qos == qos);
            let id = delivered.packet_identifier;
            assert!(id != 0 && !under_way.contains(&id), "{id} is in use");
            under_way.push(id);
            if round % 3 == 0 && qos == 1 {
                broker.acknowledge(subscriber, 0x40, id);
                under_way.retain(|other| *other != id);
            }
        }
    });
}

// proves 5.0: MQTT-4.3.3-4, MQTT-3.6.2-1, MQTT-4.3.3-3, MQTT-4.3.3-5, MQTT-4.3.2-3
// proves 3.1.1: MQTT-4.3.2-1, MQTT-4.3.3-1
#[test]
fn a_delivery_is_under_way_until_it_was_acknowledged_whole() {
    on_each_shape_and_version(|broker, version| {
        let request = connect("subscriber").with(&[0x21, 0, 2]);
        let (subscriber, _) = broker.connect_as(version, &request);
        broker.subscribe(subscriber, "a", 2);
        let publisher = broker.connect(version, "publisher");
        broker.publish(publisher, &publish("a", "1").qos(1, 1));
        broker.publish(publisher, &publish("a", "2").qos(2, 2));
        let first = publishes(broker.take(subscriber));
        assert_eq!(first.len(), 2);
        let (one, two) = (first[0].packet_identifier, first[1].packet_identifier);
        // Acknowledgements of something else change nothing.
        broker.pass(Duration::from_mins(1));
        assert_eq!(broker.take(subscriber), [], "nothing is sent again on a connection that stands");
        broker.acknowledge(subscriber, 0x50, two);
        assert_eq!(broker.only(subscriber), Packet::Pubrel(Packet::plain(two, 0)));
        broker.acknowledge(subscriber, 0x70, two);
        broker.acknowledge(subscriber, 0x40, one);
        broker.publish(publisher, &publish("a", "3").qos(1, 3));
        assert_eq!(broker.payloads(subscriber), ["3"]);
    });
}

// proves 5.0: MQTT-4.4.0-2
#[test]
fn a_refusing_pubrec_ends_the_exchange() {
    on_each_shape(|broker| {
        let (subscriber, _) = broker.connect_as(V5, &connect("subscriber").with(&[0x21, 0, 1]));
        broker.subscribe(subscriber, "a", 2);
        let publisher = broker.connect(V5, "publisher");
        for (round, qos) in [(1_u8, 2), (2, 1)] {
            broker.publish(publisher, &publish("a", [round]).qos(qos, round.into()));
            let delivered = publishes(broker.take(subscriber)).remove(0);
            let [high, low] = delivered.packet_identifier.to_be_bytes();
            broker.send(subscriber, &packet(if qos == 2 { 0x50 } else { 0x40 }, &[high, low, 0x80]));
            assert_eq!(broker.take(subscriber), [], "no PUBREL, nothing again");
        }
        broker.publish(publisher, &publish("a", "3").qos(1, 3));
        assert_eq!(broker.payloads(subscriber), ["3"], "both places of the window are free");
    });
}

// proves 5.0: MQTT-3.3.4-9, MQTT-3.3.4-10, MQTT-4.9.0-1, MQTT-4.9.0-2, MQTT-4.9.0-3
#[test]
fn deliveries_keep_within_the_clients_receive_maximum() {
    on_each_shape(|broker| {
        for maximum in [1_u8, 3, 20] {
            let (subscriber, _) = broker.connect_as(V5, &connect("subscriber").with(&[0x21, 0, maximum]));
            broker.subscribe(subscriber, "a", 2);
            let publisher = broker.connect(V5, "publisher");
            for number in 0..30_u8 {
                broker.publish(publisher, &publish("a", [number]).qos(1 + number % 2, u16::from(number) + 1));
                broker.acknowledge(publisher, 0x62, u16::from(number) + 1);
            }
            let mut under_way = publishes(broker.take(subscriber));
            assert_eq!(under_way.len(), usize::from(maximum));
            // All other packets pass by; QoS 0 may.
            broker.send(subscriber, &[0xc0, 0]);
            assert_eq!(broker.only(subscriber), Packet::Pingresp);
            broker.send(subscriber, &subscribe(V5, 1, &[("b", 0)], &[]));
            assert!(matches!(broker.only(subscriber), Packet::Suback { .. }));
            broker.send(subscriber, &unsubscribe(V5, 2, &["b"]));
            assert!(matches!(broker.only(subscriber), Packet::Unsuback { .. }));
            let mut numbers: Vec<u8> = Vec::new();
            while let Some(delivered) = (!under_way.is_empty()).then(|| under_way.remove(0)) {
                numbers.extend_from_slice(&delivered.payload);
                if delivered.qos == 1 {
                    broker.acknowledge(subscriber, 0x40, delivered.packet_identifier);
                } else {
                    broker.acknowledge(subscriber, 0x50, delivered.packet_identifier);
                    assert!(matches!(broker.only(subscriber), Packet::Pubrel(_)), "a place is free at PUBCOMP");
                    broker.acknowledge(subscriber, 0x70, delivered.packet_identifier);
                }
                let more = publishes(broker.take(subscriber));
                assert!(more.len() <= 1, "{more:?}");
                under_way.extend(more);
            }
            assert_eq!(numbers, (0..30).collect::<Vec<u8>>());
        }
    });
}

// proves 5.0: MQTT-3.3.4-7
#[test]
fn more_than_the_servers_receive_maximum_closes_the_connection() {
    let mut setup = Setup::default();
    setup.connection.receive_maximum = 3;
    for shape in [Shape::OneCore, Shape::TwoCores] {
        let mut broker = Broker::new(shape, setup.clone());
        let client = broker.open(V5);
        broker.send(client, &connect("c").bytes(V5));
        let Packet::Connack { properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        assert_eq!(properties.number(0x21), Some(3));
        // Without PUBREL each holds its place.
        for id in 1..=3 {
            broker.publish(client, &publish("a", "x").qos(2, id));
            assert!(matches!(broker.only(client), Packet::Pubrec(_)));
        }
        broker.publish(client, &publish("a", "x").qos(1, 4));
        broker.assert_closed(client, 0x93);
    }
}

// proves 3.1.1: MQTT-4.6.0-2, MQTT-4.6.0-3, MQTT-4.6.0-4
#[test]
fn acknowledgements_come_in_the_order_of_what_they_acknowledge() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        let mut bytes = Vec::new();
        let ids: Vec<u16> = vec![9, 3, 7, 1, 8, 2];
        for (index, id) in ids.iter().enumerate() {
            let qos = 1 + u8::try_from(index % 2).unwrap();
            bytes.extend(publish(&format!("topic {index}"), "x").qos(qos, *id).bytes(version));
        }
        broker.send(client, &bytes);
        let answered: Vec<u16> = broker
            .take(client)
            .into_iter()
            .map(|packet| match packet {
                Packet::Puback(answer) | Packet::Pubrec(answer) => answer.packet_identifier,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(answered, ids);
        // PUBREL in the order of PUBREC.
        let subscriber = broker.connect(version, "subscriber");
        broker.subscribe(subscriber, "#", 2);
        for id in 20..24 {
            broker.publish(client, &publish("a", "x").qos(2, id));
        }
        let received = publishes(broker.take(subscriber));
        let order: Vec<u16> = [2, 0, 3, 1].map(|index: usize| received[index].packet_identifier).to_vec();
        let pubrecs: Vec<u8> = order.iter().flat_map(|id| packet(0x50, &id.to_be_bytes())).collect();
        broker.send(subscriber, &pubrecs);
        let released: Vec<u16> =
            broker
                .take(subscriber)
                .into_iter()
                .map(|packet| {
                    if let Packet::Pubrel(release) = packet { release.packet_identifier } else { panic!("{packet:?}") }
                })
                .collect();
        assert_eq!(released, order);
    });
}

// proves 3.1.1: MQTT-4.8.0-2
#[test]
fn what_cannot_be_taken_for_a_while_closes_the_connection_in_the_end() {
    let mut setup = Setup::default();
    setup.limits.subscriber_queue_count_max = 2;
    setup.limits.subscriber_queue_when_full = QueueWhenFull::BackPressure;
    for shape in [Shape::OneCore, Shape::TwoCores] {
        let mut broker = Broker::new(shape, setup.clone());
        let (slow, _) = broker.connect_as(V5, &connect("slow").with(&[0x21, 0, 1]));
        broker.subscribe(slow, "a", 1);
        let publisher = broker.connect(V311, "publisher");
        let mut acknowledged_count = 0;
        for id in 1..5_000 {
            broker.publish(publisher, &publish("a", [0; 100]).qos(1, id));
            acknowledged_count += broker.take(publisher).len();
        }
        assert!(acknowledged_count < 4_999, "the slow one takes one at a time");
        broker.pass(Duration::from_mins(2));
        assert!(broker.is_closed(publisher) && !broker.is_closed(slow));
        acknowledged_count += broker.take(publisher).len();
        // What was acknowledged is delivered, and nobody waits for what was not.
        let delivered_count = broker.deliveries(slow).len();
        assert!(delivered_count >= acknowledged_count, "{delivered_count} of {acknowledged_count}");
    }
}

// proves 5.0: MQTT-4.3.3-9, MQTT-3.5.2-1, MQTT-3.4.2-1
#[test]
fn what_a_partition_refuses_ends_its_exchange() {
    let mut setup = Setup::default();
    (setup.limits.shard_bytes_max, setup.limits.spill_bytes) = (1 << 16, 1 << 13);
    setup.limits.subscriber_queue_count_max = 2;
    setup.limits.subscriber_queue_when_full = QueueWhenFull::BackPressure;
    for shape in [Shape::OneCore, Shape::TwoCores] {
        let mut broker = Broker::new(shape, setup.clone());
        let (slow, _) = broker.connect_as(V5, &connect("slow").with(&[0x21, 0, 1]));
        broker.subscribe(slow, "a", 1);
        let client = broker.connect(V5, "c");
        // More than the shard holds, while the slow one takes nothing.
        let payload = |id: u16| format!("{id:02}{}", "x".repeat(2_000));
        for id in 1..=60 {
            broker.publish(client, &publish("a", payload(id)).qos(2, id));
        }
        let mut got: Vec<String> = broker.payloads(slow);
        let mut refused = Vec::new();
        for (packet, id) in broker.take(client).into_iter().zip(1..) {
            let Packet::Pubrec(answer) = packet else { panic!("{packet:?}") };
            assert_eq!(answer.packet_identifier, id, "in the order of receipt");
            match answer.reason_code {
                0 => broker.acknowledge(client, 0x62, id),
                0x97 => refused.push(id),
                other => panic!("PUBREC 0x{other:02x}"),
            }
        }
        assert!(!refused.is_empty() && refused.len() < 60, "{refused:?}");
        broker.take(client);
        for id in &refused {
            broker.publish(client, &publish("a", "new").qos(2, *id));
            assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(*id, 0)), "a new message");
            got.extend(broker.payloads(slow));
        }
        let expected =
            (1..=60).filter(|id| !refused.contains(id)).map(payload).chain(vec!["new".to_owned(); refused.len()]);
        assert!(got.into_iter().eq(expected));
    }
}
