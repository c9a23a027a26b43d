//! What holds for all values, streams and bytes.

use bench_eventhubs::codec::DecodeError;
use bench_eventhubs::codec::decoder::{Decoder, VALUES_COUNT_MAX};
use bench_eventhubs::codec::encoder as put;
use bench_eventhubs::codec::frame::{FrameKind, put_frame, take_frame, take_protocol_header};
use bench_eventhubs::codec::message::{Sections, SmallMessage};
use bench_eventhubs::codec::outcome::{AmqpError, DeliveryState};
use bench_eventhubs::codec::performative::{Attach, Detach, Disposition, Flow, Performative, Transfer};
use bench_eventhubs::codec::value::Value;
use bench_eventhubs::event::Prepared;
use bench_eventhubs::reader::ReadEvent;
use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        any::<u32>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        prop::num::f32::NORMAL.prop_map(Value::Float),
        prop::num::f64::NORMAL.prop_map(Value::Double),
        any::<[u8; 4]>().prop_map(Value::Decimal32),
        any::<[u8; 8]>().prop_map(Value::Decimal64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Binary(bytes.into())),
        ".{0,300}".prop_map(Value::String),
        "[a-z:-]{0,300}".prop_map(Value::Symbol),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            // Members of an array share one type; that of each list here is the list.
            prop::collection::vec(prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List), 0..4)
                .prop_map(Value::Array),
            prop::collection::vec(any::<i64>().prop_map(Value::Long), 0..8).prop_map(Value::Array),
            (any::<u64>(), prop::collection::vec(".{0,9}".prop_map(Value::String), 1..4)).prop_map(|(code, texts)| {
                let described = |text| Value::Described(Box::new((Value::Ulong(code), text)));
                Value::Array(texts.into_iter().map(described).collect())
            }),
            (any::<u64>(), inner).prop_map(|(code, value)| Value::Described(Box::new((Value::Ulong(code), value)))),
        ]
    })
}

fn error() -> impl Strategy<Value = Option<AmqpError>> {
    prop::option::of(("[a-z:-]{1,40}", ".{0,300}").prop_map(|(condition, text)| AmqpError::new(&condition, text)))
}

fn performative() -> impl Strategy<Value = Performative> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let state = prop_oneof![
        Just(DeliveryState::Accepted),
        Just(DeliveryState::Released),
        error().prop_map(DeliveryState::Rejected),
        any::<(bool, bool)>().prop_map(|(delivery_failed, undeliverable_here)| DeliveryState::Modified {
            delivery_failed,
            undeliverable_here
        }),
    ];
    let encoded = || {
        scalar().prop_filter("null is the absence of a terminus", |value| *value != Value::Null).prop_map(|value| {
            let mut out = BytesMut::new();
            value.encode(&mut out);
            out.freeze()
        })
    };
    prop_oneof![
        (any::<u32>(), any::<Option<u32>>(), prop::option::of(bytes()), any::<Option<u32>>(), any::<Option<bool>>())
            .prop_map(|(handle, delivery_id, delivery_tag, message_format, settled)| {
                let flag = handle % 2 == 0;
                let (more, aborted) = (flag, !flag);
                let transfer = Transfer { handle, delivery_id, delivery_tag, message_format, settled, more, aborted };
                Performative::Transfer(transfer)
            }),
        (any::<[u32; 3]>(), any::<[Option<u32>; 5]>(), any::<(bool, bool)>()).prop_map(|(all, some, flags)| {
            Performative::Flow(Flow {
                next_incoming_id: some[0],
                incoming_window: all[0],
                next_outgoing_id: all[1],
                outgoing_window: all[2],
                handle: some[1],
                delivery_count: some[2],
                link_credit: some[3],
                available: some[4],
                drain: flags.0,
                echo: flags.1,
            })
        }),
        (any::<(bool, u32, Option<u32>, bool)>(), prop::option::of(state)).prop_map(|(head, state)| {
            let (is_receiver, first, last, settled) = head;
            Performative::Disposition(Disposition { is_receiver, first, last, settled, state })
        }),
        (any::<u32>(), any::<bool>(), error()).prop_map(|(handle, closed, error)| Performative::Detach(Detach {
            handle,
            closed,
            error
        })),
        (".{0,300}", any::<(u32, bool, Option<u32>, Option<u64>)>(), encoded(), encoded()).prop_map(
            |(name, (handle, is_receiver, initial_delivery_count, message_bytes_max), source, target)| {
                Performative::Attach(Box::new(Attach {
                    name,
                    handle,
                    is_receiver,
                    sender_settle_mode: u8::from(is_receiver),
                    receiver_settle_mode: 0,
                    source,
                    target,
                    initial_delivery_count,
                    message_bytes_max,
                    properties: Bytes::new(),
                }))
            }
        ),
        error().prop_map(Performative::End),
        error().prop_map(Performative::Close),
    ]
}

fn encoded(value: &Value) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.freeze()
}

