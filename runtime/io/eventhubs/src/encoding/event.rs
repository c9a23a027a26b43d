//! One event as one AMQP message (AMQP 1.0 §3.2).

use std::collections::BTreeSet;

use azure_core_amqp::message::{AmqpAnnotations, AmqpApplicationProperties, AmqpMessageId, AmqpMessageProperties};
use azure_core_amqp::{AmqpMessage, AmqpSimpleValue, AmqpSymbol};
use contract::Event;

use super::publish_properties::PublishProperties;

/// The application property that carries the Topic Name.
pub const TOPIC_NAME_PROPERTY: &str = "mqtt-topic";

/// The annotation by which the service knows an event's key.
const PARTITION_KEY_ANNOTATION: &str = "x-opt-partition-key";

/// Longest key that the service takes in the annotation, in characters.
const PARTITION_KEY_CHARS_MAX: usize = 128;

/// What CloudEvents attributes are called in application properties (CloudEvents AMQP binding 1.0 §3.1.3.1).
const CLOUD_EVENTS_PREFIX: &str = "cloudEvents:";

/// How the SDK ends a message without body: an amqp-value section that holds null.
const NO_BODY: [u8; 4] = [0x00, 0x53, 0x77, 0x40];

/// Encodes `event` as one AMQP message, never longer than [`egress_batcher::encoded_bytes_max`] says.
///
/// | Section | Holds |
/// |---|---|
/// | message-annotations | `x-opt-partition-key`, where the event has a key of at most 128 characters of UTF-8 |
/// | properties | message-id: the event's id; content-type, reply-to and correlation-id: Content Type, Response Topic and Correlation Data |
/// | application-properties | `mqtt-topic`: the Topic Name; then the User Properties |
/// | data | the payload |
///
/// Where the User Properties hold `specversion` they are CloudEvents attributes in binary mode (CloudEvents MQTT
/// binding 1.0 §3.1.3.1): those whose names are lower case letters and digits gain the prefix `cloudEvents:`. Names must differ in AMQP (AMQP 1.0 §1.6.23): of several User Properties of one name the first is
/// kept, and none that is called `mqtt-topic`. A Content Type that is not ASCII is left out.
///
/// Costs about 1 us and one copy of the payload.
pub fn encode_event(event: &Event) -> Vec<u8> {
    let publication = &event.publication;
    let published = PublishProperties::read(publication.properties());
    let properties = AmqpMessageProperties {
        message_id: Some(AmqpMessageId::String(event.id.to_string())),
        content_type: published.content_type.filter(|text| text.is_ascii()).map(AmqpSymbol::from),
        reply_to: published.response_topic.map(ToOwned::to_owned),
        correlation_id: published.correlation_data.map(|data| AmqpMessageId::Binary(data.to_vec())),
        ..AmqpMessageProperties::default()
    };
    let mut message = AmqpMessage::builder()
        .with_properties(properties)
        .with_application_properties(application_properties(publication.topic_name_str(), &published.user_properties));
    if let Some(key) = partition_key(event) {
        let mut annotations = AmqpAnnotations::new();
        annotations.insert(AmqpSymbol::from(PARTITION_KEY_ANNOTATION), key);
        message = message.with_message_annotations(annotations);
    }
    let encoded = AmqpMessage::serialize(&message.build()).expect("a message of text and bytes can be encoded");
    with_data(encoded, publication.payload())
}

/// Puts the data section in the place of the body that the SDK wrote: given the payload, it would copy it twice.
fn with_data(mut encoded: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    assert!(encoded.ends_with(&NO_BODY), "the SDK ends a message without body by null");
    encoded.truncate(encoded.len() - NO_BODY.len());
    encoded.reserve_exact(8 + payload.len());
    // The section's descriptor, then binary of 8 or 32 bits of length (AMQP 1.0 §3.2.6, §1.6.19).
    encoded.extend([0x00, 0x53, 0x75]);
    if let Ok(length) = u8::try_from(payload.len()) {
        encoded.extend([0xa0, length]);
    } else {
        let length = u32::try_from(payload.len()).expect("a packet bounds its payload");
        encoded.push(0xb0);
        encoded.extend(length.to_be_bytes());
    }
    encoded.extend_from_slice(payload);
    encoded
}

fn partition_key(event: &Event) -> Option<String> {
    let key = std::str::from_utf8(&event.key).ok()?;
    (!key.is_empty() && key.chars().count() <= PARTITION_KEY_CHARS_MAX).then(|| key.to_owned())
}

