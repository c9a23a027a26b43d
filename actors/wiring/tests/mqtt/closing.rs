//! PINGREQ, DISCONNECT and the Will (MQTT 5.0 §3.1.2.5, §3.12, §3.14; MQTT 3.1.1 the same), within one connection.

use std::time::Duration;

use crate::harness::{
    Packet, V5, V311, Value, Will, connect, disconnect, on_each_shape, on_each_shape_and_version, packet, publish, user,
};

const WILL: Will = Will { topic: "will", payload: "gone", qos: 1, retain: false, properties: Vec::new() };

// proves 5.0: MQTT-3.12.4-1
// proves 3.1.1: MQTT-3.12.4-1
#[test]
fn a_pingreq_is_answered() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.send(client, &[0xc0, 0, 0xc0, 0]);
        assert_eq!(broker.take(client), [Packet::Pingresp, Packet::Pingresp]);
    });
}

// proves 5.0: MQTT-3.1.2-7, MQTT-3.1.2-8, MQTT-3.1.2-10
// proves 3.1.1: MQTT-3.1.2-8, MQTT-3.1.2-10, MQTT-3.1.2-12
#[test]
fn a_will_is_published_once_when_the_connection_ends_without_disconnect() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "will", 2);
        let (client, _) = broker.connect_as(version, &connect("c").will(WILL));
        assert_eq!(broker.deliveries(watcher), []);
        broker.vanish(client);
        let deliveries = broker.deliveries(watcher);
        assert_eq!(deliveries.len(), 1);
        assert_eq!((&deliveries[0].payload[..], deliveries[0].qos, deliveries[0].retain), (&b"gone"[..], 1, false));
        // The next connection of the client has none.
        let again = broker.connect(version, "c");
        broker.vanish(again);
        broker.pass(Duration::from_hours(1));
        assert_eq!(broker.deliveries(watcher), []);
    });
}

// proves 5.0: MQTT-3.1.2-8
// proves 3.1.1: MQTT-3.1.2-8
#[test]
fn whatever_ends_a_connection_publishes_its_will() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "will", 0);
        let (silent, _) = broker.connect_as(version, &connect("silent").keep_alive(10).will(WILL));
        broker.pass(Duration::from_secs(20));
        assert!(broker.is_closed(silent));
        assert_eq!(broker.payloads(watcher), ["gone"], "Keep Alive");
        let (rude, _) = broker.connect_as(version, &connect("rude").will(WILL));
        broker.send(rude, &packet(0x00, &[]));
        assert_eq!(broker.payloads(watcher), ["gone"], "a Malformed Packet");
        let (first, _) = broker.connect_as(version, &connect("twice").will(WILL));
        broker.connect(version, "twice");
        assert!(broker.is_closed(first));
        assert_eq!(broker.payloads(watcher), ["gone"], "a take-over that ends the session");
    });
}

// proves 5.0: MQTT-3.14.4-3, MQTT-3.1.2-10, MQTT-3.1.2-8
// proves 3.1.1: MQTT-3.14.4-3, MQTT-3.1.2-10
#[test]
fn disconnect_discards_the_will() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "will", 0);
        let (client, _) = broker.connect_as(version, &connect("c").will(WILL));
        broker.send(client, &disconnect(version, 0));
        assert!(broker.is_closed(client), "who is left closes too");
        broker.pass(Duration::from_hours(1));
        assert_eq!(broker.payloads(watcher), [""; 0]);
        if version == V5 {
            let (client, _) = broker.connect_as(version, &connect("c").will(WILL));
            broker.send(client, &disconnect(V5, 0x04));
            assert_eq!(broker.payloads(watcher), ["gone"], "DISCONNECT with Will Message");
        }
    });
}

// proves 5.0: MQTT-3.1.2-14, MQTT-3.1.2-15
// proves 3.1.1: MQTT-3.1.2-16, MQTT-3.1.2-17
#[test]
fn a_will_is_retained_as_its_flag_says() {
    on_each_shape_and_version(|broker, version| {
        for (identifier, retain) in [("a", false), ("b", true)] {
            let (client, _) = broker.connect_as(version, &connect(identifier).will(Will { retain, ..WILL }));
            broker.vanish(client);
            let late = broker.connect(version, "late");
            broker.subscribe(late, "will", 0);
            let expected: &[&str] = if retain { &["gone"] } else { &[] };
            assert_eq!(broker.payloads(late), expected, "Will Retain {retain}");
        }
    });
}

// proves 5.0: MQTT-3.1.3-10
#[test]
fn a_wills_properties_are_published_in_order() {
    on_each_shape(|broker| {
        let watcher = broker.connect(V5, "watcher");
        broker.subscribe(watcher, "will", 0);
        let properties = [user("b", "2"), user("a", "1"), b"\x03\0\x01t".to_vec(), user("b", "1")].concat();
        let (client, _) = broker.connect_as(V5, &connect("c").will(Will { properties, ..WILL }));
        broker.vanish(client);
        let delivered = broker.deliveries(watcher).remove(0);
        let users: Vec<&Value> = delivered
            .properties
            .0
            .iter()
            .filter(|(identifier, _)| *identifier == 0x26)
            .map(|(_, value)| value)
            .collect();
        let pair = |name: &str, value: &str| Value::Pair(name.into(), value.into());
        assert_eq!(users, [&pair("b", "2"), &pair("a", "1"), &pair("b", "1")]);
        assert_eq!(delivered.properties.get(0x03), Some(&Value::Bytes(b"t".to_vec())));
    });
}

// proves 5.0: MQTT-3.14.4-1
#[test]
fn nothing_is_sent_after_disconnect() {
    on_each_shape(|broker| {
        let client = broker.connect(V5, "c");
        let publisher = broker.connect(V5, "publisher");
        broker.subscribe(client, "#", 0);
        // One write: what follows the error is not processed, and its answers are not written.
        let bytes = [packet(0x00, &[]), vec![0xc0, 0], publish("a", "own").bytes(V5)].concat();
        broker.send(client, &bytes);
        broker.publish(publisher, &publish("a", "other"));
        let packets = broker.take(client);
        assert!(matches!(packets[..], [Packet::Disconnect { code: 0x81, .. }]), "{packets:?}");
        // What a client says after its DISCONNECT is not processed either.
        let watcher = broker.connect(V5, "watcher");
        broker.subscribe(watcher, "#", 0);
        let leaving = broker.connect(V5, "leaving");
        broker.send(leaving, &[disconnect(V5, 0), publish("a", "late").bytes(V5)].concat());
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}

// proves 3.1.1: MQTT-3.1.2-10, MQTT-3.1.2-12
#[test]
fn without_a_will_nothing_is_published() {
    on_each_shape(|broker| {
        let watcher = broker.connect(V311, "watcher");
        broker.subscribe(watcher, "#", 0);
        let client = broker.connect(V311, "c");
        broker.vanish(client);
        broker.pass(Duration::from_hours(1));
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}
