//! PUBLISH (MQTT 5.0 §3.3; MQTT 3.1.1 §3.3): what reaches a subscriber, and with what.

use std::time::Duration;

use crate::harness::{
    Broker, Client, Delivered, Packet, Setup, Shape, V5, V311, Value, connect, on_each_shape,
    on_each_shape_and_version, publish, subscribe, user,
};

fn pair(broker: &mut Broker) -> (Client, Client) {
    let subscriber = broker.connect(V5, "subscriber");
    broker.subscribe(subscriber, "a/#", 2);
    (broker.connect(V5, "publisher"), subscriber)
}

fn one(broker: &mut Broker, client: Client) -> Delivered {
    let mut deliveries = broker.deliveries(client);
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    deliveries.remove(0)
}

// proves 5.0: MQTT-3.3.4-1, MQTT-2.2.1-2, MQTT-2.2.1-5, MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-4.3.1-1
// proves 3.1.1: MQTT-3.3.4-1, MQTT-2.3.1-5, MQTT-2.3.1-6, MQTT-4.3.1-1
#[test]
fn a_publish_is_answered_as_its_qos_demands() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.subscribe(client, "a", 0);
        broker.publish(client, &publish("a", "x"));
        let Packet::Publish(delivered) = broker.only(client) else { panic!("no PUBLISH") };
        assert_eq!((delivered.qos, delivered.dup, delivered.packet_identifier), (0, false, 0));
        broker.publish(client, &publish("b", "x").qos(1, 7));
        assert_eq!(broker.only(client), Packet::Puback(Packet::plain(7, 0)));
        broker.publish(client, &publish("b", "x").qos(2, 8));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(8, 0)));
    });
}

// proves 5.0: MQTT-3.3.1-3
// proves 3.1.1: MQTT-3.3.1-3
#[test]
fn dup_is_not_forwarded() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.subscribe(client, "a", 2);
        for (qos, id) in [(1, 1), (2, 2)] {
            broker.publish(client, &publish("a", "x").qos(qos, id).dup());
        }
        for packet in broker.take(client) {
            if let Packet::Publish(delivered) = packet {
                assert!(!delivered.dup, "{delivered:?}");
            }
        }
    });
}

// proves 5.0: MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-18, MQTT-3.3.2-20
#[test]
fn properties_are_forwarded_unaltered_and_in_order() {
    on_each_shape(|broker| {
        let (publisher, subscriber) = pair(broker);
        let properties = [
            &b"\x01\x01"[..],
            &user("b", "2"),
            b"\x08\0\x05reply",
            &user("a", "1"),
            b"\x09\0\x03\0\xff\x01",
            &user("b", "2"),
            b"\x03\0\x04text",
            &user("", ""),
        ]
        .concat();
        for qos in 0..3 {
            broker.publish(publisher, &publish("a/b", "x").qos(qos, 5).with(&properties));
            let delivered = one(broker, subscriber);
            let pair = |name: &str, value: &str| (0x26, Value::Pair(name.into(), value.into()));
            let users: Vec<_> = delivered.properties.0.iter().filter(|(id, _)| *id == 0x26).cloned().collect();
            assert_eq!(users, [pair("b", "2"), pair("a", "1"), pair("b", "2"), pair("", "")]);
            assert_eq!(delivered.properties.number(0x01), Some(1));
            assert_eq!(delivered.properties.get(0x03), Some(&Value::Bytes(b"text".to_vec())));
            assert_eq!(delivered.properties.get(0x08), Some(&Value::Bytes(b"reply".to_vec())));
            assert_eq!(delivered.properties.get(0x09), Some(&Value::Bytes(vec![0, 0xff, 1])));
            broker.send(publisher, &crate::harness::packet(0x62, &[0, 5]));
            broker.take(publisher);
        }
    });
}

