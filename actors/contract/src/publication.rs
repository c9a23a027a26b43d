//! One MQTT Application Message as one shared, checksummed rkyv record.
//!
//! ```text
//! "mc" | version u16 | header checksum u32 | body length u32 | body checksum u32 | header (rkyv) | body
//! body = Topic Name | MQTT 5.0 properties | payload
//! ```
//!
//! All numbers are little endian. The log, every subscriber and the egress hold the same bytes by reference count.
//! The header checksum (CRC-32) covers everything before the body but itself and the body checksum, which only a log
//! that leaves memory fills in.

use bytes::Bytes;
use rkyv::rancor::Failure;

use crate::record_header::{
    ArchivedRecordHeader, FRAME_BYTES, HEADER_BYTES, MAGIC, MESSAGE_EXPIRY_NEVER, RECORD_PREFIX_BYTES, RECORD_VERSION,
};
use crate::{Instant, PublicationArena, PublicationDraft, QoS, UtcTime};

/// Why bytes are not a record. The log that held them is damaged there, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the lengths in the record say.
    #[error("the record ends too early: {have_bytes} of {need_bytes} bytes")]
    Truncated {
        /// Bytes that are there.
        have_bytes: usize,
        /// Bytes that the record needs.
        need_bytes: usize,
    },
    /// It does not begin as a record does.
    #[error("no record begins here")]
    Magic,
    /// Written by another version of the product.
    #[error("the record has version {found}, this program reads version {RECORD_VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// A bit of the header changed.
    #[error("the record's header does not match its checksum")]
    HeaderChecksum,
    /// A bit of the body changed.
    #[error("the record's body does not match its checksum")]
    BodyChecksum,
    /// Its lengths contradict each other, its `QoS` is 3, or its Topic Name is no UTF-8.
    #[error("the record contradicts itself")]
    Inconsistent,
}

/// One MQTT Application Message: Topic Name, properties, payload, and what is known about its receipt.
///
/// Cloning shares the bytes (one atomic increment). It may pin the chunk of the arena that it was written in; what is
/// kept for long is copied by [`Publication::detached`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    frame: Bytes,
}

impl Publication {
    /// Reads a record from `frame`, which holds exactly one.
    ///
    /// # Errors
    /// Each kind of [`RecordError`]; a body checksum of 0 means that none was taken, and is not compared.
    pub fn from_bytes(frame: Bytes) -> Result<Self, RecordError> {
        check(&frame)?;
        Ok(Self { frame })
    }

    /// Wraps bytes that the builder has just written.
    pub(crate) fn from_built(frame: Bytes) -> Self {
        debug_assert_eq!(check(&frame), Ok(()), "the builder writes what the reader accepts");
        Self { frame }
    }

    /// The whole record, as a log stores it.
    pub fn as_bytes(&self) -> &Bytes {
        &self.frame
    }

    /// Bytes of the whole record; what credit and budgets count.
    pub fn size_bytes(&self) -> usize {
        self.frame.len()
    }

    /// The Topic Name, valid UTF-8, as bytes.
    pub fn topic_name(&self) -> &[u8] {
        &self.frame[RECORD_PREFIX_BYTES..self.properties_start()]
    }

    /// The Topic Name as text; checks UTF-8 anew (about 0.3 ns a byte).
    ///
    /// # Panics
    /// Never for a publication that was read or built: both check the text.
    pub fn topic_name_str(&self) -> &str {
        std::str::from_utf8(self.topic_name()).expect("checked when the record was made")
    }

