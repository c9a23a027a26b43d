//! Writes a publication's record in place, once, into a chunk that many records share.

use std::mem::offset_of;

use bytes::{BufMut, BytesMut};

use crate::record_header::{
    ArchivedRecordHeader, FRAME_BYTES, MAGIC, RECORD_PREFIX_BYTES, RECORD_VERSION, RecordHeader,
};
use crate::{Instant, Publication, QoS, UtcTime};

/// What is known of a publication before its payload is written.
#[derive(Clone, Copy, Debug)]
pub struct PublicationDraft<'a> {
    /// The Topic Name: at most 65,535 bytes, no wildcard; the caller has checked it.
    pub topic_name: &'a str,
    /// MQTT 5.0 properties, without their length and without the Message Expiry Interval.
    pub properties: &'a [u8],
    /// The level at which it is published.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// The Message Expiry Interval in seconds, or [`crate::MESSAGE_EXPIRY_NEVER`].
    pub message_expiry_s: u32,
    /// When this process received it.
    pub received_at: Instant,
    /// The date at which it was received.
    pub received_utc: UtcTime,
}

/// Where records are written. A full chunk is left to its records and another one allocated; a chunk whose records
/// are all gone is used again.
#[derive(Debug)]
pub struct PublicationArena {
    chunk: BytesMut,
    chunk_bytes: usize,
}

impl PublicationArena {
    /// Makes an arena whose chunks hold `chunk_bytes`; a larger record gets a chunk of its own. Allocates nothing yet.
    pub fn new(chunk_bytes: usize) -> Self {
        Self { chunk: BytesMut::new(), chunk_bytes }
    }

    /// Begins a record. The payload follows through the builder; dropping the builder takes the record back.
    ///
    /// # Panics
    /// When the Topic Name is longer than 65,535 bytes or the properties than 4 GiB.
    #[inline]
    pub fn begin(&mut self, draft: &PublicationDraft<'_>) -> PublicationBuilder<'_> {
        let header = RecordHeader {
            topic_name_bytes: u16::try_from(draft.topic_name.len()).expect("a Topic Name has at most 65,535 bytes"),
            flags: draft.qos.bits() | (u8::from(draft.retain) << 2),
            properties_bytes: u32::try_from(draft.properties.len()).expect("a packet bounds its properties"),
            payload_bytes: 0,
            message_expiry_s: draft.message_expiry_s,
            points_count: 0,
            received_at_nanos: draft.received_at.as_nanos(),
            received_utc_ticks: draft.received_utc.ticks(),
        };
        // The builder completes the lengths and the count when they are known; the checksums stay 0 in memory.
        let mut prefix = [0; RECORD_PREFIX_BYTES];
        prefix[0..2].copy_from_slice(&MAGIC);
        prefix[2..4].copy_from_slice(&RECORD_VERSION.to_le_bytes());
        prefix[FRAME_BYTES..].copy_from_slice(&header.to_archive());
        self.chunk.clear();
        self.make_room(RECORD_PREFIX_BYTES + draft.topic_name.len() + draft.properties.len());
        self.chunk.put_slice(&prefix);
        self.chunk.put_slice(draft.topic_name.as_bytes());
        self.chunk.put_slice(draft.properties);
        PublicationBuilder {
            arena: self,
            payload_start: RECORD_PREFIX_BYTES + draft.topic_name.len() + draft.properties.len(),
        }
    }

    #[inline]
    fn make_room(&mut self, more_bytes: usize) {
        if self.chunk.capacity() - self.chunk.len() < more_bytes {
            self.chunk.reserve(more_bytes.max(self.chunk_bytes));
        }
    }
}

/// A record under construction.
#[derive(Debug)]
pub struct PublicationBuilder<'a> {
    arena: &'a mut PublicationArena,
    payload_start: usize,
}

