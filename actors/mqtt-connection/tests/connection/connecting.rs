//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2; MQTT 3.1.1 §3.1, §3.2).

use std::time::Duration;

use contract::{AttachRequest, PartitionIndex, Refusal, SessionState, WillFate, partition_of};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{
    Harness, attached, attached_with, connect_v5, connect_v5_will, connect_v311, detach, publish, written,
};

fn attach(partition: PartitionIndex, client_identifier: &str) -> Effect {
    let request = AttachRequest {
        client_identifier: client_identifier.into(),
        clean_start: true,
        session_expiry_s: 0,
        will: None,
    };
    Effect::Attach { partition, request: Box::new(request) }
}

#[test]
fn a_3_1_1_client_connects_once_its_home_partition_knows_it() {
    let mut harness = Harness::new(ConnectionConfig { partitions_count: 4, ..ConnectionConfig::default() });
    let effects = harness.receive(&connect_v311("sensor", 0));
    let home = partition_of(b"sensor", 4);
    assert_eq!(effects, [attach(home, "sensor")]);
    let effects = harness.message(attached());
    assert_eq!(written(&effects), [0x20, 0x02, 0x00, 0x00]);
}

#[test]
fn a_5_0_client_is_told_what_the_server_can_do() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x11, 0, 0, 0, 60]));
    let effects = harness.message(attached());
    let expected = [
        &[0x20, 0x16, 0x00, 0x00, 0x13][..], // CONNACK, Success, Property Length 19
        &[0x21, 0x01, 0x00],                 // Receive Maximum 256
        &[0x25, 0x01],                       // Retain Available
        &[0x27, 0x00, 0x10, 0x00, 0x00],     // Maximum Packet Size 1 MiB
        &[0x28, 0x01],                       // Wildcard Subscription Available
        &[0x29, 0x01],                       // Subscription Identifiers Available
        &[0x2a, 0x01],                       // Shared Subscription available
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
    assert_eq!(effects, [attach(PartitionIndex(0), assigned)]);
    let bytes = written(&harness.message(attached()));
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
    assert_eq!(written(&effects), [0xe0, 0x01, 0x82]);
    assert!(effects.contains(&Effect::Close));
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
    // MQTT-3.1.2-2: level 3 of the older protocol, and a level to come, which is answered as 5.0 would be.
    assert_eq!(refused(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x0a\x00\x01c"), [0x20, 0x02, 0x00, 0x01]);
    assert_eq!(refused(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x0a\x00\x01c"), [0x20, 0x03, 0x00, 0x84, 0x00]);
    // MQTT 3.1.1, MQTT-3.1.3-8: no Client Identifier, but a session.
    assert_eq!(refused(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x0a\x00\x00"), [0x20, 0x02, 0x00, 0x02]);
    // An Authentication Method, and a malformed packet, under 5.0.
    assert_eq!(refused(&connect_v5("c", 10, b"\x15\x00\x01x")), [0x20, 0x03, 0x00, 0x8c, 0x00]);
    assert_eq!(refused(&connect_v5("c", 10, b"\x21\x00\x00")), [0x20, 0x03, 0x00, 0x82, 0x00]);
    // A reserved flag under 3.1.1 has no answer.
    assert_eq!(refused(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x0a\x00\x01c"), []);
    // A Will for `$SYS`, which the server keeps for itself (MQTT 5.0 §4.7.2).
    assert_eq!(refused(&connect_v5_will("$SYS/x", "gone", 1)), [0x20, 0x03, 0x00, 0x90, 0x00]);
}

#[test]
fn a_long_keep_alive_is_shortened_for_5_0_and_holds_for_3_1_1() {
    let config = || ConnectionConfig { keep_alive_max: Duration::from_secs(20), ..ConnectionConfig::default() };
    let mut harness = Harness::new(config());
    harness.receive(&connect_v5("c", 100, &[]));
    let bytes = written(&harness.message(attached()));
    assert!(bytes.ends_with(&[0x13, 0x00, 20]), "Server Keep Alive (MQTT-3.2.2-21): {bytes:02x?}");
    assert_eq!(harness.advance(Duration::from_millis(29_999)), []);
    assert!(harness.advance(Duration::from_millis(1)).contains(&Effect::Close));

    let mut harness = Harness::new(config());
    harness.receive(&connect_v311("c", 100));
    harness.message(attached());
    assert_eq!(harness.advance(Duration::from_millis(149_999)), []);
    assert!(harness.advance(Duration::from_millis(1)).contains(&Effect::Close));
}

#[test]
fn what_comes_before_connack_waits_for_it() {
    let mut harness = Harness::new(ConnectionConfig::default());
    let bytes = [connect_v311("c", 10), publish(4, 1, 7, "a", &[], b"x")].concat();
    assert!(matches!(harness.receive(&bytes)[..], [Effect::Attach { .. }]));
    let effects = harness.message(attached());
    assert!(matches!(effects[..], [Effect::Publish { .. }, Effect::Write(_)]), "{effects:?}");
}

#[test]
fn a_client_that_does_not_wait_for_connack_may_leave_at_once() {
    let mut harness = Harness::new(ConnectionConfig::default());
    let bytes = [connect_v311("c", 10), publish(4, 0, 0, "a", &[], b"x"), vec![0xe0, 0x00]].concat();
    harness.receive(&bytes);
    assert_eq!(harness.message(Message::SocketClosed), []);
    let effects = harness.message(attached());
    let tail = [detach(WillFate::Delete), Effect::Ended(EndReason::ClientDisconnected), Effect::Gone];
    assert!(matches!(effects[0], Effect::Publish { .. }) && effects[1..] == tail, "{effects:?}");
}

#[test]
fn a_client_that_cannot_take_its_answers_is_refused() {
    // MQTT-3.1.2-24.
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x27, 0, 0, 0, 10]));
    let effects = harness.message(attached());
    let refusal = Effect::Write(vec![0x20, 0x03, 0x00, 0x95, 0x00].into());
    assert_eq!(effects, [refusal, Effect::Close, detach(WillFate::Delete)]);
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x27, 0, 0, 0, 40]));
    harness.message(attached());
    let effects = harness.receive(&crate::support::subscribe(5, 1, &[("#a", 0); 40]));
    assert_eq!(written(&effects), [0xe0, 0x01, 0x95]);
    assert!(effects.contains(&Effect::Close));
}

#[test]
fn too_much_before_connack_is_not_read() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v311("c", 10));
    assert_eq!(harness.receive(&vec![0xc0; 16 << 10]), [Effect::PauseReading]);
    assert_eq!(harness.receive(&[0xc0]), []);
}

