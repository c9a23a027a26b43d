//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2; MQTT 3.1.1 §3.1, §3.2).

use std::time::Duration;

use contract::{PartitionIndex, partition_of};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, connect_v5, connect_v5_will, connect_v311, publish, written};

#[test]
fn a_3_1_1_client_connects_once_its_home_partition_knows_it() {
    let mut harness = Harness::new(ConnectionConfig { partitions_count: 4, ..ConnectionConfig::default() });
    let effects = harness.receive(&connect_v311("sensor", 0));
    let home = partition_of(b"sensor", 4);
    assert_eq!(effects, [Effect::Attach { partition: home, client_identifier: "sensor".into() }]);
    let effects = harness.message(Message::Attached { session_present: false });
    assert_eq!(written(&effects), [0x20, 0x02, 0x00, 0x00]);
}

#[test]
fn a_5_0_client_is_told_what_the_server_can_do() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x11, 0, 0, 0, 60]));
    let effects = harness.message(Message::Attached { session_present: false });
    let expected = [
        &[0x20, 0x1d, 0x00, 0x00, 0x1a][..], // CONNACK, Success, Property Length 26
        &[0x11, 0, 0, 0, 0],                 // Session Expiry Interval 0
        &[0x21, 0x01, 0x00],                 // Receive Maximum 256
        &[0x24, 0x01],                       // Maximum QoS 1
        &[0x25, 0x01],                       // Retain Available
        &[0x27, 0x00, 0x10, 0x00, 0x00],     // Maximum Packet Size 1 MiB
        &[0x28, 0x01],                       // Wildcard Subscription Available
        &[0x29, 0x01],                       // Subscription Identifiers Available
        &[0x2a, 0x00],                       // Shared Subscription not available
    ];
    let bytes = written(&effects);
    assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
    assert_eq!(bytes[4..].len() - 1, usize::from(bytes[4]));
    assert_eq!(bytes[5..], expected[1..].concat());
}

#[test]
fn an_assigned_client_identifier_is_said_and_is_what_attaches() {
    let mut harness = Harness::new(ConnectionConfig { client_identifier_seed: 0xab, ..ConnectionConfig::default() });
    let effects = harness.receive(&connect_v5("", 10, &[]));
    let assigned = "millicore-ab-1.2.3";
    assert_eq!(effects, [Effect::Attach { partition: PartitionIndex(0), client_identifier: assigned.into() }]);
    let bytes = written(&harness.message(Message::Attached { session_present: false }));
    let property = [&[0x12, 0, 18][..], assigned.as_bytes()].concat();
    assert!(bytes.windows(property.len()).any(|window| window == property));
}

#[test]
fn a_socket_without_connect_is_closed_at_the_connect_timeout() {
    let mut harness = Harness::new(ConnectionConfig::default());
    assert_eq!(harness.advance(Duration::from_millis(9_999)), []);
    assert_eq!(harness.advance(Duration::from_millis(1)), [Effect::Close]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ConnectTimeout), Effect::Gone]);
}

#[test]
fn a_first_packet_that_is_no_connect_ends_the_connection_without_a_word() {
    // MQTT-3.1.0-1; there is no version to answer in.
    let mut harness = Harness::new(ConnectionConfig::default());
    assert_eq!(harness.receive(&[0xc0, 0x00]), [Effect::Close]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ProtocolError(0x82)), Effect::Gone]);
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    // MQTT-3.1.0-2.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&connect_v5("c", 10, &[]));
    assert_eq!(effects, [Effect::Write(vec![0xe0, 0x01, 0x82].into()), Effect::Close]);
}

