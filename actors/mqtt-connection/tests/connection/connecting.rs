//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2; MQTT 3.1.1 §3.1, §3.2).

use std::time::Duration;

use contract::{PartitionIndex, partition_of};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, connect_v5, connect_v311, written};

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
