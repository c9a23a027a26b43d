//! SUBSCRIBE and UNSUBSCRIBE, their answers and the first credit (MQTT 5.0 §3.8 to §3.11).

use contract::{Credit, PartitionIndex, QoS, RetainHandling, SubscribeResult, SubscriptionName, SubscriptionRequest};
use mqtt_connection::{ConnectionConfig, Effect, Message};

use crate::support::{Harness, SESSION, subscribe, subscribe_token, unsubscribe, written};

const P0: PartitionIndex = PartitionIndex(0);
const P1: PartitionIndex = PartitionIndex(1);

fn two_partitions() -> ConnectionConfig {
    ConnectionConfig {
        partitions_count: 2,
        deliveries_count_max: 100,
        deliveries_bytes_max: 1_000,
        ..ConnectionConfig::default()
    }
}

#[test]
fn every_partition_is_asked_and_suback_waits_for_all() {
    let mut harness = Harness::connected_v5(two_partitions());
    let effects = harness.receive(&subscribe(5, 7, &[("a/#", 0x2d), ("b", 0x02)]));
    let request = |filter: &str, options: bool| SubscriptionRequest {
        topic_filter: filter.into(),
        share_name: None,
        maximum_qos: if options { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
        no_local: options,
        retain_as_published: options,
        retain_handling: if options { RetainHandling::DoNotSend } else { RetainHandling::Send },
        subscription_identifier: None,
    };
    let token = subscribe_token(&effects);
    let credit = Credit { count: 50, bytes: 500 };
    let expected = [
        Effect::Subscribe { session: SESSION, token, subscriptions: vec![request("a/#", true), request("b", false)] },
        Effect::SubscriberCredit { partition: P0, session: SESSION, credit },
        Effect::SubscriberCredit { partition: P1, session: SESSION, credit },
    ];
    assert_eq!(effects, expected);
    let results = vec![SubscribeResult::Granted, SubscribeResult::Granted];
    assert_eq!(harness.message(Message::Subscribed { partition: P1, token, results: results.clone() }), []);
    let effects = harness.message(Message::Subscribed { partition: P0, token, results });
    assert_eq!(written(&effects), [0x90, 5, 0, 7, 0, 1, 2]);
    let effects = harness.receive(&subscribe(5, 8, &[("c", 0)]));
    assert!(matches!(effects[..], [Effect::Subscribe { .. }]), "the first credit is given once: {effects:?}");
}

#[test]
fn filters_that_cannot_be_are_answered_each_by_itself() {
    let mut harness = Harness::connected_v5(two_partitions());
    let filters = [("a/#/b", 0), ("ok", 1), ("$share//t", 1), ("", 0)];
    let effects = harness.receive(&subscribe(5, 7, &filters));
    let token = subscribe_token(&effects);
    for partition in [P0, P1] {
        let results = vec![SubscribeResult::Granted];
        let effects = harness.message(Message::Subscribed { partition, token, results });
        if partition == P1 {
            assert_eq!(written(&effects), [0x90, 7, 0, 7, 0, 0x8f, 0x01, 0x8f, 0x8f]);
        }
    }
    let mut harness = Harness::connected_v311(two_partitions());
    let effects = harness.receive(&subscribe(4, 8, &[("a+", 1)]));
    assert_eq!(effects, [Effect::Write(vec![0x90, 3, 0, 8, 0x80].into())]);
}

#[test]
fn a_quota_in_one_partition_refuses_and_takes_back_the_others() {
    let mut harness = Harness::connected_v5(two_partitions());
    let token = subscribe_token(&harness.receive(&subscribe(5, 7, &[("a", 1), ("b", 1)])));
    let granted = vec![SubscribeResult::Granted, SubscribeResult::Granted];
    harness.message(Message::Subscribed { partition: P0, token, results: granted });
    let results = vec![SubscribeResult::Granted, SubscribeResult::QuotaExceeded];
    let effects = harness.message(Message::Subscribed { partition: P1, token, results });
    assert_eq!(written(&effects), [0x90, 5, 0, 7, 0, 1, 0x97]);
    let token = subscribe_token(&effects);
    let topic_filters = vec![SubscriptionName { share_name: None, topic_filter: "b".into() }];
    assert!(effects.contains(&Effect::Unsubscribe { session: SESSION, token, topic_filters }));
    for partition in [P0, P1] {
        let effects = harness.message(Message::Unsubscribed { partition, token, existed: vec![true] });
        assert_eq!(effects, [], "the client asked for no UNSUBACK");
    }
}

#[test]
fn more_filters_than_a_client_may_have_are_refused() {
    let config = ConnectionConfig { subscriptions_per_client_max: 1, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    let token = subscribe_token(&harness.receive(&subscribe(5, 7, &[("a", 1), ("b", 1)])));
    let results = vec![SubscribeResult::Granted];
    let effects = harness.message(Message::Subscribed { partition: P0, token, results });
    assert_eq!(written(&effects), [0x90, 5, 0, 7, 0, 1, 0x97]);
}

#[test]
fn answers_keep_the_order_of_the_requests() {
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let first = subscribe_token(&harness.receive(&subscribe(5, 1, &[("a", 0)])));
    let second = subscribe_token(&harness.receive(&unsubscribe(5, 2, &["a", "b", "+a"])));
    assert_eq!(written(&harness.receive(&subscribe(5, 3, &[("#a", 0)]))), [], "it waits behind the others");
    let unsubscribed = Message::Unsubscribed { partition: P0, token: second, existed: vec![true, false] };
    assert_eq!(harness.message(unsubscribed), []);
    let results = vec![SubscribeResult::Granted];
    let effects = harness.message(Message::Subscribed { partition: P0, token: first, results });
    let expected =
        [&[0x90, 4, 0, 1, 0, 0][..], &[0xb0, 6, 0, 2, 0, 0x00, 0x11, 0x8f], &[0x90, 4, 0, 3, 0, 0x8f]].concat();
    assert_eq!(written(&effects), expected);
}

#[test]
fn unsuback_of_3_1_1_is_four_bytes() {
    let mut harness = Harness::connected_v311(ConnectionConfig::default());
    let effects = harness.receive(&unsubscribe(4, 2, &["a"]));
    let token = subscribe_token(&effects);
    let effects = harness.message(Message::Unsubscribed { partition: P0, token, existed: vec![false] });
    assert_eq!(written(&effects), [0xb0, 2, 0, 2]);
}

#[test]
fn many_partitions_get_their_first_credit_over_several_steps() {
    let config = ConnectionConfig { partitions_count: 1_000, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    let effects = harness.receive(&subscribe(5, 1, &[("#", 0)]));
    let credits: Vec<PartitionIndex> = effects
        .iter()
        .filter_map(
            |effect| if let Effect::SubscriberCredit { partition, .. } = effect { Some(*partition) } else { None },
        )
        .collect();
    assert_eq!(credits, (0..1_000).map(PartitionIndex).collect::<Vec<_>>());
}

#[test]
fn a_shared_subscription_is_known_by_both_its_names() {
    // MQTT 5.0 §4.8.2, MQTT-4.8.2-1, MQTT-4.8.2-2.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    let effects = harness.receive(&subscribe(5, 7, &[("$share/group/a/#", 1)]));
    let Effect::Subscribe { subscriptions, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(subscriptions[0].share_name.as_deref(), Some("group"));
    assert_eq!(&*subscriptions[0].topic_filter, "a/#");
    let effects = harness.receive(&unsubscribe(5, 8, &["$share/group/a/#"]));
    let Effect::Unsubscribe { topic_filters, .. } = &effects[0] else { panic!("{effects:?}") };
    let name = SubscriptionName { share_name: Some("group".into()), topic_filter: "a/#".into() };
    assert_eq!(topic_filters, &[name]);
    // MQTT-3.8.3-4.
    let effects = harness.receive(&subscribe(5, 9, &[("$share/group/a", 0b101)]));
    assert_eq!(written(&effects), [0xe0, 0x01, 0x82]);
}

#[test]
fn the_limit_counts_what_the_client_holds() {
    let config = ConnectionConfig { subscriptions_per_client_max: 2, ..ConnectionConfig::default() };
    let mut harness = Harness::connected_v5(config);
    harness.subscribe("a", 1, 5, 1);
    harness.subscribe("b", 1, 5, 1);
    assert_eq!(written(&harness.receive(&subscribe(5, 3, &[("c", 1)]))), [0x90, 4, 0, 3, 0, 0x97]);
    assert_eq!(written(&harness.subscribe("a", 0, 5, 1)), [0x90, 4, 0, 1, 0, 0], "it replaces one (MQTT-3.8.4-3)");
    harness.receive(&unsubscribe(5, 4, &["a"]));
    let effects = harness.receive(&subscribe(5, 5, &[("c", 1)]));
    assert!(matches!(effects[..], [Effect::Subscribe { .. }]), "{effects:?}");
}