// proves 5.0: MQTT-3.3.2-5, MQTT-3.3.2-6
#[test]
fn a_message_expires_by_the_time_that_it_waited() {
    on_each_shape(|broker| {
        let subscriber = broker.open(V5);
        broker.send(subscriber, &connect("subscriber").with(&[0x21, 0, 1]).bytes(V5));
        broker.take(subscriber);
        broker.subscribe(subscriber, "a", 1);
        let publisher = broker.connect(V5, "publisher");
        let expiring = |seconds: u8| publish("a", [seconds]).qos(1, 9).with(&[0x02, 0, 0, 0, seconds]);
        broker.publish(publisher, &expiring(100));
        let Packet::Publish(first) = broker.only(subscriber) else { panic!("no PUBLISH") };
        assert_eq!(first.properties.number(0x02), Some(100));
        // The client takes one at a time, so the others wait.
        for seconds in [50, 5, 20] {
            broker.publish(publisher, &expiring(seconds));
        }
        broker.publish(publisher, &publish("a", "never").qos(1, 9));
        broker.pass(Duration::from_secs(10));
        broker.acknowledge(subscriber, 0x40, first.packet_identifier);
        let left = broker.deliveries(subscriber);
        let remaining: Vec<(Vec<u8>, Option<u32>)> =
            left.into_iter().map(|delivered| (delivered.payload, delivered.properties.number(0x02))).collect();
        assert_eq!(remaining, [(vec![50], Some(40)), (vec![20], Some(10)), (b"never".to_vec(), None)]);
    });
}

// proves 5.0: MQTT-3.3.2-7, MQTT-3.3.2-8, MQTT-3.3.2-9, MQTT-3.3.2-12, MQTT-3.2.2-17
#[test]
fn a_clients_topic_aliases_hold_for_its_connection() {
    on_each_shape(|broker| {
        let (_, subscriber) = pair(broker);
        let publisher = broker.open(V5);
        broker.send(publisher, &connect("aliases").bytes(V5));
        let Packet::Connack { properties, .. } = broker.only(publisher) else { panic!("no CONNACK") };
        let maximum = u16::try_from(properties.number(0x22).unwrap()).unwrap();
        for alias in 1..=maximum {
            broker.publish(publisher, &publish(&format!("a/{alias}"), "x").alias(alias));
        }
        for alias in (1..=maximum).rev() {
            broker.publish(publisher, &publish("", "y").alias(alias));
        }
        let topics: Vec<String> = broker.deliveries(subscriber).into_iter().map(|delivered| delivered.topic).collect();
        let expected: Vec<String> =
            (1..=maximum).chain((1..=maximum).rev()).map(|alias| format!("a/{alias}")).collect();
        if broker.shape == Shape::OneCore {
            assert_eq!(topics, expected);
        } else {
            let sorted = |mut topics: Vec<String>| {
                topics.sort();
                topics
            };
            assert_eq!(sorted(topics), sorted(expected), "order holds within a topic");
        }
        // One alias may be given again; 0 and beyond the maximum are refused.
        broker.publish(publisher, &publish("a/new", "z").alias(1));
        broker.publish(publisher, &publish("", "z").alias(1));
        assert!(broker.deliveries(subscriber).iter().all(|delivered| delivered.topic == "a/new"));
        for alias in [0, maximum + 1, u16::MAX] {
            let client = broker.connect(V5, "rude");
            broker.publish(client, &publish("a/b", "x").alias(alias));
            broker.assert_closed(client, 0x94);
        }
        // Another connection begins anew.
        let again = broker.connect(V5, "aliases");
        broker.publish(again, &publish("", "w").alias(1));
        broker.assert_closed(again, 0x82);
        assert_eq!(broker.payloads(subscriber), [""; 0]);
    });
}

// proves 5.0: MQTT-3.2.2-18
#[test]
fn without_a_topic_alias_maximum_no_alias_is_taken() {
    let mut setup = Setup::default();
    setup.connection.topic_alias_maximum = 0;
    let mut broker = Broker::new(Shape::OneCore, setup);
    let client = broker.open(V5);
    broker.send(client, &connect("c").bytes(V5));
    let Packet::Connack { properties, .. } = broker.only(client) else { panic!("no CONNACK") };
    assert_eq!(properties.number(0x22).unwrap_or(0), 0);
    broker.publish(client, &publish("a", "x").alias(1));
    broker.assert_closed(client, 0x94);
}

