//! Sessions that outlive their connection: given back, and gone on with (MQTT 5.0 §4.1, §4.4).

use contract::{Credit, DeliveryNumber, DeliveryOutcome, DeliveryStage, PartitionIndex, QoS, SessionState, WillFate};
use mqtt_connection::{ConnectionConfig, Effect, EndReason, Message};

use crate::support::{
    Harness, SESSION, acknowledgement, attached, attached_with, connect_v5, delivery, publish, published, record,
    unsubscribe, written,
};

const P0: PartitionIndex = PartitionIndex(0);
const P1: PartitionIndex = PartitionIndex(1);

const EXPIRY_60_S: [u8; 5] = [0x11, 0, 0, 0, 60];

fn config() -> ConnectionConfig {
    ConnectionConfig { partitions_count: 2, ..ConnectionConfig::default() }
}

/// A client of 5.0 whose session outlives its connection.
fn connected(properties: &[u8], state: Option<SessionState>) -> (Harness, Vec<Effect>) {
    let mut harness = Harness::new(config());
    harness.receive(&connect_v5("c", 10, &[&EXPIRY_60_S[..], properties].concat()));
    let effects = harness.message(state.map_or_else(attached, attached_with));
    harness.message(Message::Written { bytes: 1_000_000 });
    (harness, effects)
}

fn deliver(harness: &mut Harness, partition: PartitionIndex, numbers: std::ops::Range<u64>, qos: QoS) -> Vec<Effect> {
    let deliveries =
        numbers.map(|number| delivery(number, qos, &record("a", &[], &number.to_be_bytes(), None))).collect();
    harness.message(Message::Deliver { partition, deliveries })
}

/// The state in the `Park` that is the first effect about the session's end.
fn parked(effects: &[Effect]) -> (SessionState, u32, WillFate) {
    let park = |effect: &Effect| {
        let Effect::Park { partition, session, state, session_expiry_s, will } = effect else { return None };
        assert_eq!((*partition, *session), (SESSION.home, SESSION));
        Some(((**state).clone(), *session_expiry_s, *will))
    };
    effects.iter().find_map(park).expect("it is parked")
}

fn suspended(harness: &mut Harness) -> Vec<Effect> {
    assert_eq!(harness.message(Message::Suspended { partition: P1 }), []);
    harness.message(Message::Suspended { partition: P0 })
}

#[test]
fn a_client_that_never_subscribed_is_parked_at_once() {
    let (mut harness, _) = connected(&[], None);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(parked(&effects), (SessionState::default(), 60, WillFate::Publish));
    assert_eq!(effects[1..], [Effect::Ended(EndReason::SocketClosed), Effect::Gone]);
}

#[test]
fn disconnect_may_change_how_long_the_session_lasts() {
    // MQTT 5.0 §3.14.2.2.2.
    let (mut harness, _) = connected(&[], None);
    let effects = harness.receive(&[0xe0, 0x07, 0x00, 0x05, 0x11, 0x00, 0x00, 0x00, 0x09]);
    assert_eq!(parked(&effects), (SessionState::default(), 9, WillFate::Delete));
    let (mut harness, _) = connected(&[], None);
    let effects = harness.receive(&[0xe0, 0x07, 0x04, 0x05, 0x11, 0x00, 0x00, 0x00, 0x00]);
    assert_eq!(effects, [Effect::Close, Effect::Detach { session: SESSION, will: WillFate::Publish }]);
}

