//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2; MQTT 3.1.1 §3.1, §3.2), as far as no session outlives its connection.

use std::time::Duration;

use crate::harness::{
    Broker, Connect, Packet, Setup, Shape, V5, V311, Value, Version, Will, connect, disconnect, on_each_shape,
    on_each_shape_and_version, packet, publish, subscribe,
};

/// Sends `request` on a new connection; what the broker said, and whether it closed the socket.
fn answer(broker: &mut Broker, version: Version, request: &[u8]) -> (Vec<Packet>, bool) {
    let client = broker.open(version);
    broker.send(client, request);
    (broker.take(client), broker.is_closed(client))
}

fn connack(packets: &[Packet]) -> (bool, u8) {
    match packets {
        [Packet::Connack { session_present, code, .. }] => (*session_present, *code),
        other => panic!("{other:?} instead of CONNACK"),
    }
}

/// A CONNECT that is no CONNECT of the standard closes the connection: under 3.1.1 without a word, under 5.0 with CONNACK at most.
fn assert_refused(broker: &mut Broker, version: Version, request: &[u8], code: u8) {
    let (packets, is_closed) = answer(broker, version, request);
    assert!(is_closed, "{request:02x?}");
    match version {
        V311 => assert_eq!(packets, [], "{request:02x?}"),
        V5 => assert_eq!(connack(&packets), (false, code), "{request:02x?}"),
    }
}

/// `request` with one byte changed.
fn changed(request: &Connect, version: Version, index: usize, change: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut bytes = request.bytes(version);
    bytes[index] = change(bytes[index]);
    bytes
}

const LEVEL_AT: usize = 8;
const FLAGS_AT: usize = 9;

// proves 5.0: MQTT-3.1.4-5, MQTT-3.2.0-1, MQTT-3.2.0-2, MQTT-3.2.2-1, MQTT-3.2.2-2, MQTT-3.2.2-8, MQTT-2.2.2-1
// proves 3.1.1: MQTT-3.1.4-4, MQTT-3.2.0-1, MQTT-3.2.2-1
#[test]
fn a_connect_that_is_taken_is_answered_with_one_connack_first_of_all() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.open(version);
        broker.send(client, &[connect("c").bytes(version), vec![0xc0, 0]].concat());
        let packets = broker.take(client);
        let [Packet::Connack { session_present: false, code: 0, .. }, Packet::Pingresp] = &packets[..] else {
            panic!("{packets:?}")
        };
        assert!(!broker.is_closed(client));
    });
}

// proves 5.0: MQTT-3.1.0-1, MQTT-3.14.0-1
// proves 3.1.1: MQTT-3.1.0-1
#[test]
fn whoever_does_not_begin_with_connect_is_closed_without_a_word() {
    on_each_shape_and_version(|broker, version| {
        let others = [
            vec![0xc0, 0],
            publish("a", "x").bytes(version),
            subscribe(version, 1, &[("a", 0)], &[]),
            disconnect(version, 0),
            packet(0xf0, &[0x18, 0]),
        ];
        for bytes in others {
            let (packets, is_closed) = answer(broker, version, &bytes);
            assert_eq!((&packets[..], is_closed), (&[][..], true), "{bytes:02x?}");
        }
    });
}

// proves 5.0: MQTT-3.1.0-2, MQTT-4.13.1-1, MQTT-3.14.4-2
// proves 3.1.1: MQTT-3.1.0-2, MQTT-4.8.0-1
#[test]
fn a_second_connect_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        broker.send(client, &connect("c").bytes(version));
        broker.assert_closed(client, 0x82);
    });
}

// proves 5.0: MQTT-3.1.2-1
// proves 3.1.1: MQTT-3.1.2-1
#[test]
fn another_protocol_name_is_not_served() {
    on_each_shape_and_version(|broker, version| {
        for (index, letter) in [(4, b'm'), (7, b'X')] {
            let request = changed(&connect("c"), version, index, |_| letter);
            let (packets, is_closed) = answer(broker, version, &request);
            assert!(is_closed);
            assert!(!packets.iter().any(|packet| matches!(packet, Packet::Connack { code: 0, .. })), "{packets:?}");
        }
    });
}

// proves 3.1.1: MQTT-3.1.2-2, MQTT-3.2.2-4, MQTT-3.2.2-5, MQTT-3.1.4-5
#[test]
fn a_level_that_is_not_served_gets_return_code_1() {
    on_each_shape(|broker| {
        for level in [0, 1, 2, 3] {
            let mut request = changed(&connect("c"), V311, LEVEL_AT, |_| level);
            request.extend(publish("a", "x").bytes(V311));
            let (packets, is_closed) = answer(broker, V311, &request);
            assert_eq!((connack(&packets), is_closed), ((false, 1), true), "level {level}");
        }
    });
}

