//! Sessions that outlive their connections (MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §4.1, §4.4; MQTT 3.1.1 §3.1.2.4, §4.1, §4.4).

use std::time::Duration;

use crate::harness::{
    Broker, Client, Packet, V5, V311, Version, Will, connect, disconnect, on_each_shape, on_each_shape_and_version,
    publish, publishes,
};

const WILL: Will = Will { topic: "will", payload: "gone", qos: 1, retain: false, properties: Vec::new() };

/// Connects to the session of "kept", which outlives this connection; whether there was one.
fn resume(broker: &mut Broker, version: Version) -> (Client, bool) {
    broker.connect_as_before(version, &connect("kept").keeping_in(version, 3_600))
}

/// Publishes at `qos`, the exchange whole.
fn publish_whole(broker: &mut Broker, client: Client, payload: &str, qos: u8) {
    broker.publish(client, &publish("a", payload).qos(qos, 77));
    broker.acknowledge(client, 0x62, 77);
    broker.take(client);
}

// proves 5.0: MQTT-3.1.2-5, MQTT-3.1.2-6, MQTT-3.1.2-23, MQTT-3.1.4-4, MQTT-3.2.2-2, MQTT-3.2.2-3, MQTT-4.5.0-1
// proves 3.1.1: MQTT-3.1.2-4, MQTT-3.1.2-5, MQTT-3.1.4-3, MQTT-3.2.2-2, MQTT-3.2.2-3, MQTT-4.1.0-1, MQTT-4.5.0-1
#[test]
fn a_session_outlives_its_connection_with_what_came_meanwhile() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let (client, session_present) = resume(broker, version);
        assert!(!session_present, "there was none");
        broker.subscribe(client, "a", 2);
        for (round, is_orderly) in [(1, false), (2, true)] {
            let (client, session_present) = resume(broker, version);
            assert!(session_present);
            if is_orderly {
                broker.send(client, &disconnect(version, 0));
            } else {
                broker.vanish(client);
            }
            for qos in [1, 2] {
                publish_whole(broker, publisher, &format!("{round} {qos}"), qos);
            }
            let (client, session_present) = resume(broker, version);
            assert!(session_present);
            let deliveries = broker.deliveries(client);
            let seen: Vec<(String, u8, bool)> = deliveries
                .into_iter()
                .map(|delivered| (String::from_utf8(delivered.payload).unwrap(), delivered.qos, delivered.dup))
                .collect();
            assert_eq!(seen, [(format!("{round} 1"), 1, false), (format!("{round} 2"), 2, false)]);
        }
    });
}

// proves 5.0: MQTT-3.1.2-4, MQTT-3.2.2-2, MQTT-3.1.4-4
// proves 3.1.1: MQTT-3.1.2-6, MQTT-3.2.2-1, MQTT-3.1.4-3
#[test]
fn a_clean_start_discards_the_session() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let (client, _) = resume(broker, version);
        broker.subscribe(client, "a", 1);
        broker.vanish(client);
        publish_whole(broker, publisher, "lost", 1);
        let (client, session_present) = broker.connect_as(version, &connect("kept"));
        assert!(!session_present);
        publish_whole(broker, publisher, "also", 1);
        assert_eq!(broker.payloads(client), [""; 0], "neither its Subscriptions nor its messages");
        // A session that began clean and ends with its connection leaves nothing either.
        broker.subscribe(client, "a", 1);
        broker.vanish(client);
        let (client, session_present) = resume(broker, version);
        assert!(!session_present);
        publish_whole(broker, publisher, "too", 1);
        assert_eq!(broker.payloads(client), [""; 0]);
    });
}

// proves 5.0: MQTT-4.1.0-1, MQTT-4.1.0-2
// proves 3.1.1: MQTT-4.1.0-2
#[test]
fn a_session_lasts_as_long_as_its_connection_and_then_its_expiry() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let request = connect("short").keeping_in(version, 5);
        let (client, _) = broker.connect_as(version, &request);
        broker.subscribe(client, "a", 1);
        broker.pass(Duration::from_hours(1));
        publish_whole(broker, publisher, "there", 1);
        assert_eq!(broker.payloads(client), ["there"], "its connection stands");
        broker.vanish(client);
        broker.pass(Duration::from_secs(4));
        let (client, session_present) = broker.connect_as(version, &request);
        assert!(session_present);
        broker.vanish(client);
        broker.pass(if version == V5 { Duration::from_secs(6) } else { Duration::from_hours(48) });
        let (client, session_present) = broker.connect_as(version, &request);
        assert!(!session_present, "its expiry has passed");
        publish_whole(broker, publisher, "later", 1);
        assert_eq!(broker.payloads(client), [""; 0]);
    });
}

