//! What packets are made of (MQTT 5.0 §1.5, §2; MQTT 3.1.1 §1.5, §2): what is not so closes the connection.

use crate::harness::{
    Broker, Client, Packet, V5, V311, Version, on_each_shape, on_each_shape_and_version, packet, publish, subscribe,
    unsubscribe, user,
};

/// A client that sends `bytes` is closed, with this Reason Code under 5.0, and what it said has no effect.
fn assert_malformed(broker: &mut Broker, version: Version, bytes: &[u8], reason_code: u8) {
    let client = broker.connect(version, "rude");
    broker.send(client, bytes);
    broker.assert_closed(client, reason_code);
}

fn watcher(broker: &mut Broker, version: Version) -> Client {
    let watcher = broker.connect(version, "watcher");
    broker.subscribe(watcher, "#", 0);
    watcher
}

// proves 5.0: MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-3.3.2-1, MQTT-3.8.3-1, MQTT-3.10.3-1, MQTT-4.7.3-2
// proves 3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-1, MQTT-3.8.3-1, MQTT-3.10.3-1, MQTT-4.7.3-2
#[test]
fn a_text_that_is_no_utf_8_or_holds_u_0000_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let watcher = watcher(broker, version);
        for wrong in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"a\0"] {
            let text = [&[0, u8::try_from(wrong.len()).unwrap()][..], wrong].concat();
            let properties: &[u8] = if version == V5 { &[0] } else { &[] };
            let requests = [
                packet(0x30, &[&text[..], properties, b"x"].concat()),
                packet(0x82, &[&[0, 1][..], properties, &text, &[0]].concat()),
                packet(0xa2, &[&[0, 1][..], properties, &text].concat()),
            ];
            for request in requests {
                assert_malformed(broker, version, &request, 0x81);
            }
        }
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}

// proves 5.0: MQTT-1.5.4-3
// proves 3.1.1: MQTT-1.5.3-3
#[test]
fn a_zero_width_no_break_space_is_a_character_like_any_other() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.subscribe(client, "\u{feff}a", 0);
        broker.subscribe(client, "b\u{feff}", 0);
        for topic in ["a", "\u{feff}a", "b", "b\u{feff}"] {
            broker.publish(client, &publish(topic, topic));
        }
        let topics: Vec<String> = broker.deliveries(client).into_iter().map(|delivered| delivered.topic).collect();
        assert_eq!(topics, ["\u{feff}a", "b\u{feff}"]);
    });
}

// proves 5.0: MQTT-1.5.7-1, MQTT-3.3.2-13, MQTT-3.3.2-19
#[test]
fn texts_of_properties_are_utf_8() {
    on_each_shape(|broker| {
        let properties: [&[u8]; 5] = [
            b"\x26\0\x01\xff\0\x01v",
            b"\x26\0\x01k\0\x01\xff",
            b"\x26\0\x01k\0\x01\0",
            b"\x03\0\x01\xff",
            b"\x08\0\x01\xff",
        ];
        for property in properties {
            assert_malformed(broker, V5, &publish("a", "x").with(property).bytes(V5), 0x81);
        }
    });
}

// proves 5.0: MQTT-1.5.5-1
#[test]
fn a_length_of_more_bytes_than_needed_is_malformed() {
    on_each_shape(|broker| {
        assert_malformed(broker, V5, &[0xc0, 0x80, 0x00], 0x81);
        // A Property Length of 0 in two bytes, and a Remaining Length of five.
        assert_malformed(broker, V5, &packet(0x30, b"\0\x01a\x80\0x"), 0x81);
        assert_malformed(broker, V5, &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81);
    });
}

// proves 5.0: MQTT-2.1.3-1, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1, MQTT-3.14.1-1, MQTT-3.15.1-1
// proves 3.1.1: MQTT-2.2.2-1, MQTT-2.2.2-2, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1, MQTT-3.14.1-1
#[test]
fn reserved_flags_close_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let well_formed = [
            packet(0x40, &[0, 1]),
            packet(0x50, &[0, 1]),
            packet(0x62, &[0, 1]),
            packet(0x70, &[0, 1]),
            subscribe(version, 1, &[("a", 0)], &[]),
            unsubscribe(version, 1, &["a"]),
            packet(0xc0, &[]),
            packet(0xe0, &[]),
            packet(0xf0, b"\x18\x05\x15\0\x02X1"),
        ];
        for bytes in &well_formed {
            for flags in (0..16).filter(|flags| *flags != bytes[0] & 0x0f) {
                let mut request = bytes.clone();
                request[0] = (request[0] & 0xf0) | flags;
                assert_malformed(broker, version, &request, 0x81);
            }
        }
    });
}

