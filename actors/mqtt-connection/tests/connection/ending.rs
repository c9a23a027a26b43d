//! Every way to end, and the Will Message (MQTT 5.0 §3.14, §4.13, §3.1.2.5).

use std::time::Duration;

use contract::Actor;
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, connect_v5_will, publish, published, written};

/// Something that ends a connection.
type End = fn(&mut Harness) -> Vec<Effect>;

fn with_will() -> Harness {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5_will("state", "gone", 1));
    harness.message(Message::Attached { session_present: false });
    harness
}

#[test]
fn a_normal_disconnect_deletes_the_will() {
    // MQTT-3.14.4-3.
    let mut harness = with_will();
    assert_eq!(harness.receive(&[0xe0, 0x00]), [Effect::Close]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Detach, Effect::Ended(EndReason::ClientDisconnected), Effect::Gone]);
    assert_eq!(harness.message(Message::Stop), [], "nothing follows Gone");
}

#[test]
fn every_other_end_publishes_the_will() {
    // MQTT-3.1.2-8; MQTT 5.0 §3.1.2.5.
    let ends: [(&str, End); 6] = [
        ("the socket closed", |_| Vec::new()),
        ("DISCONNECT with Will Message", |harness| harness.receive(&[0xe0, 0x01, 0x04])),
        ("a malformed packet", |harness| harness.receive(&[0x00, 0x00])),
        ("keep-alive", |harness| harness.advance(Duration::from_secs(15))),
        ("taken over", |harness| harness.message(Message::TakenOver)),
        ("the server stops", |harness| harness.message(Message::Stop)),
    ];
    for (name, end) in ends {
        let mut harness = with_will();
        end(&mut harness);
        let effects = harness.message(Message::SocketClosed);
        let (_, _, publications) = &published(&effects)[0];
        assert_eq!(publications[0].topic_name_str(), "state", "{name}");
        assert_eq!(publications[0].payload(), b"gone", "{name}");
        let tail = &effects[1..];
        assert!(matches!(tail, [Effect::Detach, Effect::Ended(_), Effect::Gone]), "{name}: {tail:?}");
    }
}

#[test]
fn a_closed_socket_ends_the_connection_however_many_answers_nobody_takes() {
    let config = ConnectionConfig { output_bytes_max: 20, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v311(config);
    let effects = harness.receive(&[0xc0, 0x00].repeat(200));
    assert_eq!(effects.last(), Some(&Effect::PauseReading), "answers wait for the socket");
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Detach, Effect::Ended(EndReason::SocketClosed), Effect::Gone]);
}

#[test]
fn the_server_says_why_it_leaves() {
    let last_word = |end: End| {
        let mut harness = Harness::connected_v5(ConnectionConfig::default());
        let effects = end(&mut harness);
        assert_eq!(effects.last(), Some(&Effect::Close));
        written(&effects)
    };
    assert_eq!(last_word(|harness| harness.message(Message::TakenOver)), [0xe0, 0x01, 0x8e]);
    assert_eq!(last_word(|harness| harness.message(Message::Stop)), [0xe0, 0x01, 0x8b]);
    assert_eq!(last_word(|harness| harness.advance(Duration::from_secs(15))), [0xe0, 0x01, 0x8d]);
    assert_eq!(last_word(|harness| harness.receive(&[0x30, 0xff, 0xff, 0xff, 0x7f])), [0xe0, 0x01, 0x95]);
    assert_eq!(last_word(|harness| harness.receive(&[0x00, 0x00])), [0xe0, 0x01, 0x81]);
    assert_eq!(last_word(|harness| harness.receive(&[0xf0, 0x00])), [0xe0, 0x01, 0x82], "AUTH without a method");
    assert_eq!(last_word(|harness| harness.receive(&[0x50, 0x02, 0x00, 0x01])), [0xe0, 0x01, 0x82], "PUBREC");
    let session_expiry = [0xe0, 0x07, 0x00, 0x05, 0x11, 0x00, 0x00, 0x00, 0x01];
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    assert_eq!(written(&harness.receive(&session_expiry)), [0xe0, 0x01, 0x82], "MQTT 5.0 §3.14.2.2.2");
}

#[test]
fn a_3_1_1_client_is_left_without_a_word() {
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    assert_eq!(harness.message(Message::TakenOver), [Effect::Close]);
}

#[test]
fn a_client_that_pings_stays() {
    // MQTT-3.12.4-1.
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    for _ in 0..10 {
        assert_eq!(harness.advance(Duration::from_secs(14)), []);
        assert_eq!(harness.receive(&[0xc0, 0x00]), [Effect::Write(vec![0xd0, 0x00].into())]);
    }
}

#[test]
fn pubrel_without_an_exchange_is_answered() {
    // MQTT 5.0 §3.7.2.1: Packet Identifier not found.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    assert_eq!(written(&harness.receive(&[0x62, 0x02, 0x00, 0x05])), [0x70, 0x03, 0x00, 0x05, 0x92]);
}

#[test]
fn nothing_is_read_after_the_end_was_decided() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&[vec![0xe0, 0x00], publish(5, 0, 0, "a", &[], b"late")].concat());
    assert_eq!(effects, [Effect::Close]);
    assert_eq!(harness.receive(&publish(5, 0, 0, "a", &[], b"later")), []);
    assert_eq!(harness.connection.poll_timeout(), None);
}

#[test]
fn a_socket_that_closes_before_connack_leaves_the_home_partition() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&crate::support::connect_v311("c", 10));
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Detach, Effect::Ended(EndReason::SocketClosed), Effect::Gone]);
    assert_eq!(harness.message(Message::Attached { session_present: false }), []);
}
