//! Every way to end (MQTT 5.0 §3.14, §4.13).

use std::time::Duration;

use contract::{Actor, WillFate};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, attached, connect_v5_will, detach, publish, written};

/// Something that ends a connection.
type End = fn(&mut Harness) -> Vec<Effect>;

fn with_will() -> Harness {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5_will("state", "gone", 1));
    harness.message(attached());
    harness
}

#[test]
fn a_normal_disconnect_deletes_the_will() {
    // MQTT-3.14.4-3, MQTT-3.1.2-10.
    let mut harness = with_will();
    assert_eq!(harness.receive(&[0xe0, 0x00]), [Effect::Close, detach(WillFate::Delete)]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ClientDisconnected), Effect::Gone]);
    assert_eq!(harness.message(Message::Stop), [], "nothing follows Gone");
}

#[test]
fn every_other_end_publishes_the_will() {
    // MQTT-3.1.2-8; MQTT 5.0 §3.1.2.5.
    let ends: [(&str, End); 6] = [
        ("the socket closed", |harness| harness.message(Message::SocketClosed)),
        ("DISCONNECT with Will Message", |harness| harness.receive(&[0xe0, 0x01, 0x04])),
        ("a malformed packet", |harness| harness.receive(&[0x00, 0x00])),
        ("keep-alive", |harness| harness.advance(Duration::from_secs(15))),
        ("taken over", |harness| harness.message(Message::TakenOver)),
        ("the server stops", |harness| harness.message(Message::Stop)),
    ];
    for (name, end) in ends {
        let mut harness = with_will();
        let mut effects = end(&mut harness);
        effects.extend(harness.message(Message::SocketClosed));
        let about_session: Vec<&Effect> =
            effects.iter().filter(|effect| matches!(effect, Effect::Detach { .. } | Effect::Park { .. })).collect();
        assert_eq!(about_session, [&detach(WillFate::Publish)], "{name}");
        assert!(matches!(effects[effects.len() - 2..], [Effect::Ended(_), Effect::Gone]), "{name}: {effects:?}");
    }
}

#[test]
fn the_session_is_given_back_when_the_end_is_decided() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.message(Message::TakenOver);
    let last_word = Effect::Write(vec![0xe0, 0x01, 0x8e].into());
    assert_eq!(effects, [last_word, Effect::Close, detach(WillFate::Publish)]);
    assert_eq!(harness.message(Message::TakenOver), []);
}

#[test]
fn a_closed_socket_ends_the_connection_however_many_answers_nobody_takes() {
    let config = ConnectionConfig { output_bytes_max: 20, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v311(config);
    let effects = harness.receive(&[0xc0, 0x00].repeat(200));
    assert_eq!(effects.last(), Some(&Effect::PauseReading), "answers wait for the socket");
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [detach(WillFate::Publish), Effect::Ended(EndReason::SocketClosed), Effect::Gone]);
}

#[test]
fn the_server_says_why_it_leaves() {
    let last_word = |end: End| {
        let mut harness = Harness::connected_v5(ConnectionConfig::default());
        let effects = end(&mut harness);
        assert!(effects.ends_with(&[Effect::Close, detach(WillFate::Publish)]), "{effects:?}");
        written(&effects)
    };
    assert_eq!(last_word(|harness| harness.message(Message::TakenOver)), [0xe0, 0x01, 0x8e]);
    assert_eq!(last_word(|harness| harness.message(Message::Stop)), [0xe0, 0x01, 0x8b]);
    assert_eq!(last_word(|harness| harness.advance(Duration::from_secs(15))), [0xe0, 0x01, 0x8d]);
    assert_eq!(last_word(|harness| harness.receive(&[0x30, 0xff, 0xff, 0xff, 0x7f])), [0xe0, 0x01, 0x95]);
    assert_eq!(last_word(|harness| harness.receive(&[0x00, 0x00])), [0xe0, 0x01, 0x81]);
    // MQTT-4.12.0-7: AUTH without an Authentication Method in CONNECT.

    assert_eq!(last_word(|harness| harness.receive(b"\xf0\x06\x18\x04\x15\x00\x01x")), [0xe0, 0x01, 0x82]);
    let session_expiry = [0xe0, 0x07, 0x00, 0x05, 0x11, 0x00, 0x00, 0x00, 0x01];
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    assert_eq!(written(&harness.receive(&session_expiry)), [0xe0, 0x01, 0x82], "MQTT 5.0 §3.14.2.2.2");
}

#[test]
fn the_server_says_why_in_words_to_a_client_that_takes_them() {
    // MQTT 5.0 §3.1.2.11.7, §3.14.2.2.3.
    let config = || ConnectionConfig { reason_strings: true, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config());
    let bytes = written(&harness.receive(&[0x00, 0x00]));
    let bytes_count = u8::try_from(bytes.len()).expect("short");
    assert_eq!(bytes[..5], [0xe0, bytes_count - 2, 0x81, bytes_count - 4, 0x1f]);
    assert!(String::from_utf8_lossy(&bytes[7..]).starts_with("malformed packet: "), "{bytes:?}");
    // MQTT-3.14.2-3: never past the client's Maximum Packet Size.
    for properties in [&[0x17, 0][..], &[0x27, 0, 0, 0, 40]] {
        let mut harness = Harness::new(config());
        harness.receive(&crate::support::connect_v5("c", 10, properties));
        harness.message(attached());
        assert_eq!(written(&harness.receive(&[0x00, 0x00])), [0xe0, 0x01, 0x81], "{properties:?}");
    }
}

#[test]
fn a_3_1_1_client_is_left_without_a_word() {
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    assert_eq!(harness.message(Message::TakenOver), [Effect::Close, detach(WillFate::Publish)]);
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
fn nothing_is_read_after_the_end_was_decided() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&[vec![0xe0, 0x00], publish(5, 0, 0, "a", &[], b"late")].concat());
    assert_eq!(effects, [Effect::Close, detach(WillFate::Delete)]);
    assert_eq!(harness.receive(&publish(5, 0, 0, "a", &[], b"later")), []);
    assert_eq!(harness.connection.poll_timeout(), None);
}

#[test]
fn a_socket_that_closes_before_connack_waits_for_the_home_partition() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&crate::support::connect_v311("c", 10));
    assert_eq!(harness.message(Message::SocketClosed), []);
    let effects = harness.message(attached());
    assert_eq!(effects, [detach(WillFate::Publish), Effect::Ended(EndReason::SocketClosed), Effect::Gone]);
    assert_eq!(harness.message(attached()), []);
}