// proves 5.0: MQTT-3.3.1-4, MQTT-3.3.1-2
// proves 3.1.1: MQTT-3.3.1-4, MQTT-3.3.1-2
#[test]
fn qos_3_and_dup_at_qos_0_close_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let watcher = watcher(broker, version);
        assert_malformed(broker, version, &publish("a", "x").qos(3, 1).bytes(version), 0x81);
        assert_malformed(broker, version, &publish("a", "x").dup().bytes(version), 0x81);
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}

// proves 5.0: MQTT-2.2.1-3
// proves 3.1.1: MQTT-2.3.1-1
#[test]
fn a_packet_identifier_of_0_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let requests = [
            publish("a", "x").qos(1, 0).bytes(version),
            publish("a", "x").qos(2, 0).bytes(version),
            subscribe(version, 0, &[("a", 0)], &[]),
            unsubscribe(version, 0, &["a"]),
            packet(0x62, &[0, 0]),
        ];
        for request in requests {
            assert_malformed(broker, version, &request, 0x81);
        }
    });
}

// proves 5.0: MQTT-3.8.3-2, MQTT-3.10.3-2
// proves 3.1.1: MQTT-3.8.3-3, MQTT-3.10.3-2
#[test]
fn a_request_without_topic_filters_is_a_protocol_error() {
    on_each_shape_and_version(|broker, version| {
        assert_malformed(broker, version, &subscribe(version, 1, &[], &[]), 0x82);
        assert_malformed(broker, version, &unsubscribe(version, 1, &[]), 0x82);
    });
}

// proves 5.0: MQTT-3.8.3-5
// proves 3.1.1: MQTT-3.8.3-4
#[test]
fn reserved_subscription_options_close_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let reserved: &[u8] = if version == V5 { &[0x40, 0x80, 0xc1, 3] } else { &[4, 8, 0x10, 0x20, 0x40, 0x80, 3] };
        for options in reserved {
            assert_malformed(broker, version, &subscribe(version, 1, &[("a", 0), ("b", *options)], &[]), 0x81);
        }
    });
}

// proves 5.0: MQTT-3.3.4-6, MQTT-3.3.2-14, MQTT-3.3.2-2, MQTT-4.7.0-1, MQTT-4.13.1-1
// proves 3.1.1: MQTT-3.3.2-2, MQTT-4.7.1-1
#[test]
fn a_publish_that_says_what_it_must_not_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let watcher = watcher(broker, version);
        for topic in ["#", "a/+", "+", "a#"] {
            assert_malformed(broker, version, &publish(topic, "x").bytes(version), 0x90);
        }
        if version == V5 {
            assert_malformed(broker, V5, &publish("a", "x").with(&[0x0b, 1]).bytes(V5), 0x82);
            assert_malformed(broker, V5, &publish("a", "x").with(b"\x08\0\x01#").bytes(V5), 0x82);
            assert_malformed(broker, V5, &publish("a", "x").with(&[0x01, 0, 0x01, 0]).bytes(V5), 0x82);
            assert_malformed(broker, V5, &publish("", "x").bytes(V5), 0x82);
        } else {
            assert_malformed(broker, V311, &publish("", "x").bytes(V311), 0x81);
        }
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}

// proves 5.0: MQTT-3.2.2-15
#[test]
fn a_packet_above_the_servers_maximum_closes_the_connection() {
    on_each_shape(|broker| {
        let client = broker.open(V5);
        broker.send(client, &crate::harness::connect("c").bytes(V5));
        let Packet::Connack { properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        let maximum = properties.number(0x27).unwrap() as usize;
        let fitting = publish("a", vec![b'x'; maximum - 8]);
        assert_eq!(fitting.bytes(V5).len(), maximum);
        broker.publish(client, &fitting);
        assert!(!broker.is_closed(client));
        broker.publish(client, &publish("a", vec![b'x'; maximum - 7]));
        broker.assert_closed(client, 0x95);
    });
}

// proves 5.0: MQTT-4.13.1-1, MQTT-4.13.2-1
// proves 3.1.1: MQTT-4.8.0-1
#[test]
fn what_no_client_sends_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        for (bytes, reason_code) in [
            (packet(0x20, &[0, 0]), 0x82),
            (packet(0x90, &[0, 1, 0]), 0x82),
            (packet(0xb0, &[0, 1]), 0x82),
            (packet(0xd0, &[]), 0x82),
            (packet(0x00, &[]), 0x81),
            // Bytes behind the last field, and a field that the packet cuts.
            (packet(0xc0, &[0]), 0x81),
            (packet(0x40, &[0]), 0x81),
            (packet(0x30, &[0, 9, b'a']), 0x81),
        ] {
            assert_malformed(broker, version, &bytes, reason_code);
        }
        if version == V311 {
            assert_malformed(broker, version, &packet(0xf0, &[]), 0x81);
        } else {
            assert_malformed(broker, version, &packet(0x62, &[0, 1, 0x97]), 0x81);
            assert_malformed(broker, version, &publish("a", "x").with(&user("k", "v")[..4]).bytes(V5), 0x81);
        }
    });
}