#[test]
fn what_is_under_way_waits_for_every_partition_and_then_goes_to_the_home() {
    let (mut harness, _) = connected(&[0x21, 0, 3], None);
    harness.subscribe("#", 2, 5, 2);
    harness.subscribe("$share/g/b", 2, 5, 2);
    deliver(&mut harness, P0, 0..2, QoS::AtLeastOnce);
    deliver(&mut harness, P1, 0..2, QoS::ExactlyOnce);
    harness.receive(&acknowledgement(0x40, 1));
    harness.receive(&acknowledgement(0x50, 3));
    let effects = harness.message(Message::TakenOver);
    let last_word = Effect::Write(vec![0xe0, 0x01, 0x8e].into());
    assert_eq!(effects, [last_word, Effect::Close, Effect::Suspend { session: SESSION }]);
    assert_eq!(harness.message(Message::SocketClosed), [], "the session is not given back yet");
    assert_eq!(deliver(&mut harness, P0, 2..3, QoS::AtMostOnce), [], "it was on its way");
    let effects = suspended(&mut harness);
    let (state, session_expiry_s, will) = parked(&effects);
    assert_eq!(effects[1..], [Effect::Ended(EndReason::TakenOver), Effect::Gone]);
    assert_eq!((session_expiry_s, will), (60, WillFate::Publish));
    let in_flight: Vec<(u16, PartitionIndex, bool)> = state
        .in_flight
        .iter()
        .map(|parked| (parked.packet_identifier, parked.partition, matches!(parked.stage, DeliveryStage::Released(_))))
        .collect();
    assert_eq!(in_flight, [(2, P0, false), (3, P1, true), (4, P1, false)]);
    assert_eq!(state.waiting.len(), 1);
    assert_eq!(state.last_packet_identifier, 4);
    assert_eq!(state.topic_filters, ["#".into(), "$share/g/b".into()]);
    assert_eq!(state.credits.iter().map(|credit| credit.count).collect::<Vec<_>>(), [2_048 - 3, 2_048 - 2]);
}

#[test]
fn qos_2_publications_are_parked_as_far_as_they_were_accepted() {
    let (mut harness, _) = connected(&[], None);
    let send = |harness: &mut Harness, identifier| {
        published(&harness.receive(&publish(5, 2, identifier, "a", &[], b"1")))[0].1
    };
    let first = send(&mut harness, 9);
    harness.message(Message::Accepted { token: first });
    let second = send(&mut harness, 3);
    let _third = send(&mut harness, 7);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Suspend { session: SESSION }], "it is not known whether they were accepted");
    assert_eq!(harness.message(Message::Accepted { token: second }), []);
    let (state, ..) = parked(&suspended(&mut harness));
    assert_eq!(state.received, [9, 3], "the client sends 7 again");
    assert!(state.credits.is_empty());

    let (mut harness, effects) = connected(&[], Some(state));
    assert!(matches!(effects[..], [Effect::Write(_)]), "nothing to resume: {effects:?}");
    let again = harness.receive(&[publish(5, 2, 3, "a", &[], b"1"), publish(5, 2, 7, "a", &[], b"1")].concat());
    assert_eq!(published(&again)[0].2.len(), 1, "3 was accepted, 7 was not");
    assert_eq!(written(&again), [0x50, 2, 0, 3]);
    assert_eq!(written(&harness.receive(&acknowledgement(0x62, 9))), [0x70, 2, 0, 9]);
}

/// A session with QoS 1 under 1, QoS 2 under 2 (released) and 3, and one that waits.
fn left_state() -> SessionState {
    let (mut harness, _) = connected(&[0x21, 0, 3], None);
    harness.subscribe("#", 2, 5, 2);
    deliver(&mut harness, P0, 0..1, QoS::AtLeastOnce);
    deliver(&mut harness, P1, 0..2, QoS::ExactlyOnce);
    deliver(&mut harness, P0, 1..2, QoS::AtLeastOnce);
    harness.receive(&acknowledgement(0x50, 2));
    harness.message(Message::SocketClosed);
    parked(&suspended(&mut harness)).0
}

