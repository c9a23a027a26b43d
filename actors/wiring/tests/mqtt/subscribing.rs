//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (MQTT 5.0 §3.8 to §3.11; MQTT 3.1.1 §3.8 to §3.11).

use crate::harness::{Packet, V5, V311, on_each_shape, on_each_shape_and_version, publish, subscribe, unsubscribe};

// proves 5.0: MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-5, MQTT-3.8.4-6, MQTT-3.8.4-7, MQTT-3.9.3-1, MQTT-3.9.3-2, MQTT-2.2.1-6
// proves 3.1.1: MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-3.9.3-2, MQTT-2.3.1-7
#[test]
fn a_subscribe_is_answered_filter_by_filter() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.send(client, &subscribe(version, 0x1234, &[("a", 0), ("b#", 1), ("c/+", 2), ("", 0), ("d", 1)], &[]));
        let Packet::Suback { packet_identifier, codes, .. } = broker.only(client) else { panic!("no SUBACK") };
        let invalid = if version == V5 { 0x8f } else { 0x80 };
        assert_eq!((packet_identifier, &codes[..]), (0x1234, &[0, invalid, 2, invalid, 1][..]));
        // Those that were granted work, the others do not.
        for topic in ["a", "b", "c/x", "d"] {
            broker.publish(client, &publish(topic, topic));
        }
        let mut payloads = broker.payloads(client);
        payloads.sort();
        assert_eq!(payloads, ["a", "c/x", "d"]);
    });
}

// proves 5.0: MQTT-3.8.4-3
// proves 3.1.1: MQTT-3.8.4-3
#[test]
fn the_same_filter_again_replaces_the_subscription() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        let publisher = broker.connect(version, "publisher");
        broker.publish(publisher, &publish("a", "kept").retain());
        broker.subscribe(client, "a", 0);
        assert_eq!(broker.payloads(client), ["kept"]);
        broker.publish(publisher, &publish("a", "1").qos(1, 1));
        broker.subscribe(client, "a", 1);
        broker.publish(publisher, &publish("a", "2").qos(1, 2));
        let deliveries = broker.deliveries(client);
        let seen: Vec<(&[u8], u8)> =
            deliveries.iter().map(|delivered| (&delivered.payload[..], delivered.qos)).collect();
        assert_eq!(seen, [(&b"1"[..], 0), (b"kept", 0), (b"2", 1)], "one copy, at the new QoS, nothing lost");
        broker.unsubscribe(client, "a");
        broker.publish(publisher, &publish("a", "3"));
        assert_eq!(broker.payloads(client), [""; 0], "there was one Subscription");
    });
}

// proves 5.0: MQTT-3.8.4-4
#[test]
fn replacing_a_subscription_loses_nothing_and_repeats_as_retain_handling_says() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        let publisher = broker.connect(V5, "publisher");
        broker.publish(publisher, &publish("a/kept", "kept").retain());
        broker.subscribe(client, "a/#", 1);
        let mut expected = vec!["kept".to_owned()];
        for (round, handling) in [0_u8, 1, 2, 0].into_iter().enumerate() {
            broker.publish(publisher, &publish("a/kept", format!("before {round}")).qos(1, 1));
            broker.subscribe(client, "a/#", 1 | (handling << 4));
            broker.publish(publisher, &publish("a/kept", format!("after {round}")).qos(1, 2));
            expected.push(format!("before {round}"));
            if handling == 0 {
                expected.push("kept".to_owned());
            }
            expected.push(format!("after {round}"));
        }
        assert_eq!(broker.payloads(client), expected);
    });
}

// proves 5.0: MQTT-3.8.3-3
#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        let other = broker.connect(V5, "other");
        broker.subscribe(client, "a", 0b100);
        broker.subscribe(client, "b", 0);
        broker.subscribe(other, "a", 0b100);
        for topic in ["a", "b"] {
            broker.publish(client, &publish(topic, format!("own {topic}")));
            broker.publish(other, &publish(topic, format!("other {topic}")));
        }
        let mut payloads = broker.payloads(client);
        payloads.sort();
        assert_eq!(payloads, ["other a", "other b", "own b"]);
        assert_eq!(broker.payloads(other), ["own a"]);
    });
}

// proves 5.0: MQTT-3.8.3-4
#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        broker.send(client, &subscribe(V5, 1, &[("$share/g/a", 0b100)], &[]));
        broker.assert_closed(client, 0x82);
    });
}

// proves 5.0: MQTT-3.10.4-1, MQTT-3.10.4-2, MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2
#[test]
fn an_unsubscribe_is_answered_filter_by_filter() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        for filter in ["a/+", "a/#", "b"] {
            broker.subscribe(client, filter, 1);
        }
        broker.send(client, &unsubscribe(V5, 0x4321, &["a/+", "a/b", "A/#", "b", "b"]));
        let Packet::Unsuback { packet_identifier, codes, .. } = broker.only(client) else { panic!("no UNSUBACK") };
        assert_eq!((packet_identifier, &codes[..]), (0x4321, &[0, 0x11, 0x11, 0, 0x11][..]));
        for topic in ["a/b", "b"] {
            broker.publish(client, &publish(topic, topic));
        }
        assert_eq!(broker.payloads(client), ["a/b"], "a/# is still there");
    });
}

// proves 3.1.1: MQTT-3.10.4-1, MQTT-3.10.4-2, MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6
#[test]
fn an_unsubscribe_of_3_1_1_is_answered_whatever_it_names() {
    on_each_shape(|broker| {
        let client = broker.connect(V311, "c");
        for filter in ["a/+", "a/#", "b"] {
            broker.subscribe(client, filter, 1);
        }
        for (id, filters) in [(5, &["a/+", "b"][..]), (6, &["never"]), (7, &["A/#", "a/b"])] {
            broker.send(client, &unsubscribe(V311, id, filters));
            let Packet::Unsuback { packet_identifier, codes, .. } = broker.only(client) else { panic!("no UNSUBACK") };
            assert_eq!((packet_identifier, &codes[..]), (id, &[][..]));
        }
        for topic in ["a/b", "b"] {
            broker.publish(client, &publish(topic, topic));
        }
        assert_eq!(broker.payloads(client), ["a/b"]);
    });
}

// proves 5.0: MQTT-3.10.4-3
// proves 3.1.1: MQTT-3.10.4-3
#[test]
fn what_was_begun_is_completed_after_unsubscribe() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        let publisher = broker.connect(version, "publisher");
        broker.subscribe(client, "a", 2);
        broker.publish(publisher, &publish("a", "one").qos(1, 1));
        broker.publish(publisher, &publish("a", "two").qos(2, 2));
        let packets = broker.take(client);
        let [Packet::Publish(one), Packet::Publish(two)] = &packets[..] else { panic!("{packets:?}") };
        broker.unsubscribe(client, "a");
        broker.publish(publisher, &publish("a", "three").qos(1, 3));
        broker.acknowledge(client, 0x40, one.packet_identifier);
        broker.acknowledge(client, 0x50, two.packet_identifier);
        assert_eq!(broker.only(client), Packet::Pubrel(Packet::plain(two.packet_identifier, 0)));
        broker.acknowledge(client, 0x70, two.packet_identifier);
        assert_eq!(broker.take(client), []);
    });
}
