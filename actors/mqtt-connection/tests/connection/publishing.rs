//! PUBLISH in, PUBACK out (MQTT 5.0 §3.3, §3.4, §4.6).

use contract::{Actor, PublishToken, QoS, Refusal, WillFate, partition_of};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{Harness, detach, publish, published, written};

fn two_partitions() -> ConnectionConfig {
    ConnectionConfig { partitions_count: 2, ..ConnectionConfig::default() }
}

/// Two topics of different partitions.
fn topics() -> [&'static str; 2] {
    let second = ["b", "c", "d", "e", "f"].into_iter().find(|t| partition_of(t.as_bytes(), 2) != partition_of(b"a", 2));
    ["a", second.expect("one of five")]
}

#[test]
fn publications_of_one_read_travel_together_by_partition() {
    let mut harness = Harness::connected_v5(two_partitions());
    let [a, b] = topics();
    let bytes =
        [publish(5, 1, 1, a, &[], b"1"), publish(5, 0, 0, b, &[], b"2"), publish(5, 1, 3, a, &[], b"3")].concat();
    let effects = harness.receive(&bytes);
    let batches = published(&effects);
    assert_eq!(effects.len(), 2);
    let payloads: Vec<Vec<&[u8]>> =
        batches.iter().map(|(_, _, each)| each.iter().map(contract::Publication::payload).collect()).collect();
    assert_eq!(payloads, [vec![&b"1"[..], b"3"], vec![b"2"]]);
    assert_eq!(batches[0].0, partition_of(a.as_bytes(), 2));
    assert_eq!(batches[0].2[0].qos(), QoS::AtLeastOnce);
    assert_eq!(batches[0].2[0].received_at(), harness.now);
    let effects = harness.message(Message::Accepted { token: batches[0].1 });
    assert_eq!(effects, [Effect::Write(vec![0x40, 2, 0, 1, 0x40, 2, 0, 3].into())]);
    assert_eq!(harness.message(Message::Accepted { token: batches[1].1 }), [], "QoS 0 has no PUBACK");
}

#[test]
fn pubacks_leave_in_the_order_in_which_the_publishes_came() {
    // MQTT-4.6.0-2.
    let mut harness = Harness::connected_v5(two_partitions());
    let [a, b] = topics();
    let first = published(&harness.receive(&publish(5, 1, 1, a, &[], b"1")))[0].1;
    let second = published(&harness.receive(&publish(5, 1, 2, b, &[], b"2")))[0].1;
    assert_eq!(harness.message(Message::Accepted { token: second }), []);
    let effects = harness.message(Message::Accepted { token: first });
    assert_eq!(effects, [Effect::Write(vec![0x40, 2, 0, 1, 0x40, 2, 0, 2].into())]);
}

#[test]
fn an_answer_that_comes_twice_is_ignored() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(5, 1, 1, "a", &[], b"1")))[0].1;
    harness.message(Message::Accepted { token });
    assert_eq!(harness.message(Message::Accepted { token }), []);
    assert_eq!(harness.message(Message::Accepted { token: PublishToken(77) }), []);
}

#[test]
fn a_refused_publication_is_told_to_5_0_and_ends_3_1_1() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(5, 1, 9, "a", &[], b"1")))[0].1;
    let effects = harness.message(Message::Refused { token, refusal: Refusal::QuotaExceeded });
    assert_eq!(effects, [Effect::Write(vec![0x40, 3, 0, 9, 0x97].into())]);

    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(4, 1, 9, "a", &[], b"1")))[0].1;
    let effects = harness.message(Message::Refused { token, refusal: Refusal::QuotaExceeded });
    assert_eq!(effects, [Effect::Close, detach(WillFate::Publish)], "no PUBACK");

    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    let token = published(&harness.receive(&publish(4, 0, 0, "a", &[], b"1")))[0].1;
    assert_eq!(harness.message(Message::Refused { token, refusal: Refusal::QuotaExceeded }), [], "QoS 0 is dropped");
}

