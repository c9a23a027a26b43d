//! One stored event: the bytes the producer sent, and what the endpoint knows about them.

use std::rc::Rc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::DecodeError;
use crate::codec::decoder::Decoder;
use crate::codec::encoder as put;
use crate::codec::message::{MESSAGE_ANNOTATIONS, Sections};
use crate::codec::value::Value;

/// Annotation: position in the partition, from 0, without gaps.
pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
/// Annotation: position in the partition, in bytes, as text.
pub const OFFSET: &str = "x-opt-offset";
/// Annotation: when the event was accepted, in milliseconds since 1970.
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// Annotation: what the producer chose the partition by.
pub const PARTITION_KEY: &str = "x-opt-partition-key";
/// Annotation of this endpoint alone: when the event was accepted, in microseconds since 1970.
pub const ACCEPTED_US: &str = "x-opt-millicore-accepted-us";

/// The partition key among a message's annotations.
///
/// # Errors
/// The annotations are malformed.
pub fn partition_key_of(message: &Bytes, sections: &Sections) -> Result<Option<String>, DecodeError> {
    if sections.annotations.is_empty() {
        return Ok(None);
    }
    let map = message.slice(sections.annotations.clone());
    let annotations = Decoder::new(&map).value()?;
    Ok(annotations.get(PARTITION_KEY).and_then(Value::as_text).map(str::to_owned))
}

/// An event as it waits in a partition.
#[derive(Debug, Clone)]
pub struct Event {
    /// The whole message as its producer encoded it, without annotations of ours.
    raw: Bytes,
    header_end: u32,
    /// Keys and values of the producer's message annotations.
    annotations_start: u32,
    annotations_end: u32,
    annotations_count: u32,
    tail_start: u32,
    /// Position of its first byte in the partition.
    pub offset: i64,
    /// Microseconds since 1970.
    pub accepted_us: i64,
    /// From the envelope of its batch, where the event itself does not say.
    partition_key: Option<Rc<str>>,
}

/// What a partition learns about a message before it is stored.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    raw: Bytes,
    header_end: u32,
    annotations_start: u32,
    annotations_end: u32,
    annotations_count: u32,
    tail_start: u32,
    partition_key: Option<String>,
}

impl Prepared {
    /// Looks through an encoded message once.
    ///
    /// # Errors
    /// It is malformed.
    pub fn new(raw: Bytes) -> Result<Self, DecodeError> {
        let sections = Sections::find(&raw, |_| {})?;
        let mut prepared = Self {
            header_end: put::length(sections.header.end),
            tail_start: put::length(sections.tail.start),
            ..Self::default()
        };
        if !sections.annotations.is_empty() {
            let map = raw.slice(sections.annotations.clone());
            let mut decoder = Decoder::new(&map);
            let (end, count) = decoder.map_header()?;
            if end != map.len() {
                return Err(DecodeError::Range);
            }
            prepared.annotations_start = put::length(sections.annotations.start + decoder.position());
            prepared.annotations_end = put::length(sections.annotations.end);
            prepared.annotations_count = count;
            let mut ours_are_there = false;
            for _ in 0..count / 2 {
                let key = decoder.text_in_place()?;
                if key == PARTITION_KEY {
                    prepared.partition_key = decoder.value()?.as_text().map(str::to_owned);
                } else {
                    ours_are_there |= [SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME, ACCEPTED_US].contains(&key);
                    decoder.skip()?;
                }
            }
            if count % 2 != 0 || decoder.position() != end {
                return Err(DecodeError::Range);
            }
            if ours_are_there {
                return prepared.without_our_annotations(&raw, &map);
            }
        }
        prepared.raw = raw;
        Ok(prepared)
    }

    /// A relayed event carries the annotations of another partition: they go.
    fn without_our_annotations(mut self, raw: &Bytes, map: &Bytes) -> Result<Self, DecodeError> {
        let Value::Map(entries) = Decoder::new(map).value()? else { return Err(DecodeError::Range) };
        let mut out = BytesMut::with_capacity(raw.len());
        out.put_slice(&raw[..self.header_end as usize]);
        self.annotations_start = put::length(out.len());
        self.annotations_count = 0;
        for (key, value) in &entries {
            if ![SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME, ACCEPTED_US].contains(&key.as_text().unwrap_or_default()) {
                key.encode(&mut out);
                value.encode(&mut out);
                self.annotations_count += 2;
            }
        }
        self.annotations_end = put::length(out.len());
        let tail_start = put::length(out.len());
        out.put_slice(&raw[self.tail_start as usize..]);
        self.tail_start = tail_start;
        self.raw = out.freeze();
        Ok(self)
    }

    /// The key that the event itself names.
    pub fn partition_key(&self) -> Option<&str> {
        self.partition_key.as_deref()
    }

    /// The message as it will be stored.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Size of the message, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Becomes an event at a place in a partition.
    pub fn store(self, offset: i64, accepted_us: i64, envelope_key: Option<&Rc<str>>) -> Event {
        let partition_key = if self.partition_key.is_none() { envelope_key.cloned() } else { None };
        Event {
            raw: self.raw,
            header_end: self.header_end,
            annotations_start: self.annotations_start,
            annotations_end: self.annotations_end,
            annotations_count: self.annotations_count,
            tail_start: self.tail_start,
            offset,
            accepted_us,
            partition_key,
        }
    }
}

impl Event {
    /// What the event costs, in bytes: its message and what we keep beside it.
    pub fn cost_bytes(&self) -> usize {
        self.raw.len() + size_of::<Self>()
    }

    /// The message as the producer encoded it.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// When it was accepted, in milliseconds since 1970.
    pub fn enqueued_ms(&self) -> i64 {
        self.accepted_us.div_euclid(1_000)
    }

    /// Writes the message with our annotations added; all else is copied as it came.
    pub fn encode(&self, sequence_number: i64, out: &mut BytesMut) {
        let at = |start: u32, end: u32| &self.raw[start as usize..end as usize];
        out.put_slice(at(0, self.header_end));
        put::descriptor(out, MESSAGE_ANNOTATIONS);
        out.put_u8(0xd1);
        let size_at = out.len();
        let count = self.annotations_count + if self.partition_key.is_some() { 10 } else { 8 };
        out.put_u32(0);
        out.put_u32(count);
        out.put_slice(at(self.annotations_start, self.annotations_end));
        put::symbol(out, SEQUENCE_NUMBER);
        put::long(out, sequence_number);
        put::symbol(out, OFFSET);
        put::string(out, itoa::Buffer::new().format(self.offset));
        put::symbol(out, ENQUEUED_TIME);
        put::timestamp(out, self.enqueued_ms());
        put::symbol(out, ACCEPTED_US);
        put::long(out, self.accepted_us);
        if let Some(key) = &self.partition_key {
            put::symbol(out, PARTITION_KEY);
            put::string(out, key);
        }
        put::patch_size_32(out, size_at);
        out.put_slice(&self.raw[self.tail_start as usize..]);
    }
}
