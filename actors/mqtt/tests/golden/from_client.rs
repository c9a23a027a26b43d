//! What a client sends: read as the standard says, and where mqttbytes says otherwise.

use contract::{QoS, RetainHandling};
use mqtt::{
    Acknowledgement, Auth, AuthenticationData, ClientPacket, Connect, DecodeError, Decoder, Disconnect, Publish,
    ReasonCode, Subscribe, SubscribeFilter, SubscriptionFilter, TopicFilter, TopicFilterError, TopicName, Unsubscribe,
};

use crate::support::{V5, V311, frame, id, reason_of, vector};

#[test]
fn a_password_is_any_bytes() {
    let connect = Connect::decode(&frame(vector!("connect_v311_binary_password"))).expect("well-formed");
    assert_eq!((connect.version, connect.clean_start, connect.keep_alive_s), (V311, true, 60));
    assert_eq!(&*connect.client_identifier, "c");
    assert_eq!(connect.login.user_name.as_deref(), Some("u1"));
    assert_eq!(connect.login.password.as_deref(), Some(&[0xff, 0x00, 0xfe][..]));
    assert!(!format!("{connect:?}").contains("254"), "no password in logs");
}

#[test]
fn an_empty_user_name_is_not_an_absent_one() {
    let connect = Connect::decode(&frame(vector!("connect_v5_empty_login"))).expect("well-formed");
    assert_eq!(connect.login.user_name.as_deref(), Some(""));
    assert_eq!(connect.login.password.as_deref(), Some(&[][..]));
    assert_eq!((connect.receive_maximum, connect.maximum_packet_size), (65_535, None));
    assert_eq!((connect.request_response_information, connect.request_problem_information), (false, true));
}

#[test]
fn a_connect_tells_what_it_wants_to_know_and_how_it_proves_itself() {
    let connect = Connect::decode(&frame(vector!("connect_v5_authentication"))).expect("well-formed");
    assert_eq!((connect.request_response_information, connect.request_problem_information), (true, false));
    assert_eq!(connect.authentication_method.as_deref(), Some("X1"));
    assert_eq!(connect.authentication_data, Some(AuthenticationData(vec![0x01, 0xff].into())));
    assert!(!format!("{connect:?}").contains("255"), "no Authentication Data in logs");
}

#[test]
fn a_will_keeps_its_properties_but_for_the_two_intervals() {
    let connect = Connect::decode(&frame(vector!("connect_v5_will"))).expect("well-formed");
    assert_eq!((connect.receive_maximum, connect.maximum_packet_size), (20, Some(4_096)));
    let will = connect.will.expect("there is one");
    assert_eq!(
        (&*will.topic_name, &*will.payload, will.qos, will.retain),
        ("state", &b"gone"[..], QoS::AtLeastOnce, true)
    );
    assert_eq!((will.delay_s, will.message_expiry_s), (5, Some(60)));
    assert_eq!(&*will.properties, b"\x01\x01\x26\x00\x01k\x00\x01v\x03\x00\x04text");
}

#[test]
fn each_version_of_connect_is_read_by_its_own_rules() {
    let v311 = vector!("connect_v311_binary_password");
    let as_level = |level: u8| {
        let mut bytes = v311.clone();
        bytes[8] = level;
        Connect::decode(&frame(bytes))
    };
    assert!(matches!(as_level(5), Err(DecodeError::Malformed(_))), "a 3.1.1 body under level 5");
    assert_eq!(as_level(3), Err(DecodeError::UnsupportedProtocolVersion));
    assert_eq!(as_level(6), Err(DecodeError::UnsupportedProtocolVersion));
    let as_level_5 = Connect::decode(&frame(vector!("connect_v311_as_level_5")));
    assert!(matches!(as_level_5, Err(DecodeError::Malformed(_))), "{as_level_5:?}");
    let connect = Connect::decode(&frame(vector!("connect_v311"))).expect("well-formed");
    assert_eq!((connect.version, &*connect.client_identifier), (V311, "client"));
    let reserved = Connect::decode(&frame(vector!("connect_reserved_flag")));
    assert!(matches!(reserved, Err(DecodeError::Malformed(_))), "{reserved:?}");
}

#[test]
fn the_normal_way_to_leave_is_two_bytes() {
    let frame = frame(vector!("disconnect_v5_normal"));
    let normal = Disconnect { reason_code: ReasonCode::SUCCESS, session_expiry_interval_s: None };
    for version in [V311, V5] {
        assert_eq!(ClientPacket::decode(&frame, version), Ok(ClientPacket::Disconnect(normal)));
    }
}

#[test]
fn auth_is_a_packet_of_5_0_only() {
    let frame = frame(vector!("auth"));
    let auth = Auth {
        reason_code: ReasonCode(0x18),
        method: "X1".into(),
        data: Some(AuthenticationData(vec![0x01, 0xff].into())),
    };
    assert_eq!(ClientPacket::decode(&frame, V5), Ok(ClientPacket::Auth(auth)));
    assert!(matches!(ClientPacket::decode(&frame, V311), Err(DecodeError::Malformed(_))));
}

