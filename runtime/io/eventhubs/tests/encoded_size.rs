//! What a batcher plans with is never less than what the lane encodes.

use bytes::Bytes;
use contract::{
    Epoch, Event, EventId, FlowIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, PublicationArena,
    PublicationDraft, QoS, UtcTime,
};
use egress_batcher::encoded_bytes_max;
use eventhubs_lane::encode_event;
use proptest::collection::vec;
use proptest::prelude::*;

/// A property of a PUBLISH, from the shortest to beyond the limits of the short AMQP encodings.
fn property() -> impl Strategy<Value = Vec<u8>> {
    let text = || {
        prop_oneof![
            4 => "[a-z0-9]{0,6}".prop_map(String::from),
            1 => Just("specversion".to_owned()),
            1 => "\\PC{0,40}".prop_map(String::from),
            1 => (250_usize..260).prop_map(|length| "x".repeat(length)),
        ]
    };
    let binary = |bytes: Vec<u8>| [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], &bytes].concat();
    prop_oneof![
        8 => (text(), text()).prop_map(move |(name, value)| {
            [vec![0x26], binary(name.into_bytes()), binary(value.into_bytes())].concat()
        }),
        1 => (prop_oneof![Just(0x03), Just(0x08), Just(0x09)], vec(any::<u8>(), 0..300))
            .prop_map(move |(identifier, bytes)| [vec![identifier], binary(bytes)].concat()),
        1 => Just(vec![0x01, 0x01]),
        // Bytes that are no property: nothing behind them is read.
        1 => vec(any::<u8>(), 0..8),
    ]
}

fn event(topic_name: &str, key: String, properties: &[u8], payload_bytes: usize, id: EventId) -> Event {
    let draft = PublicationDraft {
        topic_name,
        properties,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(4_096);
    let mut builder = arena.begin(&draft);
    builder.put(&vec![b'x'; payload_bytes]);
    Event { id, key: key.into(), publication: builder.finish(1) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_encoded_event_in_its_section_is_within_the_bound(
        topic_name in "\\PC{1,300}",
        key in "\\PC{0,200}",
        properties in vec(property(), 0..40),
        payload_bytes in prop_oneof![0_usize..300, 60_000_usize..70_000],
        (flow, partition, epoch, offset) in any::<(u16, u16, u64, u64)>(),
    ) {
        let id = EventId {
            flow: FlowIndex(flow), partition: PartitionIndex(partition), epoch: Epoch(epoch), offset: Offset(offset),
        };
        let event = event(&topic_name, key, &properties.concat(), payload_bytes, id);
        let encoded = encode_event(&event).len();
        // Each stands in a data section of the envelope, with up to 8 bytes of header.
        prop_assert!(encoded + 8 <= encoded_bytes_max(&event), "{encoded} bytes");
    }
}

#[test]
fn the_longest_of_everything_that_is_fixed_is_within_the_bound() {
    let id = EventId {
        flow: FlowIndex(u16::MAX),
        partition: PartitionIndex(u16::MAX),
        epoch: Epoch(u64::MAX),
        offset: Offset(u64::MAX),
    };
    for payload_bytes in [0, 255, 256] {
        let topic_name = "t".repeat(300);
        let event = event(&topic_name, "k".repeat(128), &[], payload_bytes, id);
        let encoded = encode_event(&event).len() + 8;
        let bound = encoded_bytes_max(&event);
        assert!(encoded <= bound, "{encoded} of {bound}");
        assert!(bound - encoded < 150, "the bound is not wasteful: {encoded} of {bound}");
    }
}

#[test]
fn very_many_properties_are_encoded_in_time_that_grows_with_them() {
    let properties: Vec<u8> = (0..20_000_u16)
        .flat_map(|number| {
            let [high, low] = number.to_be_bytes();
            let digit = |nibble: u8| b'a' + nibble;
            let name = [digit(high >> 4), digit(high & 15), digit(low >> 4), digit(low & 15)];
            [&[0x26, 0, 4][..], &name, &[0, 0]].concat()
        })
        .collect();
    let id = EventId { flow: FlowIndex(0), partition: PartitionIndex(0), epoch: Epoch(0), offset: Offset(0) };
    let event = Event { key: Bytes::new(), ..event("t", String::new(), &properties, 1, id) };
    assert!(encode_event(&event).len() > 20_000 * 8);
    assert!(encode_event(&event).len() + 8 <= encoded_bytes_max(&event));
}