    /// The MQTT 5.0 properties as they came, without their length and without the Message Expiry Interval.
    pub fn properties(&self) -> &[u8] {
        &self.frame[self.properties_start()..self.payload_start()]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.payload_start()..]
    }

    /// The payload, sharing this record's bytes.
    pub fn payload_shared(&self) -> Bytes {
        self.frame.slice(self.payload_start()..)
    }

    /// The level at which it was published.
    pub fn qos(&self) -> QoS {
        QoS::from_bits(self.header().flags & 0b11).expect("checked when the record was made")
    }

    /// Whether it was published with RETAIN (MQTT 5.0 §3.3.1.3).
    pub fn retain(&self) -> bool {
        self.header().flags & 0b100 != 0
    }

    /// Data points in the payload; 0 where nobody counted.
    pub fn points_count(&self) -> u32 {
        self.header().points_count.to_native()
    }

    /// When this process received it.
    pub fn received_at(&self) -> Instant {
        Instant::from_nanos(self.header().received_at_nanos.to_native())
    }

    /// The date at which it was received.
    pub fn received_utc(&self) -> UtcTime {
        UtcTime::from_ticks(self.header().received_utc_ticks.to_native())
    }

    /// The Message Expiry Interval that remains at `now`, in seconds rounded up (MQTT 5.0 §3.3.2.3.3, MQTT-3.3.2-6):
    /// `None` for a message that never expires, `Some(0)` for one that has.
    pub fn message_expiry_remaining_s(&self, now: Instant) -> Option<u32> {
        let expiry_s = self.header().message_expiry_s.to_native();
        if expiry_s == MESSAGE_EXPIRY_NEVER {
            return None;
        }
        let waited_s = (now - self.received_at()).as_secs();
        Some(u32::try_from(u64::from(expiry_s).saturating_sub(waited_s)).expect("not above the interval"))
    }

    /// Whether its Message Expiry Interval has passed at `now`.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.message_expiry_remaining_s(now) == Some(0)
    }

    /// A copy with bytes of its own, for what is kept for long (a Retained Message) and must not pin an arena's chunk.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { frame: Bytes::copy_from_slice(&self.frame) }
    }

    /// A copy that was received at another time, for a message that waited to be published (a Will, MQTT 5.0 §3.1.3.2.2).
    #[must_use]
    pub fn received_again(&self, received_at: Instant, received_utc: UtcTime) -> Self {
        let topic_name = self.topic_name_str();
        let draft = PublicationDraft {
            topic_name,
            properties: self.properties(),
            qos: self.qos(),
            retain: self.retain(),
            message_expiry_s: self.header().message_expiry_s.to_native(),
            received_at,
            received_utc,
        };
        let mut arena = PublicationArena::new(self.size_bytes());
        let mut builder = arena.begin(&draft);
        builder.put(self.payload());
        builder.finish(self.points_count())
    }

    fn header(&self) -> &ArchivedRecordHeader {
        archived(&self.frame).expect("checked when the record was made")
    }

    fn properties_start(&self) -> usize {
        RECORD_PREFIX_BYTES + usize::from(self.header().topic_name_bytes.to_native())
    }

    fn payload_start(&self) -> usize {
        self.properties_start() + self.header().properties_bytes.to_native() as usize
    }
}

fn archived(frame: &[u8]) -> Option<&ArchivedRecordHeader> {
    // The header points at nothing, so that the validator for shared pointers, which has a map, is not needed.
    rkyv::api::low::access::<ArchivedRecordHeader, Failure>(frame.get(FRAME_BYTES..RECORD_PREFIX_BYTES)?).ok()
}

/// The CRC-32 of everything before the body but the two checksums; `prefix` is the first part of a record.
pub(crate) fn header_checksum(prefix: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix[0..4]);
    hasher.update(&prefix[8..12]);
    hasher.update(&prefix[FRAME_BYTES..FRAME_BYTES + HEADER_BYTES]);
    hasher.finalize()
}