#[test]
fn session_present_says_whether_the_home_had_one() {
    // MQTT-3.2.2-2, MQTT-3.2.2-3.
    for (state, session_present) in [(attached(), 0x00), (attached_with(SessionState::default()), 0x01)] {
        let mut harness = Harness::new(ConnectionConfig::default());
        harness.receive(b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x0a\x00\x01c");
        assert_eq!(written(&harness.message(state)), [0x20, 0x02, session_present, 0x00]);
    }
}

/// What the home is asked for by the CONNECT `bytes`.
fn request(config: ConnectionConfig, bytes: &[u8]) -> AttachRequest {
    let effects = Harness::new(config).receive(bytes);
    let [Effect::Attach { request, .. }] = &effects[..] else { panic!("{effects:?}") };
    (**request).clone()
}

#[test]
fn a_session_lasts_as_long_as_the_client_asks_and_the_server_allows() {
    // MQTT 5.0 §3.1.2.11.2, §3.2.2.3.2; 3.1.1 has Clean Session for it (MQTT 3.1.1 §3.1.2.4).
    let config =
        || ConnectionConfig { session_expiry_max_s: 100, session_expiry_v3_s: 90, ..ConnectionConfig::default() };
    let expiry = |seconds: u32| [&[0x11][..], &seconds.to_be_bytes()].concat();
    assert_eq!(request(config(), &connect_v5("c", 10, &expiry(60))).session_expiry_s, 60);
    assert_eq!(request(config(), &connect_v5("c", 10, &expiry(u32::MAX))).session_expiry_s, 100);
    assert_eq!(request(config(), &connect_v5("c", 10, &[])).session_expiry_s, 0);
    let clean = request(config(), &connect_v311("c", 10));
    assert_eq!((clean.session_expiry_s, clean.clean_start), (0, true));
    let kept = request(config(), b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x0a\x00\x01c");
    assert_eq!((kept.session_expiry_s, kept.clean_start), (90, false));

    let mut harness = Harness::new(config());
    harness.receive(&connect_v5("c", 10, &expiry(101)));
    let bytes = written(&harness.message(attached()));
    assert_eq!(bytes[5..10], [0x11, 0, 0, 0, 100], "Session Expiry Interval in CONNACK");
}

#[test]
fn the_will_goes_to_the_home_with_its_delay() {
    // MQTT-3.1.2-7.
    let request = request(ConnectionConfig::default(), &connect_v5_will("state", "gone", 2));
    let will = request.will.expect("it has one");
    assert_eq!((will.publication.topic_name_str(), will.publication.payload()), ("state", &b"gone"[..]));
    assert_eq!((will.publication.qos(), will.delay_s), (contract::QoS::ExactlyOnce, 0));
}

#[test]
fn a_home_without_room_refuses_in_the_words_of_the_version() {
    for (bytes, expected) in [
        (connect_v5("c", 10, &[]), &[0x20, 0x03, 0x00, 0x97, 0x00][..]),
        (connect_v311("c", 10), &[0x20, 0x02, 0x00, 0x03]),
    ] {
        let mut harness = Harness::new(ConnectionConfig::default());
        harness.receive(&bytes);
        let effects = harness.message(Message::AttachRefused { refusal: Refusal::QuotaExceeded });
        assert_eq!(effects, [Effect::Write(expected.to_vec().into()), Effect::Close]);
        let effects = harness.message(Message::SocketClosed);
        assert_eq!(effects, [Effect::Ended(EndReason::ConnectRefused(0x97)), Effect::Gone]);
    }
}

#[test]
fn a_connection_that_waits_for_its_session_may_be_taken_over() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[]));
    assert_eq!(harness.message(Message::TakenOver), [Effect::Close], "no DISCONNECT before CONNACK (MQTT-3.14.0-1)");
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::TakenOver), Effect::Gone]);
}