#[test]
fn each_version_is_refused_in_its_own_way() {
    let refused = |bytes: &[u8]| {
        let mut harness = Harness::new(ConnectionConfig::default());
        let effects = harness.receive(bytes);
        assert_eq!(effects.last(), Some(&Effect::Close));
        let ended = harness.message(Message::SocketClosed);
        assert!(matches!(ended[..], [Effect::Ended(_), Effect::Gone]), "{ended:?}");
        written(&effects)
    };
    // MQTT-3.1.2-2: level 3 of the older protocol, and a level to come.
    assert_eq!(refused(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x0a\x00\x01c"), [0x20, 0x02, 0x00, 0x01]);
    assert_eq!(refused(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x0a\x00\x01c"), [0x20, 0x02, 0x00, 0x01]);
    // MQTT 3.1.1, MQTT-3.1.3-8: no Client Identifier, but a session.
    assert_eq!(refused(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x0a\x00\x00"), [0x20, 0x02, 0x00, 0x02]);
    // An Authentication Method, and a malformed packet, under 5.0.
    assert_eq!(refused(&connect_v5("c", 10, b"\x15\x00\x01x")), [0x20, 0x03, 0x00, 0x8c, 0x00]);
    assert_eq!(refused(&connect_v5("c", 10, b"\x21\x00\x00")), [0x20, 0x03, 0x00, 0x82, 0x00]);
    // A reserved flag under 3.1.1 has no answer.
    assert_eq!(refused(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x0a\x00\x01c"), []);
    // MQTT-3.2.2-12: a Will above the Maximum QoS; a Will for `$SYS`.
    assert_eq!(refused(&connect_v5_will("state", "gone", 2)), [0x20, 0x03, 0x00, 0x9b, 0x00]);
    assert_eq!(refused(&connect_v5_will("$SYS/x", "gone", 1)), [0x20, 0x03, 0x00, 0x90, 0x00]);
}

#[test]
fn a_long_keep_alive_is_shortened_for_5_0_and_holds_for_3_1_1() {
    let config = || ConnectionConfig { keep_alive_max: Duration::from_secs(20), ..ConnectionConfig::default() };
    let mut harness = Harness::new(config());
    harness.receive(&connect_v5("c", 100, &[]));
    let bytes = written(&harness.message(Message::Attached { session_present: false }));
    assert!(bytes.ends_with(&[0x13, 0x00, 20]), "Server Keep Alive (MQTT-3.2.2-21): {bytes:02x?}");
    assert_eq!(harness.advance(Duration::from_millis(29_999)), []);
    assert_eq!(harness.advance(Duration::from_millis(1)).last(), Some(&Effect::Close));

    let mut harness = Harness::new(config());
    harness.receive(&connect_v311("c", 100));
    harness.message(Message::Attached { session_present: false });
    assert_eq!(harness.advance(Duration::from_millis(149_999)), []);
    assert_eq!(harness.advance(Duration::from_millis(1)), [Effect::Close]);
}

#[test]
fn what_comes_before_connack_waits_for_it() {
    let mut harness = Harness::new(ConnectionConfig::default());
    let bytes = [connect_v311("c", 10), publish(4, 1, 7, "a", &[], b"x")].concat();
    assert!(matches!(harness.receive(&bytes)[..], [Effect::Attach { .. }]));
    let effects = harness.message(Message::Attached { session_present: false });
    assert!(matches!(effects[..], [Effect::Publish { .. }, Effect::Write(_)]), "{effects:?}");
}

#[test]
fn a_client_that_does_not_wait_for_connack_may_leave_at_once() {
    let mut harness = Harness::new(ConnectionConfig::default());
    let bytes = [connect_v311("c", 10), publish(4, 0, 0, "a", &[], b"x"), vec![0xe0, 0x00]].concat();
    harness.receive(&bytes);
    assert_eq!(harness.message(Message::SocketClosed), []);
    let effects = harness.message(Message::Attached { session_present: false });
    let tail = [Effect::Detach, Effect::Ended(EndReason::ClientDisconnected), Effect::Gone];
    assert!(matches!(effects[0], Effect::Publish { .. }) && effects[1..] == tail, "{effects:?}");
}

#[test]
fn a_client_that_cannot_take_its_answers_is_refused() {
    // MQTT-3.1.2-24.
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x27, 0, 0, 0, 10]));
    let effects = harness.message(Message::Attached { session_present: false });
    assert_eq!(effects, [Effect::Write(vec![0x20, 0x03, 0x00, 0x95, 0x00].into()), Effect::Close]);
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x27, 0, 0, 0, 40]));
    harness.message(Message::Attached { session_present: false });
    let effects = harness.receive(&crate::support::subscribe(5, 1, &[("#a", 0); 40]));
    assert_eq!(effects, [Effect::Write(vec![0xe0, 0x01, 0x95].into()), Effect::Close]);
}

#[test]
fn too_much_before_connack_is_not_read() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v311("c", 10));
    assert_eq!(harness.receive(&vec![0xc0; 16 << 10]), [Effect::PauseReading]);
    assert_eq!(harness.receive(&[0xc0]), []);
}

#[test]
fn a_session_is_present_only_where_the_client_wants_one() {
    for (flags, session_present) in [(0x00, 0x01), (0x02, 0x00)] {
        let mut harness = Harness::new(ConnectionConfig::default());
        harness.receive(&[b"\x10\x0d\x00\x04MQTT\x04", &[flags][..], b"\x00\x0a\x00\x01c"].concat());
        let effects = harness.message(Message::Attached { session_present: true });
        assert_eq!(written(&effects), [0x20, 0x02, session_present, 0x00]);
    }
}
