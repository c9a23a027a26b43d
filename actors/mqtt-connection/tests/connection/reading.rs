//! Reading stops at every limit, starts again below half of it, and does not stop for ever.

use std::time::Duration;

use contract::{Actor, WillFate};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, detach, publish, published, subscribe, written};

#[test]
fn qos_0_is_held_back_by_count_and_by_bytes() {
    let by_count = ConnectionConfig { publishes_count_max: 4, ..ConnectionConfig::default() };
    let by_bytes = ConnectionConfig { publishes_bytes_max: 400, ..ConnectionConfig::default() };
    for config in [by_count, by_bytes] {
        let mut harness = Harness::connected_v5(config);
        let bytes: Vec<u8> = (0..10).flat_map(|_| publish(5, 0, 0, "a", &[], &[7; 60])).collect();
        let effects = harness.receive(&bytes);
        assert_eq!(effects.last(), Some(&Effect::PauseReading));
        let mut batches = published(&effects);
        let mut count = batches[0].2.len();
        assert!(count < 10);
        let mut resumed = false;
        while !batches.is_empty() {
            let effects = harness.message(Message::Accepted { token: batches[0].1 });
            batches = published(&effects);
            count += batches.iter().map(|batch| batch.2.len()).sum::<usize>();
            resumed |= effects.contains(&Effect::ResumeReading);
        }
        assert!(count == 10 && resumed, "{count}, {resumed}");
    }
}

#[test]
fn a_socket_that_stays_unread_for_too_long_is_closed() {
    let config = ConnectionConfig { publishes_count_max: 1, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    harness.receive(&publish(5, 0, 0, "a", &[], b"x"));
    assert_eq!(harness.advance(Duration::from_millis(29_999)), [], "the keep-alive of 15 s is suspended");
    let effects = harness.advance(Duration::from_millis(1));
    let last_word = Effect::Write(vec![0xe0, 0x01, 0x97].into());
    assert_eq!(effects, [last_word, Effect::Close, detach(WillFate::Publish)]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::UnreadTooLong), Effect::Gone]);
}

#[test]
fn the_keep_alive_starts_anew_when_reading_does() {
    let config = ConnectionConfig { publishes_count_max: 1, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    let token = published(&harness.receive(&publish(5, 0, 0, "a", &[], b"x")))[0].1;
    harness.advance(Duration::from_secs(20));
    assert_eq!(harness.message(Message::Accepted { token }), [Effect::ResumeReading]);
    assert_eq!(harness.advance(Duration::from_millis(14_999)), []);
    assert!(harness.advance(Duration::from_millis(1)).contains(&Effect::Close));
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_not_read() {
    let config = ConnectionConfig { output_bytes_max: 100, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v311(config);
    harness.message(Message::Written { bytes: 4 });
    let effects = harness.receive(&[0xc0, 0x00].repeat(150));
    assert_eq!(written(&effects).len(), 200, "twice the limit");
    assert_eq!(effects.last(), Some(&Effect::PauseReading));
    assert_eq!(harness.message(Message::Written { bytes: 100 }), []);
    let effects = harness.message(Message::Written { bytes: 100 });
    assert_eq!(written(&effects).len(), 100, "the rest");
    harness.message(Message::Written { bytes: 100 });
}

#[test]
fn many_subscribes_wait_for_the_partitions() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let bytes: Vec<u8> = (1..=40).flat_map(|id| subscribe(5, id, &[("a", 0)])).collect();
    let effects = harness.receive(&bytes);
    let asked = effects.iter().filter(|effect| matches!(effect, Effect::Subscribe { .. })).count();
    assert_eq!(asked, 16);
    assert_eq!(effects.last(), Some(&Effect::PauseReading));
}

#[test]
fn what_a_peer_sent_before_it_left_is_read_as_partitions_take_it() {
    let config = ConnectionConfig { publishes_count_max: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v311(config);
    let mut bytes: Vec<u8> = (0..5).flat_map(|_| publish(4, 0, 0, "a", &[], b"x")).collect();
    bytes.extend([0xe0, 0x00]);
    let mut batches = published(&harness.receive(&bytes));
    assert_eq!(harness.message(Message::SocketClosed), []);
    let mut count = 0;
    let mut all = Vec::new();
    while let Some((_, token, publications)) = batches.pop() {
        count += publications.len();
        let effects = harness.message(Message::Accepted { token });
        batches.extend(published(&effects));
        all.extend(effects);
    }
    assert_eq!(count, 5);
    assert!(
        all.ends_with(&[detach(WillFate::Delete), Effect::Ended(EndReason::ClientDisconnected), Effect::Gone]),
        "{all:?}"
    );
    assert_eq!(harness.connection.poll_timeout(), None);
}

#[test]
fn a_peer_that_outruns_the_steps_is_not_read() {
    let config = ConnectionConfig {
        partitions_count: 1_024,
        publishes_count_max: 1_000_000,
        publishes_bytes_max: 1 << 30,
        ..ConnectionConfig::default()
    };
    let mut harness = Harness::connected_v5(config);
    let bytes: Vec<u8> = (0..20_000).flat_map(|n| publish(5, 0, 0, &format!("t/{n}"), &[], b"x")).collect();
    let effects = harness.receive(&bytes);
    assert!(effects.contains(&Effect::PauseReading) && effects.contains(&Effect::ResumeReading));
    assert_eq!(published(&effects).iter().map(|batch| batch.2.len()).sum::<usize>(), 20_000);
    assert_eq!(harness.connection.buffered_bytes(), 21, "CONNACK was not written yet");
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<mqtt_connection::Connection>() <= 400, "{}", size_of::<mqtt_connection::Connection>());
}