// proves 5.0: MQTT-3.1.2-2, MQTT-3.2.2-6, MQTT-3.2.2-7, MQTT-4.13.2-1
#[test]
fn a_version_that_is_not_served_is_told_so_and_closed() {
    on_each_shape(|broker| {
        for level in [6, 0x85, 0xff] {
            let client = broker.open(V5);
            broker.send(client, &changed(&connect("c"), V5, LEVEL_AT, |_| level));
            let packets = broker.take(client);
            let is_told = matches!(packets[..], [] | [Packet::Connack { session_present: false, code: 0x84, .. }]);
            assert!(is_told && broker.is_closed(client), "{packets:?}");
        }
    });
}

// proves 5.0: MQTT-3.1.2-3, MQTT-3.1.4-1
// proves 3.1.1: MQTT-3.1.2-3, MQTT-3.1.4-1, MQTT-3.2.2-6
#[test]
fn the_reserved_flag_of_connect_is_checked() {
    on_each_shape_and_version(|broker, version| {
        assert_refused(broker, version, &changed(&connect("c"), version, FLAGS_AT, |flags| flags | 1), 0x81);
    });
}

// proves 5.0: MQTT-3.1.2-9, MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13
// proves 3.1.1: MQTT-3.1.2-9, MQTT-3.1.2-11, MQTT-3.1.2-13, MQTT-3.1.2-14, MQTT-3.1.2-15
#[test]
fn will_flags_and_will_fields_agree() {
    on_each_shape_and_version(|broker, version| {
        let without = connect("c");
        let with = connect("c").will(Will { topic: "w", payload: "x", ..Will::default() });
        let requests = [
            changed(&without, version, FLAGS_AT, |flags| flags | 0b0000_1000),
            changed(&without, version, FLAGS_AT, |flags| flags | 0b0010_0000),
            changed(&with, version, FLAGS_AT, |flags| flags | 0b0001_1000),
            // The flag without the fields, and the fields without the flag.
            changed(&without, version, FLAGS_AT, |flags| flags | 0b0000_0100),
            changed(&with, version, FLAGS_AT, |flags| flags & !0b0000_0100),
        ];
        for request in requests {
            assert_refused(broker, version, &request, 0x81);
        }
        for qos in 0..3 {
            let request = connect("c").will(Will { topic: "w", payload: "x", qos, ..Will::default() });
            let (packets, _) = answer(broker, version, &request.bytes(version));
            assert_eq!(connack(&packets), (false, 0), "Will QoS {qos}");
        }
    });
}

// proves 5.0: MQTT-3.1.2-16, MQTT-3.1.2-17, MQTT-3.1.2-18, MQTT-3.1.2-19
// proves 3.1.1: MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.2-20, MQTT-3.1.2-21
#[test]
fn login_flags_and_login_fields_agree() {
    on_each_shape_and_version(|broker, version| {
        let with = Connect { user_name: Some("u"), password: Some(b"p"), ..connect("c") };
        assert_refused(broker, version, &changed(&with, version, FLAGS_AT, |flags| flags & !0b0100_0000), 0x81);
        assert_refused(broker, version, &changed(&with, version, FLAGS_AT, |flags| flags & !0b1100_0000), 0x81);
        let without = connect("c");
        for flags_set in [0b1000_0000, 0b1100_0000] {
            assert_refused(broker, version, &changed(&without, version, FLAGS_AT, |flags| flags | flags_set), 0x81);
        }
        let (packets, _) = answer(broker, version, &with.bytes(version));
        assert_eq!(connack(&packets), (false, 0));
    });
}

// proves 3.1.1: MQTT-3.1.2-22
#[test]
fn a_password_without_a_user_name_is_an_error_of_3_1_1_only() {
    on_each_shape(|broker| {
        let request = Connect { password: Some(b"p"), ..connect("c") };
        assert_refused(broker, V311, &request.bytes(V311), 0x81);
        let (packets, _) = answer(broker, V5, &request.bytes(V5));
        assert_eq!(connack(&packets), (false, 0));
    });
}

