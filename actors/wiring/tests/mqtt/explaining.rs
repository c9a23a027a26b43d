//! Reason Strings (MQTT 5.0 §3.1.2.11.7, §4.13): to whom, on what, and never too large.

use std::sync::Arc;

use access::{AccessRules, Action, PrincipalsConfig, ResourceConfig, RuleConfig};

use crate::harness::{
    Broker, Client, Connect, Packet, Properties, Setup, Shape, V5, connect, packet, publish, subscribe, unsubscribe,
};

/// A broker that says why, and that has something to say: nobody may publish to `b`.
fn brokers() -> [Broker; 2] {
    let may = |action, topics: &[&str]| ResourceConfig {
        action,
        client_identifiers: Vec::new(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    };
    let rule = RuleConfig {
        principals: PrincipalsConfig { client_identifiers: vec!["*".to_owned()], ..PrincipalsConfig::default() },
        resources: vec![may(Action::Connect, &[]), may(Action::Publish, &["a"]), may(Action::Subscribe, &["a"])],
    };
    let mut setup = Setup::default();
    setup.connection.reason_strings = true;
    setup.connection.access = Arc::new(AccessRules::compile(&[rule]).unwrap());
    [Shape::OneCore, Shape::TwoCores].map(|shape| Broker::new(shape, setup.clone()))
}

fn properties_of(packet: &Packet) -> &Properties {
    match packet {
        Packet::Connack { properties, .. }
        | Packet::Suback { properties, .. }
        | Packet::Unsuback { properties, .. }
        | Packet::Disconnect { properties, .. }
        | Packet::Auth { properties, .. } => properties,
        Packet::Puback(answer) | Packet::Pubrec(answer) | Packet::Pubrel(answer) | Packet::Pubcomp(answer) => {
            &answer.properties
        }
        Packet::Publish(delivered) => &delivered.properties,
        Packet::Pingresp => panic!("PINGRESP has none"),
    }
}

/// All that a server can complain about, on one connection; it ends with DISCONNECT.
fn provoke(broker: &mut Broker, request: &Connect) -> (Client, Vec<Packet>) {
    let client = broker.open(V5);
    broker.send(client, &request.bytes(V5));
    let mut packets = vec![broker.only(client)];
    let provocations = [
        publish("b", "x").qos(1, 1).bytes(V5),
        publish("b", "x").qos(2, 2).bytes(V5),
        packet(0x62, &[0, 9]),
        packet(0x50, &[0, 9]),
        subscribe(V5, 3, &[("a#", 0), ("b", 0), ("a", 2)], &[]),
        unsubscribe(V5, 4, &["never", "a#"]),
        publish("a", "x").qos(2, 5).bytes(V5),
        packet(0xf0, b"\x19\x05\x15\0\x02X1"),
    ];
    for provocation in provocations {
        broker.send(client, &provocation);
        packets.extend(broker.take(client));
    }
    assert!(broker.is_closed(client));
    assert!(matches!(packets.last(), Some(Packet::Disconnect { .. })), "{packets:?}");
    (client, packets)
}

// proves 5.0: MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3, MQTT-3.6.2-2, MQTT-3.6.2-3, MQTT-3.7.2-2, MQTT-3.7.2-3
// proves 5.0: MQTT-3.9.2-1, MQTT-3.9.2-2, MQTT-3.11.2-1, MQTT-3.11.2-2, MQTT-3.14.2-3, MQTT-3.14.2-4, MQTT-3.1.2-24
#[test]
fn no_explanation_makes_a_packet_too_large() {
    for mut broker in brokers() {
        let (_, talkative) = provoke(&mut broker, &connect("c"));
        let explained = talkative.iter().filter(|packet| properties_of(packet).get(0x1f).is_some()).count();
        assert!(explained > 0, "there was something to leave out: {talkative:?}");
        let (client, terse) = provoke(&mut broker, &connect("c").with(&[0x27, 0, 0, 0, 40]));
        assert!(broker.largest_packet_bytes(client) <= 40);
        let kind = |packets: &[Packet]| -> Vec<std::mem::Discriminant<Packet>> {
            packets.iter().map(std::mem::discriminant).collect()
        };
        assert_eq!(kind(&terse), kind(&talkative), "nothing but explanations is left out");
    }
}

// proves 5.0: MQTT-3.2.2-19, MQTT-3.2.2-20
#[test]
fn no_explanation_makes_a_connack_too_large() {
    for mut broker in brokers() {
        for (maximum, is_explained) in [(None, true), (Some(10), false)] {
            let client = broker.open(V5);
            let mut request = connect("c");
            if let Some(maximum) = maximum {
                request = request.with(&[0x27, 0, 0, 0, maximum]);
            }
            // An Authentication Method that nobody knows.
            broker.send(client, &request.with(b"\x15\0\x02X1").bytes(V5));
            let Packet::Connack { code: 0x8c, properties, .. } = broker.only(client) else { panic!("no refusal") };
            assert!(is_explained || properties.get(0x1f).is_none());
            assert!(broker.largest_packet_bytes(client) <= maximum.unwrap_or(255).into());
        }
    }
}

// proves 5.0: MQTT-3.1.2-29
#[test]
fn without_problem_information_only_connack_and_disconnect_explain() {
    for mut broker in brokers() {
        let (_, packets) = provoke(&mut broker, &connect("c").with(&[0x17, 0]));
        for packet in packets {
            let explains = [0x1f, 0x26].iter().any(|identifier| properties_of(&packet).get(*identifier).is_some());
            let may = matches!(packet, Packet::Connack { .. } | Packet::Disconnect { .. } | Packet::Publish(_));
            assert!(may || !explains, "{packet:?}");
        }
    }
}

// proves 5.0: MQTT-3.15.2-2, MQTT-3.15.2-3
#[test]
fn auth_is_not_explained() {
    let mut setup = Setup::default();
    setup.connection.reason_strings = true;
    setup.connection.authentication = mqtt_connection::Authentication::Required;
    for shape in [Shape::OneCore, Shape::TwoCores] {
        let mut broker = Broker::new(shape, setup.clone());
        let client = broker.open(V5);
        broker.send(client, &connect("c").with(b"\x15\0\x02X1\x16\0\x05hello").with(&[0x27, 0, 0, 0, 40]).bytes(V5));
        let packet = broker.only(client);
        assert!(matches!(packet, Packet::Auth { code: 0x18, .. }));
        assert_eq!(
            properties_of(&packet).0.iter().map(|(identifier, _)| *identifier).collect::<Vec<u8>>(),
            [0x15, 0x16]
        );
        assert!(broker.largest_packet_bytes(client) <= 40);
    }
}