impl PublicationBuilder<'_> {
    /// Makes sure that `bytes` more can be put without moving what is written.
    pub fn reserve(&mut self, bytes: usize) {
        self.arena.make_room(bytes);
    }

    /// Adds bytes to the payload.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.arena.make_room(bytes.len());
        self.arena.chunk.put_slice(bytes);
    }

    /// Adds one byte to the payload.
    #[inline]
    pub fn put_byte(&mut self, byte: u8) {
        self.arena.make_room(1);
        self.arena.chunk.put_u8(byte);
    }

    /// Bytes of payload so far.
    pub fn payload_bytes(&self) -> usize {
        self.arena.chunk.len() - self.payload_start
    }

    /// Takes back the payload from its byte `payload_bytes` on.
    pub fn truncate(&mut self, payload_bytes: usize) {
        let end = self.payload_start + payload_bytes;
        self.arena.chunk.truncate(end);
    }

    /// Ends the record, whose payload holds `points_count` data points (0 where nobody counts).
    ///
    /// # Panics
    /// When the payload exceeds 4 GiB; a packet is limited to 256 MiB (MQTT 5.0 §2.1.4).
    #[inline]
    pub fn finish(self, points_count: u32) -> Publication {
        const PAYLOAD_BYTES_AT: usize = FRAME_BYTES + offset_of!(ArchivedRecordHeader, payload_bytes);
        const POINTS_COUNT_AT: usize = FRAME_BYTES + offset_of!(ArchivedRecordHeader, points_count);
        let payload_bytes = u32::try_from(self.payload_bytes()).expect("a packet bounds its payload");
        let chunk = &mut self.arena.chunk;
        let body_bytes = u32::try_from(chunk.len() - RECORD_PREFIX_BYTES).expect("a packet bounds its body");
        let prefix: &mut [u8; RECORD_PREFIX_BYTES] = chunk.first_chunk_mut().expect("begun with a prefix");
        prefix[8..12].copy_from_slice(&body_bytes.to_le_bytes());
        prefix[PAYLOAD_BYTES_AT..PAYLOAD_BYTES_AT + 4].copy_from_slice(&payload_bytes.to_le_bytes());
        prefix[POINTS_COUNT_AT..POINTS_COUNT_AT + 4].copy_from_slice(&points_count.to_le_bytes());
        Publication::from_built(chunk.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MESSAGE_EXPIRY_NEVER;

    fn draft(topic_name: &str) -> PublicationDraft<'_> {
        PublicationDraft {
            topic_name,
            properties: &[],
            qos: QoS::AtMostOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        }
    }

    #[test]
    fn records_of_one_chunk_do_not_disturb_each_other() {
        let mut arena = PublicationArena::new(1_024);
        let publications: Vec<Publication> = (0..50_u8)
            .map(|number| {
                let mut builder = arena.begin(&draft("t"));
                builder.put(&[number; 40]);
                builder.finish(1)
            })
            .collect();
        for (number, publication) in (0..50_u8).zip(&publications) {
            assert_eq!(publication.payload(), [number; 40]);
        }
    }

    #[test]
    fn a_dropped_builder_leaves_no_trace() {
        let mut arena = PublicationArena::new(1_024);
        arena.begin(&draft("gone")).put(b"half");
        let publication = arena.begin(&draft("kept")).finish(0);
        assert_eq!((publication.topic_name(), publication.payload()), (b"kept".as_slice(), b"".as_slice()));
    }

    #[test]
    fn a_payload_may_outgrow_its_chunk_and_be_cut_back() {
        let mut arena = PublicationArena::new(256);
        let mut builder = arena.begin(&draft("t"));
        builder.put(&[7; 1_000]);
        builder.put_byte(8);
        assert_eq!(builder.payload_bytes(), 1_001);
        builder.truncate(999);
        let publication = builder.finish(0);
        assert_eq!(publication.payload(), [7; 999]);
    }

    #[test]
    fn a_chunk_whose_records_are_gone_is_used_again() {
        let mut arena = PublicationArena::new(4_096);
        let first = arena.begin(&draft("t")).finish(0).as_bytes().as_ptr();
        let again = (0..1_000).any(|_| arena.begin(&draft("t")).finish(0).as_bytes().as_ptr() == first);
        assert!(again);
    }
}
