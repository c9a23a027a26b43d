//! Golden bytes of `vectors/`, both directions: what the standard says, and where mqttbytes says otherwise.

use bytes::{Bytes, BytesMut};
use contract::{QoS, RetainHandling};
use mqtt::{
    Auth, ClientPacket, Connack, Connect, DecodeError, Decoder, Disconnect, Frame, OutgoingPublish, PacketIdentifier,
    ProtocolVersion, Publish, ReasonCode, Subscribe, SubscribeFilter, Unsubscribe, encode_connack, encode_suback,
    encode_unsuback,
};

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;

macro_rules! vector {
    ($name:literal) => {
        bytes_of(include_str!(concat!("../vectors/", $name, ".hex")))
    };
}

/// Bytes of a `.hex` file: two digits each, a `#` begins a comment.
fn bytes_of(text: &str) -> Vec<u8> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        .collect()
}

/// The one frame of a golden file.
fn frame(bytes: Vec<u8>) -> Frame {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(Bytes::from(bytes));
    let frame = decoder.next_frame().expect("well-formed").expect("whole");
    assert_eq!(decoder.buffered_bytes(), 0, "one packet a file");
    frame
}

fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not 0")
}

fn reason_of(bytes: Vec<u8>, version: ProtocolVersion) -> u8 {
    ClientPacket::decode(&frame(bytes), version)
        .map(|packet| format!("{packet:?}"))
        .expect_err("refused")
        .reason_code()
        .0
}

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
        method: Some("X1".into()),
        data: Some(vec![0x01, 0xff].into_boxed_slice()),
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
fn connack_is_written_as_the_standard_says() {
    let connack = Connack {
        session_present: true,
        receive_maximum: Some(256),
        maximum_qos: Some(1),
        maximum_packet_size: Some(1 << 20),
        assigned_client_identifier: Some("c".into()),
        retain_available: Some(true),
        wildcard_subscription_available: Some(true),
        shared_subscription_available: Some(false),
        server_keep_alive_s: Some(3_600),
        ..Connack::default()
    };
    let mut out = BytesMut::new();
    encode_connack(&mut out, ReasonCode::SUCCESS, &connack);
    assert_eq!(out, vector!("connack_v5"));
    let mut out = BytesMut::new();
    encode_connack(&mut out, ReasonCode::BAD_AUTHENTICATION_METHOD, &connack);
    assert_eq!(out, vector!("connack_v5_failure"));
}

#[test]
fn publish_is_written_as_the_standard_says() {
    let publish = OutgoingPublish {
        dup: false,
        retain: true,
        packet_identifier: Some(id(7)),
        topic_name: b"a/b",
        properties: b"\x26\x00\x01k\x00\x01v",
        message_expiry_s: Some(119),
        subscription_identifiers: &[1, 128],
        payload_bytes: 4,
    };
    let mut out = BytesMut::new();
    publish.encode_header(&mut out, V5);
    out.extend_from_slice(b"21.5");
    assert_eq!(out, vector!("publish_to_client_v5"));
    assert_eq!(out.len(), publish.packet_bytes(V5));
    let mut out = BytesMut::new();
    publish.encode_header(&mut out, V311);
    out.extend_from_slice(b"21.5");
    assert_eq!(&out[..], b"\x33\x0b\x00\x03a/b\x00\x0721.5", "3.1.1 has no properties");
}

#[test]
fn answers_to_subscribe_and_unsubscribe_are_written_as_the_standard_says() {
    let codes = [ReasonCode(0x01), ReasonCode::TOPIC_FILTER_INVALID, ReasonCode::QUOTA_EXCEEDED];
    for (version, expected) in [(V5, vector!("suback_v5")), (V311, vector!("suback_v311"))] {
        let mut out = BytesMut::new();
        encode_suback(&mut out, version, id(5), &codes);
        assert_eq!(out, expected);
    }
    let codes = [ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED];
    for (version, expected) in [(V5, vector!("unsuback_v5")), (V311, vec![0xb0, 0x02, 0x00, 0x0c])] {
        let mut out = BytesMut::new();
        encode_unsuback(&mut out, version, id(12), &codes);
        assert_eq!(out, expected);
    }
}