/// First bytes and Packet Identifiers of what was written, without CONNACK.
fn packets(effects: &[Effect]) -> Vec<(u8, u16)> {
    let bytes = written(effects);
    let mut rest = &bytes[..];
    let mut packets = Vec::new();
    while let [first_byte, length, tail @ ..] = rest {
        match first_byte >> 4 {
            3 => packets.push((*first_byte, u16::from_be_bytes([tail[3], tail[4]]))),
            2 => {}
            _ => packets.push((*first_byte, u16::from_be_bytes([tail[0], tail[1]]))),
        }
        rest = &tail[usize::from(*length)..];
    }
    packets
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_its_order_before_anything_new() {
    // MQTT-4.4.0-1, MQTT-4.6.0-1, MQTT-3.3.1-1.
    let (mut harness, effects) = connected(&[], Some(left_state()));
    assert_eq!(effects[0], Effect::Resume { session: SESSION });
    assert_eq!(packets(&effects), [(0x3a, 1), (0x62, 2), (0x3c, 3), (0x32, 4)]);
    let credits = effects.iter().filter(|effect| matches!(effect, Effect::SubscriberCredit { .. })).count();
    assert_eq!(credits, 0, "partitions have nearly all of their credit");
    let effects = harness.receive(&acknowledgement(0x40, 1));
    let numbers = vec![DeliveryNumber(0)..DeliveryNumber(1)];
    let outcome = DeliveryOutcome::Delivered;
    assert_eq!(effects, [Effect::DeliveriesSettled { partition: P0, session: SESSION, numbers, outcome }]);
    assert_eq!(harness.receive(&acknowledgement(0x70, 2)), [], "PUBREC had settled it");
    assert_eq!(packets(&harness.receive(&acknowledgement(0x50, 3))), [(0x62, 3)]);
    assert_eq!(packets(&deliver(&mut harness, P1, 2..3, QoS::AtLeastOnce)), [(0x32, 5)]);
}

#[test]
fn a_smaller_receive_maximum_holds_back_what_is_sent_again_but_not_pubrel() {
    let (mut harness, effects) = connected(&[0x21, 0, 1], Some(left_state()));
    assert_eq!(packets(&effects), [(0x3a, 1), (0x62, 2)]);
    assert_eq!(harness.receive(&acknowledgement(0x50, 3)).len(), 1, "3 was not sent over this connection");
    assert_eq!(packets(&harness.receive(&acknowledgement(0x40, 1))), [], "PUBCOMP of 2 is awaited");
    assert_eq!(packets(&harness.receive(&acknowledgement(0x70, 2))), [(0x3c, 3)]);
    harness.receive(&acknowledgement(0x50, 3));
    assert_eq!(packets(&harness.receive(&acknowledgement(0x70, 3))), [(0x32, 4)]);
}

#[test]
fn what_the_next_client_cannot_take_is_given_up() {
    // MQTT-3.1.2-24: PUBLISH has 16 bytes here, CONNACK 29.
    let mut state = left_state();
    let large = record("a", &[], &[7; 60], None);
    state.in_flight[0].stage = DeliveryStage::Published(Box::new(delivery(0, QoS::AtLeastOnce, &large)));
    let (_, effects) = connected(&[0x27, 0, 0, 0, 40], Some(state));
    assert_eq!(packets(&effects), [(0x62, 2), (0x3c, 3), (0x32, 4)]);
    let numbers = vec![DeliveryNumber(0)..DeliveryNumber(1)];
    let outcome = DeliveryOutcome::PacketTooLarge;
    assert!(effects.contains(&Effect::DeliveriesSettled { partition: P0, session: SESSION, numbers, outcome }));
}

#[test]
fn a_session_may_be_parked_again_before_all_of_it_was_sent() {
    let state = left_state();
    let (mut harness, _) = connected(&[0x21, 0, 1], Some(state.clone()));
    harness.message(Message::SocketClosed);
    assert_eq!(parked(&suspended(&mut harness)).0, state);
}

#[test]
fn first_credits_that_did_not_go_out_follow_at_the_next_connection() {
    let mut state = left_state();
    state.credits[1] = Credit::default();
    let (_, effects) = connected(&[], Some(state));
    let credited: Vec<PartitionIndex> = effects
        .iter()
        .filter_map(
            |effect| {
                if let Effect::SubscriberCredit { partition, .. } = effect { Some(*partition) } else { None }
            },
        )
        .collect();
    assert_eq!(credited, [P1]);
}

#[test]
fn an_unsubscribed_filter_does_not_come_back() {
    let (mut harness, _) = connected(&[], None);
    harness.subscribe("a", 1, 5, 2);
    harness.receive(&unsubscribe(5, 2, &["a"]));
    harness.message(Message::SocketClosed);
    assert!(parked(&suspended(&mut harness)).0.topic_filters.is_empty());
}
