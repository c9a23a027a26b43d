//! The sections of a message, found without decoding them (AMQP 1.0 §3.2).

use std::ops::Range;

use bytes::Bytes;

use super::DecodeError;
use super::decoder::Decoder;
use super::value::Value;

/// The message format of a batch: each data section of the body holds an encoded message.
pub const FORMAT_BATCH: u32 = 0x8001_3700;

const HEADER: u64 = 0x70;
const DELIVERY_ANNOTATIONS: u64 = 0x71;
/// Descriptor of the message annotations.
pub const MESSAGE_ANNOTATIONS: u8 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;
const FOOTER: u64 = 0x78;

/// Where the sections of one message lie. Ranges of absent sections are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    /// The header, with its descriptor.
    pub header: Range<usize>,
    /// The map of message annotations, without its descriptor.
    pub annotations: Range<usize>,
    /// The list of properties, without its descriptor.
    pub properties: Range<usize>,
    /// The map of application properties, without its descriptor.
    pub application_properties: Range<usize>,
    /// Everything behind both kinds of annotations.
    pub tail: Range<usize>,
    /// The first section of the body, with its descriptor. Python's requests to `$management` have none.
    pub body: Range<usize>,
    /// How many sections of data the body has.
    pub data_count: u32,
}

impl Sections {
    /// Finds the sections of `message`; `each_data` is called with the contents of every data section, in order.
    ///
    /// # Errors
    /// Sections are malformed, unknown, or out of order.
    pub fn find(message: &Bytes, mut each_data: impl FnMut(Bytes)) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(message);
        let mut found = Self::default();
        let mut last = 0;
        let mut tail_start = None;
        while !decoder.is_empty() {
            let start = decoder.position();
            let code = decoder.descriptor()?;
            // Only data and sequences may stand twice.
            if code < last || (code == last && code != DATA && code != SEQUENCE) {
                return Err(DecodeError::Descriptor(code));
            }
            last = code;
            if code > u64::from(MESSAGE_ANNOTATIONS) {
                tail_start.get_or_insert(start);
            }
            let contents = decoder.position();
            if code == DATA {
                each_data(decoder.binary()?);
                found.data_count += 1;
            } else {
                decoder.skip()?;
            }
            let end = decoder.position();
            match code {
                HEADER => found.header = start..end,
                DELIVERY_ANNOTATIONS | FOOTER => {}
                PROPERTIES => found.properties = contents..end,
                APPLICATION_PROPERTIES => found.application_properties = contents..end,
                DATA | SEQUENCE | VALUE => {
                    if found.body.is_empty() {
                        found.body = start..end;
                    }
                }
                _ if code == u64::from(MESSAGE_ANNOTATIONS) => found.annotations = contents..end,
                _ => return Err(DecodeError::Descriptor(code)),
            }
        }
        found.tail = tail_start.unwrap_or(message.len())..message.len();
        Ok(found)
    }
}

/// A small message, whole: what is said to the nodes `$cbs` and `$management`.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallMessage {
    /// As it came, of any type that ids have; null if none.
    pub message_id: Value,
    /// Where the answer goes.
    pub reply_to: Option<String>,
    /// A map, or null.
    pub application_properties: Value,
    /// The value of the body; a body of data reads as a binary.
    pub body: Value,
}

impl SmallMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// It is malformed.
    pub fn decode(message: &Bytes) -> Result<Self, DecodeError> {
        let mut data = None;
        let sections = Sections::find(message, |section| data = Some(section))?;
        let mut message_id = Value::Null;
        let mut reply_to = None;
        if !sections.properties.is_empty() {
            let raw = message.slice(sections.properties.clone());
            let mut decoder = Decoder::new(&raw);
            let mut fields = decoder.fields()?;
            message_id = fields.value()?.unwrap_or(Value::Null);
            // User, to, subject.
            fields.raw()?;
            fields.raw()?;
            fields.raw()?;
            reply_to = fields.text()?;
            fields.end()?;
        }
        let mut application_properties = Value::Null;
        if !sections.application_properties.is_empty() {
            let raw = message.slice(sections.application_properties.clone());
            application_properties = Decoder::new(&raw).value()?;
        }
        let body = if let Some(data) = data {
            Value::Binary(data)
        } else if sections.body.is_empty() {
            Value::Null
        } else {
            let raw = message.slice(sections.body);
            let mut decoder = Decoder::new(&raw);
            decoder.descriptor()?;
            decoder.value()?
        };
        Ok(Self { message_id, reply_to, application_properties, body })
    }
}
