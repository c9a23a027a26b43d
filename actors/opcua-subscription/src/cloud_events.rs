//! MQTT 5.0 properties of a publication: Content Type, Payload Format Indicator, and the CloudEvents 1.0 attributes as User
//! Properties, named as Azure IoT Operations names them.
//!
//! Everything that stays the same for a DataSet is encoded once; the dates and ids have fixed lengths and are written
//! over, what varies in length stands at the end.

use contract::UtcTime;

use crate::hash::mix;
use crate::json::timestamp::{TIMESTAMP_BYTES, TimestampFormatter};

const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const CONTENT_TYPE: u8 = 0x03;
const USER_PROPERTY: u8 = 0x26;
const UUID_BYTES: usize = 36;
const TRACE_PARENT_BYTES: usize = 55;
/// Characters of a server's `ApplicationUri` that are kept: within an MQTT string, whatever the server says.
const SOURCE_CHARACTERS_MAX: usize = 4_096;

/// Names one message for ever: the same when its NotificationMessage is sent again, also after a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageIdentity {
    /// Random at the Subscription's creation.
    pub(crate) birth: u64,
    /// The first NotificationMessage in it.
    pub(crate) sequence_number: u32,
    /// The DataSet, by its place in the plan.
    pub(crate) writer_index: u32,
    /// Counts the messages that one interval of a DataSet was divided into.
    pub(crate) part: u32,
}

/// What differs from message to message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageAttributes {
    pub(crate) identity: MessageIdentity,
    pub(crate) is_key_frame: bool,
    pub(crate) publish_time: UtcTime,
    pub(crate) received_utc: UtcTime,
}

/// The properties of one DataSet's messages.
#[derive(Debug)]
pub(crate) struct PropertiesTemplate {
    bytes: Vec<u8>,
    id_at: usize,
    uuid_at: usize,
    time_at: usize,
    recorded_time_at: usize,
    trace_parent_at: usize,
}

impl PropertiesTemplate {
    /// Encodes what stays the same. `source` is the server's `ApplicationUri`.
    pub(crate) fn new(asset: &str, external_asset_id: &str, source: &str) -> Self {
        let source: String =
            source.strip_prefix("urn:").unwrap_or(source).chars().take(SOURCE_CHARACTERS_MAX).collect();
        let source = format!("urn:{source}");
        let mut bytes = vec![PAYLOAD_FORMAT_INDICATOR, 1, CONTENT_TYPE];
        put_text(&mut bytes, b"application/json");
        let mut put = |key: &str, value: &str| {
            put_user_property(&mut bytes, key, value.as_bytes());
            bytes.len() - value.len()
        };
        put("specversion", "1.0");
        put("source", &source);
        put("subject", asset);
        put("datacontenttype", "application/json");
        put("externalAssetId", external_asset_id);
        let id_at = put("id", &"0".repeat(UUID_BYTES));
        let uuid_at = put("uuid", &"0".repeat(UUID_BYTES));
        let time_at = put("time", &"0".repeat(TIMESTAMP_BYTES));
        let recorded_time_at = put("recordedtime", &"0".repeat(TIMESTAMP_BYTES));
        let trace_parent_at = put("traceparent", &"0".repeat(TRACE_PARENT_BYTES));
        Self { bytes, id_at, uuid_at, time_at, recorded_time_at, trace_parent_at }
    }

    /// Writes one message's properties into `out`, whose content goes. About 100 ns.
    pub(crate) fn write(&self, out: &mut Vec<u8>, attributes: &MessageAttributes, timestamps: &mut TimestampFormatter) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        let id = uuid(attributes.identity);
        out[self.id_at..][..UUID_BYTES].copy_from_slice(&id);
        out[self.uuid_at..][..UUID_BYTES].copy_from_slice(&id);
        out[self.time_at..][..TIMESTAMP_BYTES].copy_from_slice(timestamps.format(attributes.publish_time));
        out[self.recorded_time_at..][..TIMESTAMP_BYTES].copy_from_slice(timestamps.format(attributes.received_utc));
        out[self.trace_parent_at..][..TRACE_PARENT_BYTES].copy_from_slice(&trace_parent(attributes.identity));
        put_user_property(out, "type", if attributes.is_key_frame { b"ua-keyframe" } else { b"ua-deltaframe" });
        let mut digits = itoa::Buffer::new();
        put_user_property(out, "sequence", digits.format(attributes.identity.sequence_number).as_bytes());
        let millis = attributes.received_utc.unix_millis() - attributes.publish_time.unix_millis();
        put_user_property(out, "serverToConnectorMilliseconds", digits.format(millis).as_bytes());
    }
}

fn put_user_property(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.push(USER_PROPERTY);
    put_text(out, key.as_bytes());
    put_text(out, value);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).expect("texts of the configuration are checked to fit a property");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