// proves 5.0: MQTT-3.1.2-26, MQTT-3.1.2-27, MQTT-3.3.2-11, MQTT-3.3.2-8
#[test]
fn the_servers_topic_aliases_keep_within_what_the_client_takes() {
    on_each_shape(|broker| {
        let without = broker.connect(V5, "without");
        let (two, _) = broker.connect_as(V5, &connect("two").with(&[0x22, 0, 2]));
        let publisher = broker.connect(V5, "publisher");
        for client in [without, two] {
            broker.subscribe(client, "#", 0);
        }
        for round in 0..5 {
            for topic in ["a", "b", "c", "d"] {
                broker.publish(publisher, &publish(topic, topic));
                broker.publish(publisher, &publish(topic, format!("{topic}{round}")));
            }
        }
        for delivered in broker.deliveries(without) {
            assert_eq!(delivered.properties.number(0x23), None);
        }
        let deliveries = broker.deliveries(two);
        assert_eq!(deliveries.len(), 40);
        for delivered in deliveries {
            assert!(delivered.properties.number(0x23).is_none_or(|alias| (1..=2).contains(&alias)));
            assert!(delivered.payload.starts_with(delivered.topic.as_bytes()), "{delivered:?}");
        }
    });
}

// proves 5.0: MQTT-3.1.2-24, MQTT-3.1.2-25
#[test]
fn what_a_client_cannot_take_is_left_out_as_if_it_were_sent() {
    on_each_shape(|broker| {
        let request = connect("small").with(&[0x27, 0, 0, 0, 100]).with(&[0x21, 0, 2]);
        let (subscriber, _) = broker.connect_as(V5, &request);
        broker.subscribe(subscriber, "a", 2);
        let publisher = broker.connect(V5, "publisher");
        for qos in 0..3 {
            // The largest payload that fits: with the fixed header, the name, a Property Length and a Packet Identifier.
            let largest = 100 - 2 - 3 - 1 - if qos == 0 { 0 } else { 2 };
            for (id, size) in [(1, 40), (2, largest + 1), (3, 5_000), (4, largest), (5, 300), (6, 42)] {
                broker.publish(publisher, &publish("a", vec![b'x'; size]).qos(qos, id));
                broker.send(publisher, &crate::harness::packet(0x62, &[0, u8::try_from(id).unwrap()]));
            }
            let sizes: Vec<usize> =
                broker.deliveries(subscriber).iter().map(|delivered| delivered.payload.len()).collect();
            assert_eq!(sizes, [40, largest, 42], "QoS {qos}");
        }
        assert!(broker.largest_packet_bytes(subscriber) <= 100);
    });
}

// proves 5.0: MQTT-3.3.2-3
// proves 3.1.1: MQTT-3.3.2-3
#[test]
fn a_subscriber_gets_only_names_that_match() {
    on_each_shape_and_version(|broker, version| {
        let subscriber = broker.connect(version, "subscriber");
        broker.subscribe(subscriber, "a/+/c", 0);
        let publisher = broker.connect(version, "publisher");
        for topic in ["a/b/c", "a/b", "a//c", "a/b/c/d", "A/b/c", "b/b/c", "a/x/c"] {
            broker.publish(publisher, &publish(topic, topic));
        }
        let mut topics: Vec<String> =
            broker.deliveries(subscriber).into_iter().map(|delivered| delivered.topic).collect();
        topics.sort();
        assert_eq!(topics, ["a//c", "a/b/c", "a/x/c"]);
    });
}

// proves 5.0: MQTT-3.3.4-2, MQTT-3.8.4-8
// proves 3.1.1: MQTT-3.3.5-1, MQTT-3.8.4-6
#[test]
fn overlapping_subscriptions_get_the_highest_qos_that_they_allow() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        for (granted, published, expected) in
            [([0, 1, 2], 2, 2), ([0, 1, 0], 2, 1), ([2, 0, 1], 1, 1), ([0, 0, 0], 2, 0), ([1, 2, 2], 0, 0)]
        {
            let subscriber = broker.connect(version, "subscriber");
            for (filter, qos) in ["a/#", "a/+", "a/b"].into_iter().zip(granted) {
                broker.subscribe(subscriber, filter, qos);
            }
            broker.publish(publisher, &publish("a/b", "x").qos(published, 3));
            broker.send(publisher, &crate::harness::packet(0x62, &[0, 3]));
            let deliveries = broker.deliveries(subscriber);
            let highest = deliveries.iter().map(|delivered| delivered.qos).max();
            assert_eq!(highest, Some(expected), "{granted:?}, published at {published}");
        }
    });
}

