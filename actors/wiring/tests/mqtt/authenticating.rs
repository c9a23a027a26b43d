//! Who may connect and do what (MQTT 5.0 §3.1.4, §3.15, §4.12; MQTT 3.1.1 §3.1.4, §3.3.5).

use std::sync::Arc;

use access::{AccessRules, Action, PrincipalsConfig, ResourceConfig, RuleConfig};
use mqtt_connection::{Authentication, DeniedPublishV3};

use crate::harness::{
    Broker, Client, Connect, Packet, Properties, Setup, Shape, V5, V311, Value, Will, connect, on_each_shape, packet,
    publish, subscribe,
};

fn each_with(setup: &Setup, test: impl Fn(&mut Broker)) {
    for shape in [Shape::OneCore, Shape::TwoCores] {
        test(&mut Broker::new(shape, setup.clone()));
    }
}

/// Clients are known; "X1" is the method of enhanced authentication.
fn known() -> Setup {
    let mut setup = Setup::default();
    setup.connection.authentication = Authentication::Required;
    setup
}

/// Everybody may do everything but publish to or subscribe below `forbidden/`; who is called "stranger" may not connect.
fn restricted() -> Setup {
    let may = |action, topics: &[&str]| ResourceConfig {
        action,
        client_identifiers: Vec::new(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    };
    let rule = RuleConfig {
        principals: PrincipalsConfig { client_identifiers: vec!["c*".to_owned()], ..PrincipalsConfig::default() },
        resources: vec![
            may(Action::Connect, &[]),
            may(Action::Publish, &["allowed/#"]),
            may(Action::Subscribe, &["allowed/#", "forbidden/#"]),
        ],
    };
    let mut setup = Setup::default();
    setup.connection.access = Arc::new(AccessRules::compile(&[rule]).unwrap());
    setup
}

fn auth(code: u8, method: &str, data: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let properties = [&[0x15][..], &text(method.as_bytes()), &[0x16], &text(data)].concat();
    packet(0xf0, &[&[code, u8::try_from(properties.len()).unwrap()], &properties[..]].concat())
}

/// A CONNECT that asks for this method and says this.
fn asking(method: &str, data: &[u8]) -> Connect {
    let text = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    connect("c").with(&[&[0x15][..], &text(method.as_bytes()), &[0x16], &text(data)].concat())
}

fn method_and_data(properties: &Properties) -> (Option<&Value>, Option<&Value>) {
    (properties.get(0x15), properties.get(0x16))
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

/// A client that was let in by "X1".
fn authenticated(broker: &mut Broker) -> Client {
    let client = broker.open(V5);
    broker.send(client, &asking("X1", b"hello").bytes(V5));
    assert!(matches!(broker.only(client), Packet::Auth { .. }));
    broker.send(client, &auth(0x18, "X1", b"answer"));
    assert!(matches!(broker.only(client), Packet::Connack { code: 0, .. }));
    client
}

fn refused(broker: &mut Broker, client: Client) -> u8 {
    let packets = broker.take(client);
    assert!(broker.is_closed(client), "{packets:?}");
    match packets[..] {
        [Packet::Connack { session_present: false, code, .. }] => code,
        _ => panic!("{packets:?} instead of a CONNACK that refuses"),
    }
}

// proves 5.0: MQTT-4.12.0-2, MQTT-4.12.0-3, MQTT-4.12.0-5, MQTT-3.15.2-1, MQTT-3.2.0-1
#[test]
fn an_exchange_of_auth_comes_before_connack_and_names_its_method() {
    each_with(&known(), |broker| {
        let client = broker.open(V5);
        broker.send(client, &asking("X1", b"hello").bytes(V5));
        let Packet::Auth { code: 0x18, properties } = broker.only(client) else { panic!("no AUTH") };
        assert_eq!(method_and_data(&properties), (Some(&bytes("X1")), Some(&bytes("question"))));
        broker.send(client, &auth(0x18, "X1", b"answer"));
        let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        assert_eq!(method_and_data(&properties), (Some(&bytes("X1")), Some(&bytes("welcome"))));
    });
}

// proves 5.0: MQTT-4.12.0-4, MQTT-3.1.4-2, MQTT-4.12.0-3, MQTT-3.14.0-1
#[test]
fn an_exchange_that_fails_closes_the_connection() {
    each_with(&known(), |broker| {
        let wrong_first = broker.open(V5);
        broker.send(wrong_first, &asking("X1", b"hallo").bytes(V5));
        assert!(refused(broker, wrong_first) >= 0x80);
        for answer in
            [auth(0x18, "X1", b"wrong"), auth(0x19, "X1", b"answer"), auth(0x18, "X2", b"answer"), vec![0xc0, 0]]
        {
            let client = broker.open(V5);
            broker.send(client, &asking("X1", b"hello").bytes(V5));
            assert!(matches!(broker.only(client), Packet::Auth { .. }));
            broker.send(client, &answer);
            let packets = broker.take(client);
            assert!(broker.is_closed(client));
            assert!(matches!(packets[..], [] | [Packet::Connack { code: 0x80.., .. }]), "{answer:02x?}: {packets:?}");
        }
    });
}

// proves 5.0: MQTT-4.12.0-1
#[test]
fn a_method_that_is_not_known_closes_the_connection() {
    for setup in [known(), Setup::default()] {
        each_with(&setup, |broker| {
            let client = broker.open(V5);
            broker.send(client, &asking("X9", b"hello").bytes(V5));
            assert_eq!(refused(broker, client), 0x8c);
        });
    }
}

// proves 5.0: MQTT-4.12.0-6, MQTT-4.12.0-7
#[test]
fn without_a_method_nobody_says_auth() {
    each_with(&known(), |broker| {
        let client = broker.open(V5);
        broker.send(client, &connect("c").bytes(V5));
        let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
        assert_eq!(method_and_data(&properties), (None, None));
        broker.send(client, &auth(0x19, "X1", b"hello"));
        broker.assert_closed(client, 0x82);
    });
}

// proves 5.0: MQTT-4.12.1-1, MQTT-4.12.1-2, MQTT-3.15.2-1, MQTT-4.12.0-5
#[test]
fn a_client_may_authenticate_again_by_the_same_method() {
    each_with(&known(), |broker| {
        let client = authenticated(broker);
        broker.send(client, &auth(0x19, "X1", b"hello"));
        assert!(matches!(broker.only(client), Packet::Auth { code: 0x18, .. }));
        broker.send(client, &[0xc0, 0]);
        assert_eq!(broker.only(client), Packet::Pingresp, "meanwhile all goes on");
        broker.send(client, &auth(0x18, "X1", b"answer"));
        let Packet::Auth { code: 0, properties } = broker.only(client) else { panic!("no AUTH") };
        assert_eq!(method_and_data(&properties).0, Some(&bytes("X1")));
        let other_method = authenticated(broker);
        broker.send(other_method, &auth(0x19, "X2", b"hello"));
        broker.assert_closed(other_method, 0x82);
        let wrong = authenticated(broker);
        broker.send(wrong, &auth(0x19, "X1", b"hallo"));
        broker.assert_closed(wrong, 0x87);
    });
}

// proves 5.0: MQTT-3.1.4-2, MQTT-3.1.4-6
// proves 3.1.1: MQTT-3.2.2-5, MQTT-3.1.4-5
#[test]
fn a_login_that_fails_closes_the_connection() {
    each_with(&known(), |broker| {
        for (version, expected) in [(V311, 4), (V5, 0x86)] {
            let client = broker.open(version);
            let request = Connect { user_name: Some("mallory"), password: Some(b"secret"), ..connect("c") };
            broker.send(client, &request.bytes(version));
            assert_eq!(refused(broker, client), expected);
        }
    });
}

// proves 5.0: MQTT-3.1.3-8, MQTT-3.1.4-2
// proves 3.1.1: MQTT-3.2.2-5
#[test]
fn a_client_identifier_that_may_not_connect_closes_the_connection() {
    each_with(&restricted(), |broker| {
        for (version, expected) in [(V311, 5), (V5, 0x87)] {
            let client = broker.open(version);
            broker.send(client, &connect("stranger").bytes(version));
            assert_eq!(refused(broker, client), expected);
            let client = broker.open(version);
            let will = Will { topic: "forbidden/will", payload: "x", ..Will::default() };
            broker.send(client, &connect("c").will(will).bytes(version));
            assert_eq!(refused(broker, client), expected, "a Will that may not be published");
        }
    });
}

// proves 5.0: MQTT-4.3.3-9, MQTT-3.5.2-1, MQTT-3.4.2-1
#[test]
fn after_a_pubrec_that_refuses_the_same_packet_identifier_is_a_new_message() {
    each_with(&restricted(), |broker| {
        let watcher = broker.connect(V5, "c watcher");
        broker.subscribe(watcher, "allowed/#", 0);
        let client = broker.connect(V5, "c");
        broker.publish(client, &publish("forbidden/a", "1").qos(1, 5));
        assert_eq!(broker.only(client), Packet::Puback(Packet::plain(5, 0x87)));
        broker.publish(client, &publish("forbidden/a", "1").qos(2, 5));
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0x87)));
        broker.publish(client, &publish("allowed/a", "2").qos(2, 5).dup());
        assert_eq!(broker.only(client), Packet::Pubrec(Packet::plain(5, 0)));
        assert_eq!(broker.payloads(watcher), ["2"]);
        broker.send(client, &subscribe(V5, 1, &[("allowed/a", 1), ("other/a", 1)], &[]));
        assert!(matches!(broker.only(client), Packet::Suback { codes, .. } if codes == [1, 0x87]));
    });
}

