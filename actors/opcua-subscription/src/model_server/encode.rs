//! Writes Variants and NotificationMessages in the binary encoding (Part 6 §5.2), the other way round than `binary.rs`.

use bytes::{BufMut, Bytes, BytesMut};
use contract::UtcTime;

use crate::StatusCode;

/// A value with its StatusCode and SourceTimestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelValue {
    /// A Variant with its encoding mask; empty: no value.
    pub variant: Bytes,
    /// Its StatusCode.
    pub status_code: StatusCode,
    /// Its SourceTimestamp.
    pub source_timestamp: Option<UtcTime>,
}

impl ModelValue {
    /// A Good Double.
    pub fn double(value: f64, at: UtcTime) -> Self {
        let mut variant = vec![11];
        variant.extend(value.to_le_bytes());
        Self::good(variant, at)
    }

    /// A Good `UInt64`.
    pub fn number(value: u64, at: UtcTime) -> Self {
        let mut variant = vec![9];
        variant.extend(value.to_le_bytes());
        Self::good(variant, at)
    }

    /// A Good String.
    pub fn text(value: &str, at: UtcTime) -> Self {
        let mut variant = BytesMut::new();
        variant.put_u8(12);
        put_text(&mut variant, Some(value.as_bytes()));
        Self::good(variant.to_vec(), at)
    }

    /// A Good value of any type.
    pub fn good(variant: impl Into<Bytes>, at: UtcTime) -> Self {
        Self { variant: variant.into(), status_code: StatusCode::GOOD, source_timestamp: Some(at) }
    }
}

/// A String or ByteString.
pub fn put_text(out: &mut BytesMut, text: Option<&[u8]>) {
    match text {
        Some(bytes) => {
            out.put_i32_le(length(bytes.len()));
            out.put_slice(bytes);
        }
        None => out.put_i32_le(-1),
    }
}

/// A DataValue.
pub fn put_data_value(out: &mut BytesMut, value: &ModelValue) {
    let mask = u8::from(!value.variant.is_empty())
        | (u8::from(value.status_code != StatusCode::GOOD) << 1)
        | (u8::from(value.source_timestamp.is_some()) << 2);
    out.put_u8(mask);
    out.put_slice(&value.variant);
    if value.status_code != StatusCode::GOOD {
        out.put_u32_le(value.status_code.0);
    }
    if let Some(time) = value.source_timestamp {
        put_date_time(out, time);
    }
}

/// A NotificationMessage with one DataChangeNotification; a keep-alive where there are no values.
pub fn notification_message(sequence_number: u32, publish_time: UtcTime, values: &[(u32, ModelValue)]) -> Bytes {
    let mut out = BytesMut::with_capacity(32 + 48 * values.len());
    out.put_u32_le(sequence_number);
    put_date_time(&mut out, publish_time);
    if values.is_empty() {
        out.put_i32_le(-1);
        return out.freeze();
    }
    out.put_i32_le(1);
    // DataChangeNotification_Encoding_DefaultBinary, as a four-byte NodeId.
    out.put_slice(&[1, 0, 0x2b, 0x03, 1]);
    let body = data_change_notification(values);
    put_text(&mut out, Some(&body));
    out.freeze()
}

/// A DataChangeNotification.
pub fn data_change_notification(values: &[(u32, ModelValue)]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + 48 * values.len());
    out.put_i32_le(length(values.len()));
    for (client_handle, value) in values {
        out.put_u32_le(*client_handle);
        put_data_value(&mut out, value);
    }
    out.put_i32_le(-1);
    out.freeze()
}

/// A PublishResponse behind its `ResponseHeader`.
pub fn publish_response(
    subscription_id: u32,
    available_sequence_numbers: &[u32],
    more_notifications: bool,
    message: &[u8],
    results: &[StatusCode],
) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + message.len());
    out.put_u32_le(subscription_id);
    out.put_i32_le(length(available_sequence_numbers.len()));
    for number in available_sequence_numbers {
        out.put_u32_le(*number);
    }
    out.put_u8(u8::from(more_notifications));
    out.put_slice(message);
    out.put_i32_le(length(results.len()));
    for result in results {
        out.put_u32_le(result.0);
    }
    out.put_i32_le(-1);
    out.freeze()
}

fn put_date_time(out: &mut BytesMut, time: UtcTime) {
    out.put_i64_le(time.ticks().saturating_add(UtcTime::OPC_UA_EPOCH_TICKS));
}

fn length(count: usize) -> i32 {
    i32::try_from(count).expect("a model's arrays are small")
}