fn application_properties(topic_name: &str, user_properties: &[(&str, &str)]) -> AmqpApplicationProperties {
    let is_cloud_event = user_properties.iter().any(|(name, _)| *name == "specversion");
    let mut names = BTreeSet::from([TOPIC_NAME_PROPERTY]);
    let topic = (TOPIC_NAME_PROPERTY.to_owned(), AmqpSimpleValue::from(topic_name));
    let user_properties = user_properties.iter().filter(|(name, _)| names.insert(name)).map(|(name, value)| {
        let name = if is_cloud_event && is_attribute(name) {
            format!("{CLOUD_EVENTS_PREFIX}{name}")
        } else {
            (*name).to_owned()
        };
        (name, AmqpSimpleValue::from(*value))
    });
    AmqpApplicationProperties(std::iter::once(topic).chain(user_properties).collect())
}

/// Whether CloudEvents allows an attribute of this name (CloudEvents 1.0 §3, naming conventions).
fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use azure_core_amqp::message::AmqpMessageBody;
    use bytes::Bytes;
    use contract::{
        Epoch, EventId, FlowIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, PublicationArena,
        PublicationDraft, QoS, UtcTime,
    };

    use super::*;

    const GOLDEN: &str = include_str!("../../vectors/event.hex");

    fn event(key: &str, properties: &[u8], payload: &[u8]) -> Event {
        let draft = PublicationDraft {
            topic_name: "plant/line",
            properties,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        };
        let mut arena = PublicationArena::new(1_024);
        let mut builder = arena.begin(&draft);
        builder.put(payload);
        let id = EventId { flow: FlowIndex(1), partition: PartitionIndex(2), epoch: Epoch(0x1a), offset: Offset(77) };
        Event { id, key: Bytes::copy_from_slice(key.as_bytes()), publication: builder.finish(1) }
    }

    fn user_property(name: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
        [vec![0x26], text(name), text(value)].concat()
    }

    fn names_of(properties: &[(&str, &str)]) -> Vec<String> {
        application_properties("t", properties).0.iter().map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn an_event_has_these_very_bytes() {
        let properties = [
            b"\x03\x00\x10application/json".to_vec(),
            user_property("specversion", "1.0"),
            user_property("id", "7"),
            user_property("$partition", "p"),
        ]
        .concat();
        let golden: Vec<u8> = GOLDEN
            .lines()
            .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
            .map(|digits| u8::from_str_radix(digits, 16).unwrap())
            .collect();
        assert_eq!(encode_event(&event("plant/line", &properties, b"21.5")), golden);
    }

    #[test]
    fn it_is_what_the_sdk_itself_would_write() {
        for payload in [vec![], vec![7; 254], vec![7; 256], vec![7; 70_000]] {
            let id = AmqpMessageId::String("1-2-1a-77".to_owned());
            let properties = AmqpMessageProperties { message_id: Some(id), ..AmqpMessageProperties::default() };
            let message = AmqpMessage::builder()
                .with_properties(properties)
                .with_application_properties(application_properties("plant/line", &[]))
                .with_body(AmqpMessageBody::Binary(vec![payload.clone()]))
                .build();
            assert_eq!(encode_event(&event("", &[], &payload)), AmqpMessage::serialize(&message).unwrap());
        }
    }

    #[test]
    fn attributes_are_prefixed_in_a_cloud_event_only() {
        assert_eq!(names_of(&[("id", "7"), ("source", "s")]), ["mqtt-topic", "id", "source"]);
        let names = names_of(&[("specversion", "1.0"), ("id", "7"), ("$partition", "p"), ("camelCase", "c")]);
        assert_eq!(names, ["mqtt-topic", "cloudEvents:specversion", "cloudEvents:id", "$partition", "camelCase"]);
    }

    #[test]
    fn the_first_of_a_name_is_kept_and_ours_is_ours() {
        assert_eq!(names_of(&[("a", "1"), ("mqtt-topic", "forged"), ("a", "2"), ("b", "3")]), ["mqtt-topic", "a", "b"]);
    }

    #[test]
    fn a_key_that_the_service_would_refuse_is_not_annotated() {
        assert_eq!(partition_key(&event("", &[], b"")), None);
        assert!(partition_key(&event(&"k".repeat(128), &[], b"")).is_some());
        assert_eq!(partition_key(&event(&"k".repeat(129), &[], b"")), None);
    }

    #[test]
    fn a_content_type_that_is_no_symbol_is_left_out() {
        let encoded = |text: &str| {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            encode_event(&event("", &[&[0x03][..], &length, text.as_bytes()].concat(), b"1"))
        };
        assert_eq!(encoded("é"), encode_event(&event("", &[], b"1")));
        assert_ne!(encoded("e"), encode_event(&event("", &[], b"1")));
    }
}