// proves 5.0: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.3.2-3, MQTT-4.3.3-3, MQTT-4.3.3-5, MQTT-4.3.3-6
// proves 3.1.1: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1, MQTT-4.3.2-1, MQTT-4.3.3-1, MQTT-2.3.1-4
#[test]
fn what_was_not_acknowledged_is_sent_again_with_its_packet_identifier() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let (client, _) = resume(broker, version);
        broker.subscribe(client, "a", 2);
        for (number, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 2)] {
            publish_whole(broker, publisher, number, qos);
        }
        let first = publishes(broker.take(client));
        assert!(first.iter().all(|delivered| !delivered.dup) && first.len() == 4);
        let ids: Vec<u16> = first.iter().map(|delivered| delivered.packet_identifier).collect();
        // "1" is acknowledged, "4" is released, "2" and "3" are not answered.
        broker.acknowledge(client, 0x40, ids[0]);
        broker.acknowledge(client, 0x50, ids[3]);
        assert_eq!(broker.only(client), Packet::Pubrel(Packet::plain(ids[3], 0)));
        broker.vanish(client);
        for _ in 0..3 {
            let (client, session_present) = resume(broker, version);
            assert!(session_present);
            let packets = broker.take(client);
            let [Packet::Publish(two), Packet::Publish(three), Packet::Pubrel(four)] = &packets[..] else {
                panic!("{packets:?}")
            };
            assert_eq!((&two.payload[..], two.dup, two.qos, two.packet_identifier), (&b"2"[..], true, 2, ids[1]));
            assert_eq!(
                (&three.payload[..], three.dup, three.qos, three.packet_identifier),
                (&b"3"[..], true, 1, ids[2])
            );
            assert_eq!(four.packet_identifier, ids[3]);
            broker.pass(Duration::from_secs(30));
            assert_eq!(broker.take(client), [], "once for each connection");
            broker.vanish(client);
        }
        // Once acknowledged, nothing is left; and what comes then is new.
        let (client, _) = resume(broker, version);
        assert_eq!(broker.payloads(client), ["2", "3"]);
        broker.vanish(client);
        let (client, _) = resume(broker, version);
        assert_eq!(broker.take(client), []);
        publish_whole(broker, publisher, "5", 1);
        let new = publishes(broker.take(client));
        assert!(!new[0].dup && new[0].payload == b"5");
    });
}

// proves 5.0: MQTT-4.3.3-7
#[test]
fn what_was_sent_at_qos_2_does_not_expire() {
    on_each_shape(|broker| {
        let publisher = broker.connect(V5, "publisher");
        let (client, _) = resume(broker, V5);
        broker.subscribe(client, "a", 2);
        broker.publish(publisher, &publish("a", "1").qos(2, 1).with(&[0x02, 0, 0, 0, 2]));
        let sent = publishes(broker.take(client)).remove(0);
        broker.vanish(client);
        broker.pass(Duration::from_mins(1));
        let (client, _) = resume(broker, V5);
        let again = publishes(broker.take(client)).remove(0);
        assert_eq!((again.packet_identifier, again.dup, &again.payload[..]), (sent.packet_identifier, true, &b"1"[..]));
        broker.acknowledge(client, 0x50, sent.packet_identifier);
        assert_eq!(broker.only(client), Packet::Pubrel(Packet::plain(sent.packet_identifier, 0)));
    });
}

// proves 5.0: MQTT-4.3.3-10, MQTT-4.3.3-12
// proves 3.1.1: MQTT-4.3.3-2
#[test]
fn a_qos_2_publication_is_delivered_once_over_reconnects() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "a", 0);
        let (client, _) = resume(broker, version);
        broker.publish(client, &publish("a", "1").qos(2, 5));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        broker.vanish(client);
        let (client, _) = resume(broker, version);
        broker.publish(client, &publish("a", "1").qos(2, 5).dup());
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        broker.acknowledge(client, 0x62, 5);
        assert_eq!(broker.only(client), Packet::Pubcomp(Packet::plain(5, 0)));
        broker.vanish(client);
        let (client, _) = resume(broker, version);
        broker.publish(client, &publish("a", "2").qos(2, 5));
        assert_eq!(broker.payloads(watcher), ["1", "2"]);
    });
}