// proves 5.0: MQTT-3.1.3-1, MQTT-3.1.3-3, MQTT-3.1.3-4, MQTT-3.1.3-11, MQTT-3.1.3-12
// proves 3.1.1: MQTT-3.1.3-1, MQTT-3.1.3-3, MQTT-3.1.3-4, MQTT-3.1.3-10, MQTT-3.1.3-11
#[test]
fn the_texts_of_connect_stand_in_their_order_and_are_utf_8() {
    on_each_shape_and_version(|broker, version| {
        let request = Connect { user_name: Some("user"), password: Some(b"p"), ..connect("client") }.will(Will {
            topic: "topic",
            payload: "payload",
            ..Will::default()
        });
        let bytes = request.bytes(version);
        for text in ["client", "topic", "user"] {
            let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
            for wrong in [0xff, 0x00] {
                let mut request = bytes.clone();
                request[at] = wrong;
                assert_refused(broker, version, &request, 0x81);
            }
        }
        // In this order they are one Client Identifier, one Will and one login; cut short, the last is missing.
        let (packets, _) = answer(broker, version, &bytes);
        assert_eq!(connack(&packets), (false, 0));
        let (_, is_closed) = answer(broker, version, &packet(0x10, &bytes[2..12]));
        assert!(is_closed, "no Client Identifier");
    });
}

// proves 5.0: MQTT-3.1.3-5
// proves 3.1.1: MQTT-3.1.3-5, MQTT-7.0.0-2
#[test]
fn client_identifiers_of_letters_and_digits_are_served() {
    on_each_shape_and_version(|broker, version| {
        let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let identifiers = ["a", "Z", "0", &all[..23], &all[20..43], &all[39..]];
        for identifier in identifiers {
            broker.connect(version, identifier);
        }
    });
}

// proves 5.0: MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16
#[test]
fn an_empty_client_identifier_is_assigned_one_that_nobody_has() {
    on_each_shape(|broker| {
        let mut assigned = Vec::new();
        for _ in 0..3 {
            let client = broker.open(V5);
            broker.send(client, &connect("").bytes(V5));
            let Packet::Connack { properties, code: 0, .. } = broker.only(client) else { panic!("no CONNACK") };
            let Some(Value::Bytes(identifier)) = properties.get(0x12) else { panic!("{properties:?}") };
            let identifier = String::from_utf8(identifier.clone()).unwrap();
            assert!(!identifier.is_empty() && !assigned.contains(&identifier), "{identifier} again");
            assigned.push(identifier);
        }
        // It is the client's as if the client had chosen it: whoever uses it takes over.
        let first = broker.open(V5);
        broker.send(first, &connect("").bytes(V5));
        let Packet::Connack { properties, .. } = broker.only(first) else { panic!("no CONNACK") };
        let Some(Value::Bytes(identifier)) = properties.get(0x12) else { panic!("{properties:?}") };
        broker.connect(V5, std::str::from_utf8(identifier).unwrap());
        broker.assert_closed(first, 0x8e);
        // Whoever chose one is not assigned another.
        let chosen = broker.open(V5);
        broker.send(chosen, &connect("chosen").bytes(V5));
        let Packet::Connack { properties, .. } = broker.only(chosen) else { panic!("no CONNACK") };
        assert_eq!(properties.get(0x12), None);
    });
}

// proves 3.1.1: MQTT-3.1.3-6
#[test]
fn clients_of_3_1_1_without_a_client_identifier_are_apart() {
    on_each_shape(|broker| {
        let clients = [(); 3].map(|()| broker.connect(V311, ""));
        for client in clients {
            assert!(!broker.is_closed(client));
            broker.subscribe(client, "a", 0);
        }
        broker.publish(clients[0], &publish("a", "x"));
        for client in clients {
            assert_eq!(broker.payloads(client), ["x"]);
        }
    });
}

// proves 3.1.1: MQTT-3.1.3-7, MQTT-3.1.3-8, MQTT-3.1.3-9
#[test]
fn an_empty_client_identifier_without_clean_session_gets_return_code_2() {
    on_each_shape(|broker| {
        let request = Connect { clean: false, ..connect("") };
        let (packets, is_closed) = answer(broker, V311, &request.bytes(V311));
        assert_eq!((connack(&packets), is_closed), ((false, 2), true));
    });
}

// proves 5.0: MQTT-3.1.3-2, MQTT-3.1.4-3, MQTT-3.14.2-1, MQTT-3.14.2-2
// proves 3.1.1: MQTT-3.1.3-2, MQTT-3.1.4-2
#[test]
fn a_second_connection_of_a_client_identifier_ends_the_first() {
    on_each_shape_and_version(|broker, version| {
        let first = broker.connect(version, "c");
        let other = broker.connect(version, "C");
        let second = broker.connect(version, "c");
        let packets = broker.take(first);
        assert!(broker.is_closed(first));
        match version {
            V311 => assert_eq!(packets, []),
            V5 => assert!(
                matches!(&packets[..], [Packet::Disconnect { code: 0x8e, properties }] if properties.get(0x11).is_none()),
                "{packets:?}"
            ),
        }
        assert!(!broker.is_closed(second) && !broker.is_closed(other), "others are others");
    });
}