proptest! {
    #[test]
    fn a_value_reads_as_it_was_written(value in value()) {
        let bytes = encoded(&value);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.value(), Ok(value));
        prop_assert!(decoder.is_empty());
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.skip(), Ok(()));
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn a_value_cut_short_is_truncated(value in value(), cut in 1_usize..40) {
        let bytes = encoded(&value);
        let short = bytes.slice(..bytes.len().saturating_sub(cut));
        prop_assert!(Decoder::new(&short).value().is_err());
    }

    #[test]
    fn a_performative_reads_as_it_was_written(performative in performative(), payload in any::<[u8; 5]>()) {
        let mut out = BytesMut::new();
        performative.encode(&mut out);
        out.put_slice(&payload);
        prop_assert_eq!(Performative::decode(&out.freeze()), Ok((performative, Bytes::copy_from_slice(&payload))));
    }

    #[test]
    fn any_split_of_a_stream_reads_alike(
        performatives in prop::collection::vec(performative(), 1..6),
        cuts in prop::collection::vec(1_usize..40, 1..200),
    ) {
        let mut stream = BytesMut::new();
        for performative in &performatives {
            put_frame(&mut stream, FrameKind::Amqp, 3, |out| performative.encode(out));
        }
        let (mut rest, mut input, mut read) = (&stream[..], BytesMut::new(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            input.extend_from_slice(chunk);
            rest = after;
            while let Some(frame) = take_frame(&mut input, 65_536).unwrap() {
                read.push(Performative::decode(&frame.body).unwrap().0);
            }
        }
        prop_assert_eq!(read, performatives);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut stream = BytesMut::from(&bytes[..]);
        let _ = take_protocol_header(&mut stream);
        while let Ok(Some(_)) = take_frame(&mut stream, 65_536) {}
        let bytes = Bytes::from(bytes);
        let _ = Decoder::new(&bytes).value();
        let _ = Decoder::new(&bytes).skip();
        let _ = Performative::decode(&bytes);
        let _ = SmallMessage::decode(&bytes);
        let _ = Prepared::new(bytes.clone());
        let _ = ReadEvent::new(0, bytes);
    }

    #[test]
    fn a_mutated_performative_never_panics(
        performative in performative(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut out = BytesMut::new();
        performative.encode(&mut out);
        for (at, byte) in mutations {
            let at = at.index(out.len());
            out[at] = byte;
        }
        let _ = Performative::decode(&out.freeze());
    }

    #[test]
    fn an_event_keeps_its_bytes_and_gains_annotations(
        entries in prop::collection::vec(("[a-z]{1,9}", scalar()), 0..5),
        relayed in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        with_header in any::<bool>(),
    ) {
        let mut annotations: Vec<_> = entries.into_iter().map(|(key, value)| (Value::Symbol(key), value)).collect();
        if relayed {
            annotations.push((Value::Symbol("x-opt-sequence-number".to_owned()), Value::Long(-5)));
        }
        let mut message = BytesMut::new();
        if with_header {
            put::descriptor(&mut message, 0x70);
            Value::List(vec![Value::Bool(true)]).encode(&mut message);
        }
        put::descriptor(&mut message, 0x72);
        Value::Map(annotations.clone()).encode(&mut message);
        let mut tail = BytesMut::new();
        put::descriptor(&mut tail, 0x73);
        Value::List(vec![Value::Uuid([7; 16])]).encode(&mut tail);
        put::descriptor(&mut tail, 0x75);
        put::binary(&mut tail, &body);
        message.extend_from_slice(&tail);
        let key = "asset".into();
        let event = Prepared::new(message.freeze()).unwrap().store(40, 1_700_000_000_123_456, Some(&key));
        let mut delivered = BytesMut::new();
        event.encode(9, &mut delivered);
        prop_assert!(delivered.ends_with(&tail));
        let read = ReadEvent::new(2, delivered.clone().freeze()).unwrap();
        prop_assert_eq!((read.sequence_number, read.offset, read.accepted_us), (9, 40, 1_700_000_000_123_456));
        prop_assert_eq!(read.partition_key.as_deref(), Some("asset"));
        prop_assert_eq!(&read.body[..], &body[..]);
        prop_assert_eq!(read.message_id(), Ok(Value::Uuid([7; 16])));
        let delivered = delivered.freeze();
        let sections = Sections::find(&delivered, |_| {}).unwrap();
        prop_assert_eq!(sections.header.is_empty(), !with_header);
        let map = delivered.slice(sections.annotations);
        let Ok(Value::Map(found)) = Decoder::new(&map).value() else { panic!("no annotations") };
        annotations.retain(|(key, _)| key.as_text() != Some("x-opt-sequence-number"));
        prop_assert_eq!(&found[..annotations.len()], &annotations[..]);
        prop_assert_eq!(found.len(), annotations.len() + 5);
    }
}

#[test]
fn an_array_of_a_billion_nulls_is_refused() {
    let bytes = Bytes::from_static(&[0xf0, 0, 0, 0, 5, 0x3f, 0xff, 0xff, 0xff, 0x40]);
    assert_eq!(Decoder::new(&bytes).value(), Err(DecodeError::TooComplex));
    let most =
        Bytes::copy_from_slice(&[&[0xf0, 0, 0, 0, 5], &(VALUES_COUNT_MAX - 1).to_be_bytes()[..], &[0x40]].concat());
    assert!(Decoder::new(&most).value().is_ok());
}

#[test]
fn nesting_has_an_end() {
    let mut bytes = vec![0; 200];
    bytes.push(0x40);
    assert_eq!(Decoder::new(&Bytes::from(bytes)).value(), Err(DecodeError::TooComplex));
    let mut list = Value::Null;
    for _ in 0..40 {
        list = Value::List(vec![list]);
    }
    assert_eq!(Decoder::new(&encoded(&list)).value(), Err(DecodeError::TooComplex));
}
