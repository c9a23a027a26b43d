//! One MQTT Application Message as one shared, checksummed rkyv record.
//!
//! ```text
//! "mc" | version u16 | header checksum u32 | body length u32 | body checksum u32 | header (rkyv) | body
//! body = Topic Name | MQTT 5.0 properties | payload
//! ```
//!
//! All numbers are little endian. The log, every subscriber and the egress hold the same bytes by reference count.
//! The header checksum (CRC-32) covers everything before the body but itself and the body checksum (CRC-32 of the body).
//! Both are 0 in memory, where nobody would compare them; [`Publication::sealed`] fills them in for a record that leaves
//! it, and [`Publication::from_bytes`] compares them.

use std::mem::offset_of;

use bytes::Bytes;

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
    /// Reads a record from `frame`, which holds exactly one, sealed.
    ///
    /// # Errors
    /// Each kind of [`RecordError`]; a body checksum of 0 means that none was taken, and is not compared.
    pub fn from_bytes(frame: Bytes) -> Result<Self, RecordError> {
        check(&frame, true)?;
        Ok(Self { frame })
    }

    /// Wraps bytes that the builder has just written.
    #[inline]
    pub(crate) fn from_built(frame: Bytes) -> Self {
        debug_assert_eq!(check(&frame, false), Ok(()), "the builder writes what the reader accepts");
        Self { frame }
    }

    /// The whole record as it is in memory: without checksums, unless it was read from a log.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.frame
    }

    /// The whole record as a log stores it: a copy with both checksums. About 0.1 ns a byte and 20 ns more.
    pub fn sealed(&self) -> Bytes {
        let mut sealed = self.frame.to_vec();
        let body_checksum = crc32fast::hash(&sealed[RECORD_PREFIX_BYTES..]);
        sealed[12..16].copy_from_slice(&body_checksum.to_le_bytes());
        let header_checksum = header_checksum(&sealed[..RECORD_PREFIX_BYTES]);
        sealed[4..8].copy_from_slice(&header_checksum.to_le_bytes());
        sealed.into()
    }

    /// Bytes of the whole record; what credit and budgets count.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.frame.len()
    }

    /// The Topic Name, valid UTF-8, as bytes.
    #[inline]
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
    #[inline]
    pub fn properties(&self) -> &[u8] {
        &self.frame[self.properties_start()..self.payload_start()]
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.payload_start()..]
    }

    /// The payload, sharing this record's bytes.
    #[inline]
    pub fn payload_shared(&self) -> Bytes {
        self.frame.slice(self.payload_start()..)
    }

    /// The level at which it was published.
    #[inline]
    pub fn qos(&self) -> QoS {
        QoS::from_bits(self.header().flags() & 0b11).expect("checked when the record was made")
    }

    /// Whether it was published with RETAIN (MQTT 5.0 §3.3.1.3).
    #[inline]
    pub fn retain(&self) -> bool {
        self.header().flags() & 0b100 != 0
    }

    /// Data points in the payload; 0 where nobody counted.
    #[inline]
    pub fn points_count(&self) -> u32 {
        self.header().points_count()
    }

    /// When this process received it.
    #[inline]
    pub fn received_at(&self) -> Instant {
        Instant::from_nanos(self.header().received_at_nanos())
    }

    /// The date at which it was received.
    #[inline]
    pub fn received_utc(&self) -> UtcTime {
        UtcTime::from_ticks(self.header().received_utc_ticks())
    }

    /// The Message Expiry Interval that remains at `now`, in seconds rounded up (MQTT 5.0 §3.3.2.3.3, MQTT-3.3.2-6):
    /// `None` for a message that never expires, `Some(0)` for one that has.
    #[inline]
    pub fn message_expiry_remaining_s(&self, now: Instant) -> Option<u32> {
        let expiry_s = self.header().message_expiry_s();
        if expiry_s == MESSAGE_EXPIRY_NEVER {
            return None;
        }
        let waited_s = (now - self.received_at()).as_secs();
        Some(u32::try_from(u64::from(expiry_s).saturating_sub(waited_s)).expect("not above the interval"))
    }

    /// Whether its Message Expiry Interval has passed at `now`.
    #[inline]
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
            message_expiry_s: self.header().message_expiry_s(),
            received_at,
            received_utc,
        };
        let mut arena = PublicationArena::new(self.size_bytes());
        let mut builder = arena.begin(&draft);
        builder.put(self.payload());
        builder.finish(self.points_count())
    }

    #[inline]
    fn header(&self) -> HeaderView<'_> {
        HeaderView::of(&self.frame).expect("checked when the record was made")
    }

    #[inline]
    fn properties_start(&self) -> usize {
        RECORD_PREFIX_BYTES + usize::from(self.header().topic_name_bytes())
    }

    #[inline]
    fn payload_start(&self) -> usize {
        let header = self.header();
        RECORD_PREFIX_BYTES + usize::from(header.topic_name_bytes()) + header.properties_bytes() as usize
    }
}

