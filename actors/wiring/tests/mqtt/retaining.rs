//! Retained Messages (MQTT 5.0 §3.3.1.3, §3.8.3.1; MQTT 3.1.1 §3.3.1.3).

use crate::harness::{Broker, Client, V5, Version, on_each_shape, on_each_shape_and_version, publish};

/// What a new subscriber to `filter` gets: payload and RETAIN flag, in the order of payloads.
fn retained(broker: &mut Broker, version: Version, filter: &str) -> Vec<(String, bool, u8)> {
    let client = broker.connect(version, "new");
    broker.subscribe(client, filter, 2);
    seen(broker, client)
}

fn seen(broker: &mut Broker, client: Client) -> Vec<(String, bool, u8)> {
    let deliveries = broker.deliveries(client);
    let mut seen: Vec<(String, bool, u8)> = deliveries
        .into_iter()
        .map(|delivered| (String::from_utf8(delivered.payload).unwrap(), delivered.retain, delivered.qos))
        .collect();
    seen.sort();
    seen
}

fn row(payload: &str, retain: bool, qos: u8) -> (String, bool, u8) {
    (payload.to_owned(), retain, qos)
}

// proves 5.0: MQTT-3.3.1-5, MQTT-3.3.1-8, MQTT-3.3.1-9
// proves 3.1.1: MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-8, MQTT-3.3.1-12
#[test]
fn the_last_retained_message_of_each_name_is_sent_to_a_new_subscriber() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        for (topic, payload, qos) in [("a/1", "old", 2), ("a/1", "one", 1), ("a/2", "two", 2), ("b", "b", 0)] {
            broker.publish(publisher, &publish(topic, payload).qos(qos, 1).retain());
            broker.acknowledge(publisher, 0x62, 1);
        }
        // RETAIN 0 changes nothing of it.
        broker.publish(publisher, &publish("a/1", "passing"));
        broker.publish(publisher, &publish("a/3", "passing"));
        assert_eq!(retained(broker, version, "a/#"), [row("one", true, 1), row("two", true, 2)]);
        assert_eq!(retained(broker, version, "a/1"), [row("one", true, 1)]);
        assert_eq!(retained(broker, version, "+"), [row("b", true, 0)]);
    });
}

// proves 5.0: MQTT-3.3.1-6, MQTT-3.3.1-7
// proves 3.1.1: MQTT-3.3.1-10, MQTT-3.3.1-11
#[test]
fn an_empty_payload_removes_what_is_retained_and_is_delivered() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let subscriber = broker.connect(version, "subscriber");
        broker.subscribe(subscriber, "a", 1);
        broker.publish(publisher, &publish("a", "x").qos(1, 1).retain());
        broker.publish(publisher, &publish("a", "").qos(1, 2).retain());
        assert_eq!(seen(broker, subscriber), [row("", false, 1), row("x", false, 1)]);
        assert_eq!(retained(broker, version, "#"), []);
    });
}

// proves 3.1.1: MQTT-3.3.1-7
#[test]
fn a_retained_message_of_qos_0_takes_the_place_of_one_above() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        broker.publish(publisher, &publish("a", "one").qos(1, 1).retain());
        broker.publish(publisher, &publish("a", "zero").retain());
        assert_eq!(retained(broker, version, "a"), [row("zero", true, 0)]);
    });
}

// proves 5.0: MQTT-3.3.1-9, MQTT-3.3.1-10, MQTT-3.3.1-11
#[test]
fn retain_handling_says_when_retained_messages_are_sent() {
    on_each_shape(|broker| {
        let publisher = broker.connect(V5, "publisher");
        broker.publish(publisher, &publish("a", "x").retain());
        for (handling, at_first, again) in [(0, 1, 1), (1, 1, 0), (2, 0, 0)] {
            let client = broker.connect(V5, "c");
            for expected in [at_first, again] {
                broker.subscribe(client, "a", handling << 4);
                assert_eq!(broker.deliveries(client).len(), expected, "Retain Handling {handling}");
            }
        }
    });
}

// proves 5.0: MQTT-3.3.1-12, MQTT-3.3.1-13
#[test]
fn retain_as_published_keeps_the_flag() {
    on_each_shape(|broker| {
        let publisher = broker.connect(V5, "publisher");
        for (options, kept) in [(0b0000, false), (0b1000, true)] {
            let client = broker.connect(V5, "c");
            broker.subscribe(client, "a", options);
            broker.publish(publisher, &publish("a", "1").retain());
            broker.publish(publisher, &publish("a", "2"));
            assert_eq!(seen(broker, client), [row("1", kept, 0), row("2", false, 0)]);
            broker.publish(publisher, &publish("a", "").retain());
        }
    });
}

// proves 3.1.1: MQTT-3.3.1-9
#[test]
fn an_established_subscription_gets_retain_0() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let client = broker.connect(version, "c");
        broker.subscribe(client, "a", 0);
        broker.publish(publisher, &publish("a", "1").retain());
        broker.publish(publisher, &publish("a", "2"));
        assert_eq!(seen(broker, client), [row("1", false, 0), row("2", false, 0)]);
    });
}

// proves 3.1.1: MQTT-3.1.2-7
#[test]
fn retained_messages_outlive_the_session_that_published_them() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        broker.publish(publisher, &publish("a", "x").retain());
        broker.send(publisher, &crate::harness::disconnect(version, 0));
        assert_eq!(retained(broker, version, "a"), [row("x", true, 0)]);
    });
}