fn word(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

fn check(frame: &[u8]) -> Result<(), RecordError> {
    let truncated = |need_bytes| RecordError::Truncated { have_bytes: frame.len(), need_bytes };
    if frame.len() < RECORD_PREFIX_BYTES {
        return Err(truncated(RECORD_PREFIX_BYTES));
    }
    if frame[0..2] != MAGIC {
        return Err(RecordError::Magic);
    }
    let version = u16::from_le_bytes([frame[2], frame[3]]);
    if version != RECORD_VERSION {
        return Err(RecordError::Version { found: version });
    }
    if word(frame, 4) != header_checksum(frame) {
        return Err(RecordError::HeaderChecksum);
    }
    let body_bytes = word(frame, 8) as usize;
    let need_bytes = RECORD_PREFIX_BYTES.saturating_add(body_bytes);
    if frame.len() < need_bytes {
        return Err(truncated(need_bytes));
    }
    let header = archived(frame).ok_or(RecordError::Inconsistent)?;
    let topic_name_bytes = usize::from(header.topic_name_bytes.to_native());
    let parts_bytes = u64::from(header.properties_bytes.to_native())
        + u64::from(header.payload_bytes.to_native())
        + topic_name_bytes as u64;
    if frame.len() != need_bytes || parts_bytes != body_bytes as u64 || header.flags & 0b11 == 0b11 {
        return Err(RecordError::Inconsistent);
    }
    let topic_name = &frame[RECORD_PREFIX_BYTES..RECORD_PREFIX_BYTES + topic_name_bytes];
    std::str::from_utf8(topic_name).map_err(|_| RecordError::Inconsistent)?;
    let body_checksum = word(frame, 12);
    if body_checksum != 0 && body_checksum != crc32fast::hash(&frame[RECORD_PREFIX_BYTES..]) {
        return Err(RecordError::BodyChecksum);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn publication() -> Publication {
        let mut arena = PublicationArena::new(4_096);
        let draft = PublicationDraft {
            topic_name: "a/b",
            properties: &[0x01, 0x01],
            qos: QoS::AtLeastOnce,
            retain: true,
            message_expiry_s: 10,
            received_at: Instant::from_millis(500),
            received_utc: UtcTime::from_ticks(42),
        };
        let mut builder = arena.begin(&draft);
        builder.put(b"21.5");
        builder.finish(1)
    }

    #[test]
    fn a_record_that_was_received_again_differs_in_its_dates_alone() {
        let before = publication();
        let again = before.received_again(Instant::from_millis(9_500), UtcTime::from_ticks(43));
        assert_eq!((again.received_at(), again.received_utc()), (Instant::from_millis(9_500), UtcTime::from_ticks(43)));
        assert_eq!(again.message_expiry_remaining_s(Instant::from_millis(9_500)), Some(10));
        assert_eq!(
            (again.topic_name(), again.properties(), again.payload()),
            (before.topic_name(), before.properties(), before.payload())
        );
        assert_eq!((again.qos(), again.retain(), again.points_count()), (before.qos(), before.retain(), 1));
        assert_eq!(Publication::from_bytes(again.as_bytes().clone()), Ok(again));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let publication = Publication::from_bytes(publication().as_bytes().clone()).unwrap();
        assert_eq!(publication.topic_name_str(), "a/b");
        assert_eq!(publication.properties(), [0x01, 0x01]);
        assert_eq!(publication.payload(), b"21.5");
        assert_eq!(publication.payload_shared(), "21.5");
        assert_eq!((publication.qos(), publication.retain(), publication.points_count()), (QoS::AtLeastOnce, true, 1));
        assert_eq!(publication.received_at(), Instant::from_millis(500));
        assert_eq!(publication.received_utc(), UtcTime::from_ticks(42));
        assert_eq!(publication.detached(), publication);
    }

    #[test]
    fn a_message_expires_when_its_whole_seconds_have_passed() {
        let publication = publication();
        let received = publication.received_at();
        assert_eq!(publication.message_expiry_remaining_s(received + Duration::from_millis(1_500)), Some(9));
        assert!(!publication.is_expired(received + Duration::from_millis(9_999)));
        assert!(publication.is_expired(received + Duration::from_secs(10)));
    }

    #[test]
    fn every_single_bit_flip_before_the_body_is_found() {
        let whole = publication().as_bytes().to_vec();
        for bit in 0..RECORD_PREFIX_BYTES * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Publication::from_bytes(damaged.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_flip_in_the_body_is_found_once_a_checksum_was_taken() {
        let mut whole = publication().as_bytes().to_vec();
        let checksum = crc32fast::hash(&whole[RECORD_PREFIX_BYTES..]);
        whole[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert!(Publication::from_bytes(whole.clone().into()).is_ok());
        *whole.last_mut().unwrap() ^= 1;
        assert_eq!(Publication::from_bytes(whole.into()), Err(RecordError::BodyChecksum));
    }

    #[test]
    fn every_truncation_is_found() {
        let whole = publication().as_bytes().clone();
        for length in 0..whole.len() {
            assert!(Publication::from_bytes(whole.slice(..length)).is_err(), "length {length}");
        }
    }
}