#[test]
fn unsubscribe_is_read_without_a_word_on_stderr() {
    let unsubscribe = Unsubscribe { packet_identifier: id(12), topic_filters: vec!["a/b".into(), "#".into()] };
    let frame = frame(vector!("unsubscribe_v5"));
    assert_eq!(ClientPacket::decode(&frame, V5), Ok(ClientPacket::Unsubscribe(unsubscribe)));
}

#[test]
fn properties_go_on_as_they_came_without_the_expiry_interval() {
    let frame = frame(vector!("publish_qos1_properties"));
    let publish = Publish::decode(&frame, V5).expect("well-formed");
    assert_eq!(publish.topic_name.map(mqtt::TopicName::as_str), Some("a/b"));
    assert_eq!((publish.qos, publish.retain, publish.dup), (QoS::AtLeastOnce, true, false));
    assert_eq!(publish.packet_identifier, Some(id(10)));
    assert_eq!(publish.message_expiry_s, Some(120));
    assert_eq!(&*publish.properties, b"\x01\x01\x26\x00\x01k\x00\x01v\x09\x00\x0512345");
    assert_eq!(publish.payload, b"21.5");
}

#[test]
fn a_subscription_identifier_does_not_cut_what_follows() {
    let filter = SubscribeFilter {
        topic_filter: "a/+/".into(),
        maximum_qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let subscribe = Subscribe { packet_identifier: id(5), subscription_identifier: Some(128), filters: vec![filter] };
    let frame = frame(vector!("subscribe_v5_identifier"));
    assert_eq!(ClientPacket::decode(&frame, V5), Ok(ClientPacket::Subscribe(subscribe)));
}

#[test]
fn what_mqttbytes_takes_and_the_standard_does_not_is_refused() {
    let malformed = [
        vector!("publish_properties_past_length"),
        vector!("publish_packet_identifier_zero"),
        vector!("publish_u0000"),
        vector!("subscribe_flags"),
        vector!("subscribe_reserved_options"),
        vector!("pubrel_flags"),
        vector!("pubrel_unknown_reason"),
        vector!("pubcomp_property_of_another_packet"),
        vector!("unsubscribe_flags"),
        vector!("subscribe_packet_identifier_zero"),
        vector!("puback_trailing_bytes"),
    ];
    for bytes in malformed {
        assert_eq!(reason_of(bytes.clone(), V5), 0x81, "{bytes:02x?}");
    }
    let protocol_errors = [
        vector!("publish_property_twice"),
        vector!("publish_empty_topic"),
        vector!("subscribe_without_filter"),
        vector!("unsubscribe_without_filter"),
        vector!("auth_without_method"),
    ];
    for bytes in protocol_errors {
        assert_eq!(reason_of(bytes.clone(), V5), 0x82, "{bytes:02x?}");
    }
    let mut decoder = Decoder::new(100);
    decoder.push(vector!("pingreq_overlong_length").into());
    assert!(matches!(decoder.next_frame(), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_topic_name_with_a_wildcard_and_a_topic_alias_of_0_have_their_own_reason_codes() {
    assert_eq!(reason_of(vec![0x30, 0x04, 0x00, 0x01, b'#', 0x00], V5), 0x90);
    assert_eq!(reason_of(vec![0x30, 0x07, 0x00, 0x01, b'a', 0x03, 0x23, 0x00, 0x00], V5), 0x94);
}

#[test]
fn an_acknowledgement_from_a_client_may_say_why() {
    let expected = Acknowledgement { packet_identifier: id(10), reason_code: ReasonCode::PAYLOAD_FORMAT_INVALID };
    let frame = frame(vector!("pubrec_from_client"));
    assert_eq!(ClientPacket::decode(&frame, V5), Ok(ClientPacket::Pubrec(expected)));
    assert!(ClientPacket::decode(&frame, V311).is_err(), "3.1.1 has nothing behind the Packet Identifier");
}

#[test]
fn a_wildcard_at_the_beginning_matches_any_character_but_a_dollar() {
    let filters = frame(vector!("subscribe_wildcard_within_level"));
    let subscribe = Subscribe::decode(&filters, V5).expect("well-formed");
    let parsed: Vec<_> = subscribe.filters.iter().map(|filter| TopicFilter::parse(&filter.topic_filter)).collect();
    let [Ok(all), Ok(system), Err(TopicFilterError::Invalid)] = &parsed[..] else { panic!("{parsed:?}") };
    let matched = |bytes| {
        let frame = frame(bytes);
        let publish = Publish::decode(&frame, V5).expect("well-formed");
        let name = publish.topic_name.map_or("", TopicName::as_str).as_bytes();
        (all.matches(name), system.matches(name))
    };
    assert_eq!(matched(vector!("publish_topic_two_bytes")), (true, false));
    assert_eq!(matched(vector!("publish_topic_dollar")), (false, true));
}

#[test]
fn a_shared_subscription_is_named_by_its_filter() {
    for version in [V5, V311] {
        let mut bytes = vector!("subscribe_shared");
        if version == V311 {
            bytes.remove(4);
            bytes[1] -= 1;
        }
        let frame = frame(bytes);
        let subscribe = Subscribe::decode(&frame, version).expect("well-formed");
        let filter = SubscriptionFilter::parse(&subscribe.filters[0].topic_filter).expect("one");
        assert_eq!((filter.share_name, filter.topic_filter.as_str()), (Some("g"), "a/#"));
    }
}