#[test]
fn one_more_than_receive_maximum_ends_a_5_0_connection() {
    // MQTT-3.3.4-7; 0x93 by MQTT 5.0 §3.3.4.
    let config = ConnectionConfig { receive_maximum: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    harness.receive(&publish(5, 1, 1, "a", &[], b"1"));
    harness.receive(&publish(5, 1, 2, "a", &[], b"2"));
    let effects = harness.receive(&publish(5, 1, 3, "a", &[], b"3"));
    assert_eq!(effects, [Effect::Write(vec![0xe0, 0x01, 0x93].into()), Effect::Close, detach(WillFate::Publish)]);
}

#[test]
fn a_3_1_1_client_is_not_read_while_its_window_is_full() {
    let config = ConnectionConfig { receive_maximum: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v311(config);
    let bytes: Vec<u8> = (1..=3).flat_map(|id| publish(4, 1, id, "a", &[], b"1")).collect();
    let effects = harness.receive(&bytes);
    assert!(matches!(effects[..], [Effect::Publish { .. }, Effect::PauseReading]), "{effects:?}");
    let token = published(&effects)[0].1;
    let effects = harness.message(Message::Accepted { token });
    assert_eq!(written(&effects), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
    assert_eq!(published(&effects)[0].2.len(), 1, "the third is read");
    let token = published(&effects)[0].1;
    let effects = harness.message(Message::Accepted { token });
    assert!(effects.contains(&Effect::ResumeReading));
}

#[test]
fn system_topics_belong_to_the_server() {
    // MQTT 5.0 §4.7.2.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&publish(5, 1, 4, "$SYS/uptime", &[], b"1"));
    assert_eq!(effects, [Effect::Write(vec![0x40, 3, 0, 4, 0x90].into())]);
    let effects = harness.receive(&publish(5, 0, 0, "$SYS/uptime", &[], b"1"));
    assert_eq!(effects, [Effect::Write(vec![0xe0, 0x01, 0x90].into()), Effect::Close, detach(WillFate::Publish)]);
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    let effects = harness.receive(&publish(4, 1, 1, "$SYS/uptime", &[], b"1"));
    assert_eq!(effects, [Effect::Close, detach(WillFate::Publish)]);
}

#[test]
fn a_topic_alias_that_was_not_offered_is_refused() {
    // MQTT 5.0 §3.3.2.3.4.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&publish(5, 0, 0, "a", &[0x23, 0, 1], b"1"));
    assert_eq!(effects, [Effect::Write(vec![0xe0, 0x01, 0x94].into()), Effect::Close, detach(WillFate::Publish)]);
}

#[test]
fn a_topic_alias_stands_for_the_topic_name_that_set_it() {
    let config = ConnectionConfig { topic_alias_maximum: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    let alias = |topic, number| publish(5, 0, 0, topic, &[0x23, 0, number], b"x");
    let bytes = [alias("a", 1), alias("", 1), alias("b", 1), alias("", 1), publish(5, 0, 0, "c", &[], b"x")].concat();
    let topics: Vec<String> =
        published(&harness.receive(&bytes))[0].2.iter().map(|each| each.topic_name_str().into()).collect();
    assert_eq!(topics, ["a", "a", "b", "b", "c"]);
    let effects = harness.receive(&alias("", 2));
    assert_eq!(written(&effects), [0xe0, 0x01, 0x82], "it was never set");
    let mut harness = Harness::connected_v5(ConnectionConfig { topic_alias_maximum: 2, ..ConnectionConfig::default() });
    assert_eq!(written(&harness.receive(&alias("a", 3))), [0xe0, 0x01, 0x94], "above the maximum");
}

#[test]
fn properties_go_on_without_the_expiry_interval() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let properties = b"\x01\x01\x02\x00\x00\x00\x3c\x26\x00\x01k\x00\x01v";
    let publication = published(&harness.receive(&publish(5, 0, 0, "a", properties, b"x")))[0].2[0].clone();
    assert_eq!(publication.properties(), b"\x01\x01\x26\x00\x01k\x00\x01v");
    assert_eq!(publication.message_expiry_remaining_s(harness.now), Some(60));
}

#[test]
fn many_partitions_take_several_steps() {
    let config =
        ConnectionConfig { partitions_count: 1_024, publishes_count_max: 10_000, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    let bytes: Vec<u8> = (0..2_000).flat_map(|n| publish(5, 0, 0, &format!("t/{n}"), &[], b"x")).collect();
    let effects = harness.receive(&bytes);
    let count: usize = published(&effects).iter().map(|(_, _, publications)| publications.len()).sum();
    assert_eq!(count, 2_000);
    assert_eq!(harness.connection.poll_timeout(), Some(harness.now + std::time::Duration::from_secs(15)));
}

#[test]
fn damaged_packets_end_their_connection_and_what_came_before_goes_on() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&[publish(5, 1, 1, "a", &[], b"1"), vec![0x36, 0x00]].concat());
    assert!(
        matches!(&effects[..], [Effect::Publish { .. }, Effect::Write(bytes), Effect::Close, Effect::Detach { .. }] if bytes[..] == [0xe0, 1, 0x81])
    );
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ProtocolError(0x81)), Effect::Gone]);
}