// proves 5.0: MQTT-3.1.4-6
// proves 3.1.1: MQTT-3.1.4-5
#[test]
fn after_a_connect_that_was_refused_nothing_is_processed() {
    on_each_shape_and_version(|broker, version| {
        let watcher = broker.connect(version, "watcher");
        broker.subscribe(watcher, "#", 0);
        let mut request = changed(&connect("c"), version, FLAGS_AT, |flags| flags | 1);
        request.extend(publish("a", "x").bytes(version));
        let client = broker.open(version);
        broker.send(client, &request);
        broker.send(client, &publish("a", "y").bytes(version));
        assert_eq!(broker.payloads(watcher), [""; 0]);
    });
}

// proves 5.0: MQTT-3.1.2-22, MQTT-3.2.2-22
// proves 3.1.1: MQTT-3.1.2-24
#[test]
fn nothing_for_one_and_a_half_keep_alive_closes_the_connection() {
    on_each_shape_and_version(|broker, version| {
        let (client, _) = broker.connect_as(version, &connect("c").keep_alive(10));
        for _ in 0..3 {
            broker.pass(Duration::from_millis(14_900));
            assert!(!broker.is_closed(client));
            broker.send(client, &[0xc0, 0]);
            assert_eq!(broker.only(client), Packet::Pingresp);
        }
        broker.pass(Duration::from_millis(15_100));
        broker.assert_closed(client, 0x8d);
        let (without, _) = broker.connect_as(version, &connect("d"));
        broker.pass(Duration::from_hours(48));
        assert!(!broker.is_closed(without), "Keep Alive 0 turns it off");
    });
}

// proves 5.0: MQTT-3.2.2-22
#[test]
fn a_keep_alive_that_is_too_long_gets_another_and_that_holds() {
    on_each_shape(|broker| {
        for (asked, told) in [(10, None), (3_600, None), (7_200, Some(3_600))] {
            let client = broker.open(V5);
            broker.send(client, &connect("c").keep_alive(asked).bytes(V5));
            let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
            assert_eq!(properties.number(0x13), told, "{asked} s");
            let holds = told.unwrap_or_else(|| asked.into());
            broker.pass(Duration::from_millis(u64::from(holds) * 1_500 - 1));
            assert!(!broker.is_closed(client));
            broker.pass(Duration::from_millis(100));
            broker.assert_closed(client, 0x8d);
        }
    });
}

// proves 5.0: MQTT-3.2.2-9, MQTT-3.2.2-10, MQTT-3.2.2-12, MQTT-3.2.2-13
// proves 3.1.1: MQTT-3.8.3-2
#[test]
fn a_server_of_all_levels_restricts_none() {
    on_each_shape(|broker| {
        let client = broker.open(V5);
        let will = Will { topic: "w", payload: "x", qos: 2, retain: true, ..Will::default() };
        broker.send(client, &connect("c").will(will).bytes(V5));
        let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        assert_eq!(properties.number(0x24), None, "Maximum QoS is 2");
        for available in [0x25, 0x28, 0x29, 0x2a] {
            assert_ne!(properties.number(available), Some(0), "property 0x{available:02x}");
        }
        broker.send(client, &subscribe(V5, 1, &[("a", 0), ("b/#", 1), ("+/c", 2)], &[]));
        let Packet::Suback { codes, .. } = broker.only(client) else { panic!("no SUBACK") };
        assert_eq!(codes, [0, 1, 2]);
    });
}

// proves 5.0: MQTT-3.2.2-19, MQTT-3.2.2-20, MQTT-3.1.2-28
#[test]
fn connack_says_nothing_that_a_small_client_cannot_take() {
    let setup = Setup::default();
    for shape in [Shape::OneCore, Shape::TwoCores] {
        let mut broker = Broker::new(shape, setup.clone());
        let client = broker.open(V5);
        broker.send(client, &connect("c").with(&[0x27, 0, 0, 0, 60]).bytes(V5));
        let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        assert!(properties.get(0x1a).is_none(), "nobody asked for Response Information");
        assert!(broker.largest_packet_bytes(client) <= 60);
    }
}

// proves 5.0: MQTT-4.2.0-1
// proves 3.1.1: MQTT-7.1.1-1
#[test]
fn a_stream_may_be_cut_anywhere() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.open(version);
        let stream =
            [connect("c").bytes(version), subscribe(version, 1, &[("a", 0)], &[]), publish("a", "x").bytes(version)];
        for byte in stream.concat() {
            broker.send(client, &[byte]);
        }
        let packets = broker.take(client);
        assert!(
            matches!(&packets[..], [Packet::Connack { .. }, Packet::Suback { .. }, Packet::Publish(publish)] if publish.payload == b"x"),
            "{packets:?}"
        );
    });
}