// proves 5.0: MQTT-3.3.4-3, MQTT-3.3.4-4, MQTT-3.3.4-5
#[test]
fn every_subscription_identifier_that_matched_is_sent() {
    on_each_shape(|broker| {
        let subscriber = broker.connect(V5, "subscriber");
        let requests: [(&str, &[u8]); 4] =
            [("a/#", &[0x0b, 1]), ("a/+", &[0x0b, 0x80, 0x01]), ("a/b", &[]), ("b", &[0x0b, 3])];
        for (filter, properties) in requests {
            broker.send(subscriber, &subscribe(V5, 1, &[(filter, 1)], properties));
            assert!(matches!(broker.only(subscriber), Packet::Suback { .. }));
        }
        let publisher = broker.connect(V5, "publisher");
        broker.publish(publisher, &publish("a/b", "x").qos(1, 1));
        let deliveries = broker.deliveries(subscriber);
        let mut identifiers: Vec<u32> =
            deliveries.iter().flat_map(|delivered| delivered.properties.subscription_identifiers()).collect();
        identifiers.sort_unstable();
        assert_eq!(identifiers, [1, 128]);
        if let [single] = &deliveries[..] {
            assert_eq!(single.properties.subscription_identifiers(), [1, 128]);
        }
    });
}

// proves 5.0: MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-4.6.0-6
// proves 3.1.1: MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-4.6.0-6
#[test]
fn each_subscriber_gets_what_matches_in_the_order_of_its_topic() {
    on_each_shape_and_version(|broker, version| {
        let subscribers = ["#", "+", "a", "b"].map(|filter| {
            let client = broker.connect(version, &format!("subscriber {filter}"));
            broker.subscribe(client, filter, 2);
            client
        });
        let publishers = ["p", "q"].map(|identifier| broker.connect(version, identifier));
        for round in 0..20_u16 {
            for (publisher, name) in publishers.into_iter().zip(["p", "q"]) {
                for topic in ["a", "b"] {
                    let payload = format!("{name}{round:02}");
                    broker
                        .publish(publisher, &publish(topic, payload).qos(u8::try_from(round % 3).unwrap(), round + 1));
                    broker.acknowledge(publisher, 0x62, round + 1);
                }
            }
        }
        for (subscriber, topics) in subscribers.into_iter().zip([&["a", "b"][..], &["a", "b"], &["a"], &["b"]]) {
            let deliveries = broker.deliveries(subscriber);
            assert_eq!(deliveries.len(), 40 * topics.len());
            for topic in topics {
                for name in ["p", "q"] {
                    for qos in 0..3 {
                        let of_one: Vec<&[u8]> = deliveries
                            .iter()
                            .filter(|d| d.topic == *topic && d.qos == qos && d.payload.starts_with(name.as_bytes()))
                            .map(|d| &d.payload[..])
                            .collect();
                        assert!(of_one.is_sorted(), "{topic} {name} QoS {qos}");
                    }
                }
            }
        }
    });
}

// proves 3.1.1: MQTT-7.0.0-2
// proves 5.0: MQTT-4.2.0-1
#[test]
fn clients_of_both_versions_speak_to_each_other() {
    on_each_shape(|broker| {
        for (from, to) in [(V311, V5), (V5, V311)] {
            let subscriber = broker.connect(to, "subscriber");
            broker.subscribe(subscriber, "a", 1);
            let publisher = broker.connect(from, "publisher");
            let mut publication = publish("a", "x").qos(1, 1);
            if from == V5 {
                publication = publication.with(&user("k", "v"));
            }
            broker.publish(publisher, &publication);
            assert_eq!(one(broker, subscriber).payload, b"x");
        }
    });
}
