//! Shared Subscriptions (MQTT 5.0 §4.8.2).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::{Broker, Client, Packet, V5, connect, on_each_shape, packet, publish, publishes, user};

fn member(broker: &mut Broker, identifier: &str, filter: &str, options: u8) -> Client {
    let (client, _) = broker.connect_as(V5, &connect(identifier).keeping(3_600));
    broker.subscribe(client, filter, options);
    client
}

// proves 5.0: MQTT-4.8.2-1, MQTT-4.8.2-2
#[test]
fn each_message_goes_to_one_member_of_each_group() {
    on_each_shape(|broker| {
        let members = ["m1", "m2", "m3"].map(|identifier| member(broker, identifier, "$share/g/a/#", 1));
        let other_group = member(broker, "other", "$share/h/a/#", 1);
        let ordinary = member(broker, "ordinary", "a/#", 1);
        let publisher = broker.connect(V5, "publisher");
        for number in 0..60_u16 {
            broker.publish(publisher, &publish(&format!("a/{number}"), "x").qos(1, number + 1));
        }
        let counts = members.map(|client| broker.deliveries(client).len());
        assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!((broker.deliveries(other_group).len(), broker.deliveries(ordinary).len()), (60, 60));
    });
}

// proves 5.0: MQTT-4.8.2-3
#[test]
fn each_member_gets_at_most_its_qos() {
    on_each_shape(|broker| {
        let members: Vec<(Client, u8)> =
            (0..3).map(|qos| (member(broker, &format!("m{qos}"), "$share/g/a", qos), qos)).collect();
        let publisher = broker.connect(V5, "publisher");
        for number in 1..=30 {
            broker.publish(publisher, &publish("a", "x").qos(2, number));
            broker.acknowledge(publisher, 0x62, number);
        }
        for (client, qos) in members {
            let deliveries = broker.deliveries(client);
            assert!(!deliveries.is_empty() && deliveries.iter().all(|delivered| delivered.qos == qos), "QoS {qos}");
        }
    });
}

// proves 5.0: MQTT-4.8.2-4, MQTT-4.8.2-5
#[test]
fn a_qos_2_delivery_that_was_begun_stays_with_its_member() {
    on_each_shape(|broker| {
        for ends in [false, true] {
            let first = member(broker, "first", "$share/g/a", 2);
            let publisher = broker.connect(V5, "publisher");
            broker.publish(publisher, &publish("a", "1").qos(2, 1));
            broker.acknowledge(publisher, 0x62, 1);
            let sent = publishes(broker.take(first)).remove(0);
            let second = member(broker, "second", "$share/g/a", 2);
            broker.vanish(first);
            assert_eq!(broker.payloads(second), [""; 0]);
            if ends {
                broker.pass(Duration::from_secs(3_700));
                assert_eq!(broker.payloads(second), [""; 0], "the session ended: nobody gets it");
            } else {
                let (first, _) = broker.connect_as_before(V5, &connect("first").keeping(3_600));
                let again = publishes(broker.take(first)).remove(0);
                assert_eq!((again.packet_identifier, again.dup), (sent.packet_identifier, true));
                broker.acknowledge(first, 0x50, sent.packet_identifier);
                assert_eq!(broker.only(first), Packet::Pubrel(Packet::plain(sent.packet_identifier, 0)));
                broker.acknowledge(first, 0x70, sent.packet_identifier);
                assert_eq!(broker.payloads(second), [""; 0]);
            }
            for identifier in ["first", "second"] {
                broker.connect(V5, identifier);
            }
        }
    });
}

// proves 5.0: MQTT-4.8.2-6
#[test]
fn what_a_member_refuses_goes_to_nobody_else() {
    on_each_shape(|broker| {
        let members = ["m1", "m2"].map(|identifier| member(broker, identifier, "$share/g/a", 2));
        let publisher = broker.connect(V5, "publisher");
        for number in 1..=8_u16 {
            let qos = 1 + u8::try_from(number % 2).unwrap();
            broker.publish(publisher, &publish("a", "x").qos(qos, number));
            broker.acknowledge(publisher, 0x62, number);
        }
        let mut refused_count = 0;
        for client in members {
            for delivered in publishes(broker.take(client)) {
                let [high, low] = delivered.packet_identifier.to_be_bytes();
                broker.send(client, &packet(if delivered.qos == 2 { 0x50 } else { 0x40 }, &[high, low, 0x83]));
                refused_count += 1;
            }
        }
        assert_eq!(refused_count, 8);
        broker.pass(Duration::from_mins(10));
        for client in members {
            assert_eq!(broker.take(client), []);
        }
    });
}

// proves 5.0: MQTT-4.6.0-5
#[test]
fn messages_of_one_partition_key_go_to_one_member_in_order() {
    on_each_shape(|broker| {
        let members = ["m1", "m2", "m3"].map(|identifier| member(broker, identifier, "$share/g/a", 1));
        let publisher = broker.connect(V5, "publisher");
        for number in 0..60_u16 {
            let key = format!("key {}", number % 10);
            let publication =
                publish("a", format!("{key} {number:02}")).qos(1, number + 1).with(&user("$partition", &key));
            broker.publish(publisher, &publication);
        }
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for (index, client) in members.into_iter().enumerate() {
            let payloads = broker.payloads(client);
            for payload in &payloads {
                let key = payload[..5].to_owned();
                assert_eq!(*owners.entry(key.clone()).or_insert(index), index, "{key} is divided");
                let of_key: Vec<&String> = payloads.iter().filter(|other| other.starts_with(&key)).collect();
                assert!(of_key.is_sorted());
            }
        }
        assert_eq!(owners.len(), 10);
    });
}

#[test]
fn a_qos_1_delivery_goes_to_another_member_when_its_session_ends() {
    on_each_shape(|broker| {
        let first = member(broker, "first", "$share/g/a", 1);
        let publisher = broker.connect(V5, "publisher");
        broker.publish(publisher, &publish("a", "1").qos(1, 1));
        assert_eq!(publishes(broker.take(first)).len(), 1);
        let second = member(broker, "second", "$share/g/a", 1);
        broker.vanish(first);
        assert_eq!(broker.payloads(second), [""; 0], "its session may come back for it");
        broker.pass(Duration::from_secs(3_700));
        assert_eq!(broker.payloads(second), ["1"]);
    });
}