// proves 5.0: MQTT-3.1.2-8, MQTT-3.1.3-9, MQTT-3.1.2-10
#[test]
fn a_will_waits_for_its_delay_or_the_end_of_its_session() {
    on_each_shape(|broker| {
        let watcher = broker.connect(V5, "watcher");
        broker.subscribe(watcher, "will", 0);
        let will = Will { properties: vec![0x18, 0, 0, 0, 30], ..WILL };
        let request = connect("kept").keeping(3_600).will(will.clone());
        let (client, _) = broker.connect_as(V5, &request);
        broker.vanish(client);
        broker.pass(Duration::from_secs(29));
        assert_eq!(broker.payloads(watcher), [""; 0]);
        // Back in time: nothing is published, then or later.
        let (client, session_present) = broker.connect_as(V5, &connect("kept").keeping(3_600));
        assert!(session_present);
        broker.pass(Duration::from_mins(5));
        assert_eq!(broker.payloads(watcher), [""; 0]);
        broker.vanish(client);
        broker.pass(Duration::from_mins(5));
        assert_eq!(broker.payloads(watcher), [""; 0], "that connection had no Will");
        // Not back in time, once.
        let (client, _) = broker.connect_as(V5, &request);
        broker.vanish(client);
        broker.pass(Duration::from_secs(31));
        assert_eq!(broker.payloads(watcher), ["gone"]);
        let (client, session_present) = broker.connect_as(V5, &connect("kept").keeping(3_600));
        assert!(session_present);
        broker.vanish(client);
        broker.pass(Duration::from_mins(5));
        assert_eq!(broker.payloads(watcher), [""; 0]);
        // The session ends before its delay: by its expiry, and by a clean start.
        let (client, _) = broker.connect_as(V5, &connect("kept").keeping(10).will(will.clone()));
        broker.vanish(client);
        broker.pass(Duration::from_secs(11));
        assert_eq!(broker.payloads(watcher), ["gone"]);
        let (client, _) = broker.connect_as(V5, &request);
        broker.vanish(client);
        broker.connect(V5, "kept");
        assert_eq!(broker.payloads(watcher), ["gone"]);
    });
}

// proves 5.0: MQTT-3.1.2-10, MQTT-3.14.4-3
// proves 3.1.1: MQTT-3.1.2-10, MQTT-3.14.4-3
#[test]
fn disconnect_discards_the_will_of_a_session_that_stays() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "will", 0);
        for properties in [vec![], vec![0x18, 0, 0, 0, 5]] {
            let request = connect("kept").keeping_in(version, 20).will(Will { properties, ..WILL });
            let (client, _) = broker.connect_as(version, &request);
            broker.send(client, &disconnect(version, 0));
            broker.pass(Duration::from_hours(48));
            assert_eq!(broker.payloads(watcher), [""; 0], "neither at once, nor with the end of its session");
        }
    });
}

// proves 5.0: MQTT-3.1.4-3, MQTT-3.2.2-3, MQTT-4.4.0-1
// proves 3.1.1: MQTT-3.1.4-2, MQTT-3.2.2-2, MQTT-4.4.0-1
#[test]
fn a_take_over_continues_the_session() {
    on_each_shape_and_version(|broker, version| {
        let publisher = broker.connect(version, "publisher");
        let (first, _) = resume(broker, version);
        broker.subscribe(first, "a", 1);
        publish_whole(broker, publisher, "1", 1);
        let sent = publishes(broker.take(first)).remove(0);
        let (second, session_present) = resume(broker, version);
        assert!(session_present);
        broker.assert_closed(first, 0x8e);
        let again = publishes(broker.take(second)).remove(0);
        assert_eq!((again.packet_identifier, again.dup), (sent.packet_identifier, true));
        broker.acknowledge(second, 0x40, again.packet_identifier);
        publish_whole(broker, publisher, "2", 1);
        assert_eq!(broker.payloads(second), ["2"]);
    });
}

// proves 3.1.1: MQTT-3.1.2-4
#[test]
fn a_session_of_one_version_is_found_by_the_other() {
    on_each_shape(|broker| {
        let publisher = broker.connect(V311, "publisher");
        let (client, _) = resume(broker, V311);
        broker.subscribe(client, "a", 1);
        broker.vanish(client);
        publish_whole(broker, publisher, "1", 1);
        let (client, session_present) = resume(broker, V5);
        assert!(session_present);
        assert_eq!(broker.payloads(client), ["1"]);
    });
}