#[test]
fn a_session_that_comes_after_the_end_goes_back_as_it_came() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.receive(&connect_v5("c", 10, &[0x11, 0, 0, 0, 60]));
    assert_eq!(harness.advance(Duration::from_secs(10)), [Effect::Close]);
    assert_eq!(harness.message(Message::SocketClosed), [], "the session is on its way");
    let state = SessionState { received: vec![4], last_packet_identifier: 9, ..SessionState::default() };
    let effects = harness.message(attached_with(state.clone()));
    let park = Effect::Park {
        partition: crate::support::SESSION.home,
        session: crate::support::SESSION,
        state: Box::new(state),
        session_expiry_s: 60,
        will: WillFate::Delete,
    };
    assert_eq!(effects, [park, Effect::Ended(EndReason::ConnectTimeout), Effect::Gone]);
}

#[test]
fn response_information_is_told_to_who_asks() {
    // MQTT 5.0 §3.1.2.11.6, §3.2.2.3.15.
    let config = || ConnectionConfig { response_information: Some("answers/".into()), ..ConnectionConfig::default() };
    let property = b"\x1a\x00\x08answers/";
    for (asked, told) in [(&[0x19, 1][..], true), (&[0x19, 0], false), (&[], false)] {
        let mut harness = Harness::new(config());
        harness.receive(&connect_v5("c", 10, asked));
        let bytes = written(&harness.message(attached()));
        assert_eq!(bytes.windows(property.len()).any(|window| window == property), told, "{asked:?}");
    }
}