/// 128 bits out of an identity; `purpose` makes the id and the trace differ.
fn identity_bits(identity: MessageIdentity, purpose: u64) -> (u64, u64) {
    let place = (u64::from(identity.writer_index) << 32) | u64::from(identity.part);
    let high = mix(mix(identity.birth ^ purpose).wrapping_add(u64::from(identity.sequence_number)) ^ mix(place));
    let low = mix(mix(high ^ identity.birth.rotate_left(17)).wrapping_add(place) ^ u64::from(identity.sequence_number));
    (high, low)
}

/// A UUID of version 8 (RFC 9562 §5.8), whose bits are ours to give.
fn uuid(identity: MessageIdentity) -> [u8; UUID_BYTES] {
    let (high, low) = identity_bits(identity, 1);
    let high = (high & !0xf000) | 0x8000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; UUID_BYTES];
    put_hex(&mut text[0..8], high >> 32);
    put_hex(&mut text[9..13], high >> 16);
    put_hex(&mut text[14..18], high);
    put_hex(&mut text[19..23], low >> 48);
    put_hex(&mut text[24..36], low);
    text
}

/// A traceparent (W3C Trace Context §3.2): version 00, ids that are never zero, not sampled.
fn trace_parent(identity: MessageIdentity) -> [u8; TRACE_PARENT_BYTES] {
    let (high, low) = identity_bits(identity, 2);
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    put_hex(&mut text[3..19], high);
    put_hex(&mut text[19..35], low | 1);
    put_hex(&mut text[36..52], mix(high ^ low) | 1);
    text
}

/// Fills `text` with the lowest digits of `number`.
fn put_hex(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn attributes(sequence_number: u32, part: u32) -> MessageAttributes {
        MessageAttributes {
            identity: MessageIdentity { birth: 7, sequence_number, writer_index: 3, part },
            is_key_frame: false,
            publish_time: UtcTime::from_ticks(17_222_652_171_858_435),
            received_utc: UtcTime::from_ticks(17_222_652_171_958_435),
        }
    }

    fn user_properties(attributes: &MessageAttributes) -> BTreeMap<String, String> {
        let mut bytes = Vec::new();
        PropertiesTemplate::new("thermostat", "asset-1", "plant:server").write(
            &mut bytes,
            attributes,
            &mut TimestampFormatter::new(),
        );
        assert_eq!(&bytes[..5], [1, 1, 3, 0, 16]);
        let mut rest = &bytes[21..];
        let text = |rest: &mut &[u8]| {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let text = String::from_utf8(rest[2..2 + length].to_vec()).unwrap();
            *rest = &rest[2 + length..];
            text
        };
        let mut properties = BTreeMap::new();
        while let Some((&USER_PROPERTY, after)) = rest.split_first() {
            rest = after;
            let key = text(&mut rest);
            assert!(properties.insert(key, text(&mut rest)).is_none());
        }
        assert!(rest.is_empty());
        properties
    }

    #[test]
    fn the_attributes_are_those_of_azure_iot_operations() {
        let properties = user_properties(&attributes(42, 0));
        for (key, value) in [
            ("specversion", "1.0"),
            ("type", "ua-deltaframe"),
            ("source", "urn:plant:server"),
            ("subject", "thermostat"),
            ("datacontenttype", "application/json"),
            ("externalAssetId", "asset-1"),
            ("sequence", "42"),
            ("time", "2024-07-29T15:00:17.1858435Z"),
            ("recordedtime", "2024-07-29T15:00:17.1958435Z"),
            ("serverToConnectorMilliseconds", "10"),
        ] {
            assert_eq!(properties[key], value, "{key}");
        }
        assert_eq!(properties["id"], properties["uuid"]);
        assert_eq!(properties.len(), 13);
    }

    #[test]
    fn ids_are_the_same_for_the_same_message_and_differ_for_others() {
        let id = |attributes| user_properties(&attributes)["id"].clone();
        assert_eq!(id(attributes(1, 0)), id(attributes(1, 0)));
        assert_ne!(id(attributes(1, 0)), id(attributes(2, 0)));
        assert_ne!(id(attributes(1, 0)), id(attributes(1, 1)));
    }

    #[test]
    fn the_forms_of_uuid_and_traceparent_are_valid() {
        let properties = user_properties(&attributes(1, 0));
        let id = properties["id"].as_bytes();
        assert_eq!((id[14], id[8], id[13], id[18], id[23]), (b'8', b'-', b'-', b'-', b'-'));
        assert!(b"89ab".contains(&id[19]));
        let parts: Vec<&str> = properties["traceparent"].split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert!(parts[1].bytes().any(|digit| digit != b'0') && parts[2].bytes().any(|digit| digit != b'0'));
    }
}