/// The archived header, read in place field by field.
///
/// It points at nothing and any bytes make a number, so there is nothing for the archive's validator to find, which costs
/// more than the field.
#[derive(Clone, Copy)]
struct HeaderView<'a>(&'a [u8; RECORD_PREFIX_BYTES]);

macro_rules! header_fields {
    ($($field:ident: $number:ty),*) => {
        $(
            #[inline]
            fn $field(self) -> $number {
                const AT: usize = FRAME_BYTES + offset_of!(ArchivedRecordHeader, $field);
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(&self.0[AT..AT + size_of::<$number>()]);
                <$number>::from_le_bytes(bytes)
            }
        )*
    };
}

impl<'a> HeaderView<'a> {
    #[inline]
    fn of(frame: &'a [u8]) -> Option<Self> {
        frame.first_chunk().map(Self)
    }

    header_fields! {
        topic_name_bytes: u16, flags: u8, properties_bytes: u32, payload_bytes: u32, message_expiry_s: u32,
        points_count: u32, received_at_nanos: u64, received_utc_ticks: i64
    }
}

/// The CRC-32 of everything before the body but the two checksums; `prefix` is the first part of a record.
fn header_checksum(prefix: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix[0..4]);
    hasher.update(&prefix[8..12]);
    hasher.update(&prefix[FRAME_BYTES..FRAME_BYTES + HEADER_BYTES]);
    hasher.finalize()
}

fn word(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// Holds a record against its format; one that is not sealed has no checksums yet.
fn check(frame: &[u8], is_sealed: bool) -> Result<(), RecordError> {
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
    if is_sealed && word(frame, 4) != header_checksum(frame) {
        return Err(RecordError::HeaderChecksum);
    }
    let body_bytes = word(frame, 8) as usize;
    let need_bytes = RECORD_PREFIX_BYTES.saturating_add(body_bytes);
    if frame.len() < need_bytes {
        return Err(truncated(need_bytes));
    }
    let header = HeaderView::of(frame).ok_or(RecordError::Inconsistent)?;
    let topic_name_bytes = usize::from(header.topic_name_bytes());
    let parts_bytes =
        u64::from(header.properties_bytes()) + u64::from(header.payload_bytes()) + topic_name_bytes as u64;
    if frame.len() != need_bytes || parts_bytes != body_bytes as u64 || header.flags() & 0b11 == 0b11 {
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
        assert_eq!(Publication::from_bytes(again.sealed()).unwrap().sealed(), again.sealed());
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let publication = Publication::from_bytes(publication().sealed()).unwrap();
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
    fn every_single_bit_flip_is_found() {
        let whole = publication().sealed().to_vec();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Publication::from_bytes(damaged.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_that_was_not_sealed_is_not_read_and_a_flip_in_the_body_is_named() {
        let unsealed = publication().as_bytes().clone();
        assert_eq!(Publication::from_bytes(unsealed), Err(RecordError::HeaderChecksum));
        let mut whole = publication().sealed().to_vec();
        *whole.last_mut().unwrap() ^= 1;
        assert_eq!(Publication::from_bytes(whole.into()), Err(RecordError::BodyChecksum));
    }

    #[test]
    fn a_body_checksum_of_zero_is_not_compared() {
        let mut whole = publication().sealed().to_vec();
        whole[12..16].fill(0);
        *whole.last_mut().unwrap() ^= 1;
        assert!(Publication::from_bytes(whole.into()).is_ok());
    }

    #[test]
    fn every_truncation_is_found() {
        let whole = publication().sealed();
        for length in 0..whole.len() {
            assert!(Publication::from_bytes(whole.slice(..length)).is_err(), "length {length}");
        }
    }
}