// proves 3.1.1: MQTT-3.3.5-2
#[test]
fn a_publication_of_3_1_1_that_is_not_authorized_is_dropped_without_a_word() {
    for (denied, closes) in [(DeniedPublishV3::Disconnect, true), (DeniedPublishV3::Silent, false)] {
        let mut setup = restricted();
        setup.connection.denied_publish_v3 = denied;
        each_with(&setup, |broker| {
            let watcher = broker.connect(V5, "c watcher");
            broker.subscribe(watcher, "forbidden/#", 0);
            for (qos, answer) in [
                (0, None),
                (1, Some(Packet::Puback(Packet::plain(5, 0)))),
                (2, Some(Packet::Pubrec(Packet::plain(5, 0)))),
            ] {
                let client = broker.connect(V311, "c");
                broker.publish(client, &publish("forbidden/a", "x").qos(qos, 5));
                let expected: Vec<Packet> = answer.filter(|_| !closes).into_iter().collect();
                assert_eq!((broker.take(client), broker.is_closed(client)), (expected, closes), "QoS {qos}");
            }
            assert_eq!(broker.payloads(watcher), [""; 0]);
        });
    }
}

// proves 5.0: MQTT-3.1.2-28
#[test]
fn response_information_is_for_who_asks() {
    let mut setup = Setup::default();
    setup.connection.response_information = Some("replies/".into());
    each_with(&setup, |broker| {
        for (asks, expected) in [(None, false), (Some(0), false), (Some(1), true)] {
            let client = broker.open(V5);
            let request = asks.map_or_else(|| connect("c"), |asks| connect("c").with(&[0x19, asks]));
            broker.send(client, &request.bytes(V5));
            let Packet::Connack { code: 0, properties, .. } = broker.only(client) else { panic!("no CONNACK") };
            assert_eq!(properties.get(0x1a).is_some(), expected, "{asks:?}");
        }
    });
}

// proves 5.0: MQTT-4.12.0-6
#[test]
fn whoever_is_not_asked_is_let_in_anonymously() {
    on_each_shape(|broker| {
        let request = Connect { user_name: Some("mallory"), ..connect("c") };
        broker.connect_as(V5, &request);
    });
}
