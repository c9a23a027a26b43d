//! What a server sends: written as the standard says.

use std::num::NonZeroU16;

use bytes::BytesMut;
use contract::QoS;
use mqtt::{
    AcknowledgementType, Connack, OutgoingAcknowledgement, OutgoingAuth, OutgoingDisconnect, OutgoingPublish,
    OutgoingSuback, OutgoingUnsuback, ReasonCode, encode_connack, encode_disconnect, encode_puback, encode_pubcomp,
    encode_pubrec, encode_pubrel, encode_suback, encode_unsuback,
};

use crate::support::{V5, V311, id, vector};

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
    assert_eq!(connack.packet_bytes(ReasonCode::BAD_AUTHENTICATION_METHOD), out.len());
    assert_eq!(out, vector!("connack_v5_failure"));
}

#[test]
fn publish_is_written_as_the_standard_says() {
    let publish = OutgoingPublish {
        dup: false,
        retain: true,
        qos: QoS::AtLeastOnce,
        packet_identifier: Some(id(7)),
        topic_name: b"a/b",
        topic_alias: None,
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

#[test]
fn connack_has_every_property_of_the_standard() {
    let user = || ("k".to_owned(), "v".to_owned());
    let connack = Connack {
        session_expiry_interval_s: Some(3_600),
        topic_alias_maximum: Some(10),
        subscription_identifiers_available: Some(true),
        shared_subscription_available: Some(true),
        response_information: Some("r/".into()),
        authentication_method: Some("X1".into()),
        authentication_data: Some(vec![0x01, 0xff].into()),
        server_reference: Some("b".into()),
        reason_string: Some("hi".into()),
        user_properties: vec![user(), user()],
        ..Connack::default()
    };
    let mut out = BytesMut::new();
    encode_connack(&mut out, ReasonCode::SUCCESS, &connack);
    assert_eq!(out, vector!("connack_v5_whole"));
    assert_eq!(connack.packet_bytes(ReasonCode::SUCCESS), out.len());
}

#[test]
fn a_refusing_connack_says_why_and_where_to_go_and_nothing_else() {
    let connack = Connack {
        session_present: true,
        receive_maximum: Some(10),
        authentication_method: Some("X1".into()),
        server_reference: Some("b".into()),
        reason_string: Some("gone".into()),
        user_properties: vec![("k".into(), "v".into())],
        ..Connack::default()
    };
    let mut out = BytesMut::new();
    encode_connack(&mut out, ReasonCode::SERVER_MOVED, &connack);
    assert_eq!(out, vector!("connack_v5_refused"));
    assert_eq!(connack.packet_bytes(ReasonCode::SERVER_MOVED), out.len());
}

#[test]
fn acknowledgements_say_why_where_the_caller_wants_it() {
    let rows = [
        (AcknowledgementType::Puback, ReasonCode::NOT_AUTHORIZED, "no rule", vector!("puback_v5")),
        (AcknowledgementType::Pubrec, ReasonCode::QUOTA_EXCEEDED, "full", vector!("pubrec_v5")),
        (AcknowledgementType::Pubrel, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, "lost", vector!("pubrel_v5")),
        (AcknowledgementType::Pubcomp, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, "lost", vector!("pubcomp_v5")),
    ];
    for (packet_type, reason_code, text, expected) in rows {
        let packet =
            OutgoingAcknowledgement { packet_type, packet_identifier: id(10), reason_code, reason_string: Some(text) };
        let mut out = BytesMut::new();
        packet.encode(&mut out, V5);
        assert_eq!(out, expected);
        assert_eq!(packet.packet_bytes(V5), out.len());
        let mut out = BytesMut::new();
        packet.encode(&mut out, V311);
        assert_eq!(out, &[expected[0], 2, 0, 10][..], "3.1.1 has the Packet Identifier only");
        assert_eq!(packet.packet_bytes(V311), 4);
    }
}

#[test]
fn acknowledgements_are_as_short_as_may_be() {
    let encoders = [
        (0x40, encode_puback as fn(&mut _, _, _, _)),
        (0x50, encode_pubrec),
        (0x62, encode_pubrel),
        (0x70, encode_pubcomp),
    ];
    for (first_byte, encode) in encoders {
        for (version, reason_code, expected) in [
            (V5, ReasonCode::SUCCESS, vec![first_byte, 2, 0, 10]),
            (V5, ReasonCode(0x92), vec![first_byte, 3, 0, 10, 0x92]),
            (V311, ReasonCode(0x92), vec![first_byte, 2, 0, 10]),
        ] {
            let mut out = BytesMut::new();
            encode(&mut out, version, id(10), reason_code);
            assert_eq!(out, expected);
        }
    }
}

#[test]
fn auth_and_disconnect_carry_what_the_caller_gives() {
    let auth = OutgoingAuth {
        reason_code: ReasonCode::CONTINUE_AUTHENTICATION,
        method: "X1",
        data: Some(&[0x01, 0xff]),
        reason_string: Some("more"),
    };
    let mut out = BytesMut::new();
    auth.encode(&mut out);
    assert_eq!(out, vector!("auth_to_client"));
    assert_eq!(auth.packet_bytes(), out.len());
    let disconnect = OutgoingDisconnect {
        reason_code: ReasonCode::USE_ANOTHER_SERVER,
        reason_string: Some("full"),
        server_reference: Some("b"),
    };
    let mut out = BytesMut::new();
    disconnect.encode(&mut out);
    assert_eq!(out, vector!("disconnect_to_client"));
    assert_eq!(disconnect.packet_bytes(), out.len());
    let mut out = BytesMut::new();
    encode_disconnect(&mut out, ReasonCode::SESSION_TAKEN_OVER);
    assert_eq!(&out[..], &[0xe0, 1, 0x8e]);
}

#[test]
fn answers_to_subscribe_and_unsubscribe_say_why_where_the_caller_wants_it() {
    let suback = OutgoingSuback {
        packet_identifier: id(5),
        reason_codes: &[ReasonCode(0x01), ReasonCode::QUOTA_EXCEEDED],
        reason_string: Some("quota"),
    };
    let unsuback = OutgoingUnsuback {
        packet_identifier: id(12),
        reason_codes: &[ReasonCode::NO_SUBSCRIPTION_EXISTED],
        reason_string: Some("gone"),
    };
    let (mut suback_out, mut unsuback_out) = (BytesMut::new(), BytesMut::new());
    suback.encode(&mut suback_out, V5);
    unsuback.encode(&mut unsuback_out, V5);
    assert_eq!(suback_out, vector!("suback_v5_reason"));
    assert_eq!(unsuback_out, vector!("unsuback_v5_reason"));
    assert_eq!((suback.packet_bytes(V5), unsuback.packet_bytes(V5)), (suback_out.len(), unsuback_out.len()));
    assert_eq!((suback.packet_bytes(V311), unsuback.packet_bytes(V311)), (6, 4));
}

#[test]
fn a_topic_alias_comes_with_its_name_and_then_in_its_place() {
    let named = OutgoingPublish {
        dup: false,
        retain: true,
        qos: QoS::ExactlyOnce,
        packet_identifier: Some(id(7)),
        topic_name: b"a/b",
        topic_alias: NonZeroU16::new(2),
        properties: b"\x26\x00\x01k\x00\x01v",
        message_expiry_s: None,
        subscription_identifiers: &[],
        payload_bytes: 4,
    };
    let known = OutgoingPublish { dup: true, retain: false, topic_name: b"", properties: b"", ..named };
    for (publish, expected) in
        [(named, vector!("publish_to_client_alias_set")), (known, vector!("publish_to_client_alias_known"))]
    {
        let mut out = BytesMut::new();
        publish.encode_header(&mut out, V5);
        out.extend_from_slice(b"21.5");
        assert_eq!(out, expected);
        assert_eq!(publish.packet_bytes(V5), out.len());
    }
    let mut out = BytesMut::new();
    named.encode_header(&mut out, V311);
    assert_eq!(&out[..], b"\x35\x0b\x00\x03a/b\x00\x07", "3.1.1 has no Topic Alias");
}
