//! Properties of the codec: what is written reads back, any cut of a stream reads alike, no bytes panic.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use contract::QoS;
use mqtt::{
    Connect, Decoder, Frame, OutgoingPublish, PacketIdentifier, ProtocolVersion, Publish, Subscribe, TopicFilter,
    fuzzing,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V311), Just(ProtocolVersion::V5)]
}

/// Well-formed properties of a PUBLISH that go on unchanged.
fn properties() -> impl Strategy<Value = Vec<u8>> {
    let user = ("[a-z]{0,5}", "\\PC{0,9}").prop_map(|(key, value)| {
        let text = |text: &str| [&u16::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat();
        [&[0x26][..], &text(&key), &text(&value)].concat()
    });
    let users = vec(user, 0..4).prop_map(|each| each.concat());
    (any::<bool>(), users).prop_map(|(utf_8, users)| [&[0x01, u8::from(utf_8)][..], &users].concat())
}

fn frame(bytes: BytesMut) -> Frame {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(bytes.freeze());
    decoder.next_frame().expect("well-formed").expect("whole")
}

/// A stream that mostly is one: packets of all types, some damaged.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let connect = Just(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x01c".to_vec());
    let packet = prop_oneof![
        (any::<u8>(), vec(any::<u8>(), 0..100)).prop_map(|(first_byte, body)| {
            [&[first_byte, u8::try_from(body.len()).expect("short")][..], &body].concat()
        }),
        Just(b"\x30\x07\x00\x03a/b\x00x".to_vec()),
        Just(b"\x82\x07\x00\x05\x00\x00\x01#\x01".to_vec()),
        Just(b"\xa2\x06\x00\x05\x00\x00\x01#".to_vec()),
        Just(b"\x40\x02\x00\x05".to_vec()),
        Just(b"\x34\x0c\x00\x03a/b\x00\x07\x03\x23\x00\x01x".to_vec()),
        Just(b"\x50\x08\x00\x05\x97\x04\x1f\x00\x01w".to_vec()),
        Just(b"\x62\x03\x00\x05\x92".to_vec()),
        Just(b"\x70\x02\x00\x05".to_vec()),
        Just(b"\xf0\x06\x18\x04\x15\x00\x01m".to_vec()),
        Just(b"\xc0\x00".to_vec()),
    ];
    (connect, vec(packet, 0..12)).prop_map(|(connect, packets)| [connect, packets.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_publish_reads_back_as_it_was_written(
        version in version(),
        topic in "[a-z\u{e9}/]{1,30}",
        properties in properties(),
        payload in vec(any::<u8>(), 0..300),
        packet_identifier in any::<u16>(),
        qos in prop_oneof![Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)],
        topic_alias in proptest::option::of(any::<NonZeroU16>()),
        message_expiry_s in proptest::option::of(any::<u32>()),
        retain in any::<bool>(),
    ) {
        let packet = OutgoingPublish {
            dup: false,
            retain,
            qos: if packet_identifier == 0 { QoS::AtMostOnce } else { qos },
            packet_identifier: PacketIdentifier::new(packet_identifier),
            topic_name: topic.as_bytes(),
            topic_alias: topic_alias.filter(|_| version == ProtocolVersion::V5),
            properties: &properties,
            message_expiry_s,
            subscription_identifiers: &[],
            payload_bytes: payload.len(),
        };
        let mut out = BytesMut::new();
        packet.encode_header(&mut out, version);
        out.extend_from_slice(&payload);
        prop_assert_eq!(out.len(), packet.packet_bytes(version));
        let frame = frame(out);
        let read = Publish::decode(&frame, version).expect("well-formed");
        prop_assert_eq!(read.topic_name.map(mqtt::TopicName::as_str), Some(topic.as_str()));
        prop_assert_eq!((read.retain, read.qos, read.packet_identifier), (retain, packet.qos, packet.packet_identifier));
        prop_assert_eq!(read.topic_alias, packet.topic_alias.map(NonZeroU16::get));
        prop_assert_eq!(read.payload, &payload);
        if version == ProtocolVersion::V5 {
            prop_assert_eq!(&*read.properties, &properties);
            prop_assert_eq!(read.message_expiry_s, message_expiry_s);
        }
    }

    #[test]
    fn a_connect_reads_back_as_mqttbytes_wrote_it(
        client_id in "\\PC{0,20}",
        keep_alive in any::<u16>(),
        clean_session in any::<bool>(),
        will in proptest::option::of(("[a-z/]{1,9}", "[a-z]{0,9}", any::<bool>())),
        login in proptest::option::of(("[a-z]{1,9}", "[a-z]{1,9}")),
        is_v5 in any::<bool>(),
    ) {
        let mut out = BytesMut::new();
        if is_v5 {
            use mqttbytes::v5;
            let mut connect = v5::Connect::new(client_id.clone());
            (connect.keep_alive, connect.clean_session) = (keep_alive, clean_session);
            connect.last_will = will.clone()
                .map(|(topic, payload, retain)| v5::LastWill::new(topic, payload, mqttbytes::QoS::AtLeastOnce, retain));
            connect.login = login.clone().map(|(user, password)| v5::Login::new(user, password));
            connect.write(&mut out).expect("short");
        } else {
            use mqttbytes::v4;
            let mut connect = v4::Connect::new(client_id.clone());
            (connect.keep_alive, connect.clean_session) = (keep_alive, clean_session);
            connect.last_will = will.clone()
                .map(|(topic, payload, retain)| v4::LastWill::new(topic, payload, mqttbytes::QoS::AtLeastOnce, retain));
            connect.login = login.clone().map(|(user, password)| v4::Login::new(user, password));
            connect.write(&mut out).expect("short");
        }
        let read = Connect::decode(&frame(out)).expect("well-formed");
        prop_assert_eq!(&*read.client_identifier, client_id);
        prop_assert_eq!((read.keep_alive_s, read.clean_start), (keep_alive, clean_session));
        let read_will = read.will.map(|will| (will.topic_name.to_string(), will.payload.to_vec(), will.retain));
        prop_assert_eq!(read_will, will.map(|(topic, payload, retain)| (topic, payload.into_bytes(), retain)));
        prop_assert_eq!(read.login.user_name.as_deref(), login.as_ref().map(|(user, _)| user.as_str()));
    }

    #[test]
    fn a_subscribe_reads_back_as_mqttbytes_wrote_it(
        packet_identifier in 1_u16..,
        filters in vec(("[a-z/+#]{0,9}", any::<bool>(), any::<bool>()), 1..5),
        identifier in proptest::option::of(1_usize..268_435_456),
        user_properties in vec(("[a-z]{0,9}".prop_map(String::from), "[a-z]{0,9}".prop_map(String::from)), 0..3),
    ) {
        use mqttbytes::v5;
        let mut subscribe = v5::Subscribe::empty_subscribe();
        subscribe.pkid = packet_identifier;
        for (path, no_local, qos_1) in &filters {
            let qos = if *qos_1 { mqttbytes::QoS::AtLeastOnce } else { mqttbytes::QoS::AtMostOnce };
            let mut filter = v5::SubscribeFilter::new(path.clone(), qos);
            filter.set_nolocal(*no_local);
            subscribe.filters.push(filter);
        }
        subscribe.properties = Some(v5::SubscribeProperties { id: identifier, user_properties });
        let mut out = BytesMut::new();
        subscribe.write(&mut out).expect("short");
        let read = Subscribe::decode(&frame(out), ProtocolVersion::V5).expect("well-formed");
        prop_assert_eq!(read.subscription_identifier.map(|id| id as usize), identifier);
        let read: Vec<_> = read.filters.into_iter().map(|f| (f.topic_filter, f.no_local, f.maximum_qos.bits() == 1)).collect();
        prop_assert_eq!(read, filters);
    }

    #[test]
    fn any_cut_of_a_stream_reads_alike(
        stream in stream(),
        version in version(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).filter(|c| !c.is_empty()).collect();
        prop_assert_eq!(fuzzing::read_stream(&chunks, version), fuzzing::read_stream(&[&stream], version));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), version in version()) {
        fuzzing::read_stream(&[&bytes], version);
    }

    #[test]
    fn any_damage_of_a_stream_is_survived(
        mut stream in stream(),
        version in version(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (index, byte) in flips {
            let at = index.index(stream.len());
            stream[at] ^= byte;
        }
        fuzzing::read_stream(&[&stream], version);
    }

    #[test]
    fn any_two_texts_match_as_the_reference_says(filter in "[a+#/$]{0,8}", topic in "[a/$]{0,6}") {
        fn reference(filter: &[&str], topic: &[&str]) -> bool {
            match (filter, topic) {
                (["#", ..], _) | ([], []) => true,
                ([first, filter @ ..], [level, topic @ ..]) => {
                    (*first == "+" || first == level) && reference(filter, topic)
                }
                _ => false,
            }
        }
        let expected = !topic.is_empty()
            && TopicFilter::parse(&filter).is_ok()
            && !(topic.starts_with('$') && filter.starts_with(['+', '#']))
            && reference(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>());
        prop_assert_eq!(fuzzing::matches(&filter, &topic), expected);
    }

    #[test]
    fn any_texts_are_survived(filter in ".{0,20}", topic in ".{0,20}") {
        fuzzing::matches(&filter, &topic);
    }

    #[test]
    fn a_shared_subscription_has_a_name_and_a_filter(text in "(\\$share/)?[a+#/$]{0,8}") {
        let expected = match text.strip_prefix("$share/").map(|rest| rest.split_once('/')) {
            None => TopicFilter::parse(&text).is_ok(),
            Some(None) => false,
            Some(Some((name, filter))) => {
                !name.is_empty() && !name.contains(['+', '#']) && TopicFilter::parse(filter).is_ok()
            }
        };
        prop_assert_eq!(fuzzing::names_subscription(&text), expected);
    }
}

#[test]
fn a_body_shares_the_bytes_that_were_pushed() {
    let pushed = Bytes::from(b"\x30\x07\x00\x03a/b\x00x".to_vec());
    let mut decoder = Decoder::new(100);
    decoder.push(pushed.clone());
    let frame = decoder.next_frame().expect("well-formed").expect("whole");
    assert_eq!(frame.body.as_ptr(), pushed[2..].as_ptr());
}
