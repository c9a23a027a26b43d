//! One event as the reader gives it: what the bench needs is found, the rest is decoded when asked for.

use std::ops::Range;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::codec::decoder::Decoder;
use crate::codec::message::Sections;
use crate::codec::value::Value;
use crate::event::{ACCEPTED_US, ENQUEUED_TIME, OFFSET, PARTITION_KEY, SEQUENCE_NUMBER};

/// An event that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadEvent {
    /// The partition's index.
    pub partition: u16,
    /// Position in the partition, from 0, without gaps.
    pub sequence_number: i64,
    /// Position in the partition, in bytes.
    pub offset: i64,
    /// When the endpoint accepted the event, in microseconds since 1970. Of an endpoint that does not say so:
    /// milliseconds, times 1,000.
    pub accepted_us: i64,
    /// What the producer chose the partition by.
    pub partition_key: Option<String>,
    /// The first data section; the encoded value where the body is a value.
    pub body: Bytes,
    message: Bytes,
    properties: Range<usize>,
    application_properties: Range<usize>,
}

impl ReadEvent {
    /// Reads an encoded message.
    ///
    /// # Errors
    /// It is malformed, or has not the annotations of a hub.
    pub fn new(partition: u16, message: Bytes) -> Result<Self, DecodeError> {
        let mut body = None;
        let sections = Sections::find(&message, |data| {
            body.get_or_insert(data);
        })?;
        let body = body.unwrap_or_else(|| message.slice(sections.body.clone()));
        let annotations = message.slice(sections.annotations);
        let mut decoder = Decoder::new(&annotations);
        let (_, count) = decoder.map_header()?;
        let (mut sequence_number, mut offset, mut accepted_us, mut enqueued_ms) = (None, None, None, None);
        let mut partition_key = None;
        for _ in 0..count / 2 {
            match decoder.text_in_place()? {
                SEQUENCE_NUMBER => sequence_number = Some(decoder.integer()?),
                OFFSET => offset = decoder.text_in_place()?.parse().ok(),
                ENQUEUED_TIME => enqueued_ms = Some(decoder.integer()?),
                ACCEPTED_US => accepted_us = Some(decoder.integer()?),
                PARTITION_KEY => partition_key = decoder.value()?.as_text().map(str::to_owned),
                _ => decoder.skip()?,
            }
        }
        let accepted_us = accepted_us.or_else(|| enqueued_ms.map(|ms: i64| ms.saturating_mul(1_000)));
        Ok(Self {
            partition,
            sequence_number: sequence_number.ok_or(DecodeError::FieldMissing)?,
            offset: offset.unwrap_or(-1),
            accepted_us: accepted_us.ok_or(DecodeError::FieldMissing)?,
            partition_key,
            body,
            properties: sections.properties,
            application_properties: sections.application_properties,
            message,
        })
    }

    /// The whole encoded message.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// The id that the producer gave the event, of any type that ids have; null if none.
    ///
    /// # Errors
    /// The properties are malformed.
    pub fn message_id(&self) -> Result<Value, DecodeError> {
        if self.properties.is_empty() {
            return Ok(Value::Null);
        }
        let raw = self.message.slice(self.properties.clone());
        let mut decoder = Decoder::new(&raw);
        let mut fields = decoder.fields()?;
        Ok(fields.value()?.unwrap_or_default())
    }

    /// The application properties: a map, or null.
    ///
    /// # Errors
    /// They are malformed.
    pub fn application_properties(&self) -> Result<Value, DecodeError> {
        if self.application_properties.is_empty() {
            return Ok(Value::Null);
        }
        let raw = self.message.slice(self.application_properties.clone());
        Decoder::new(&raw).value()
    }
}
