//! A record of the log: as it is, and behind checksums that hold.

use bytes::Bytes;
use contract::{Instant, Publication, RECORD_PREFIX_BYTES};

/// Bytes before the archived header: magic, version, header checksum, length of the body, its checksum.
const FRAME_BYTES: usize = 16;

/// Reads `input` as a record, then with its version, lengths and checksums mended.
pub fn run(input: &[u8]) {
    read(input);
    let Some(mut mended) = mend(input) else { return };
    read(&mended);
    // A body checksum of 0: none was taken.
    mended[12..16].fill(0);
    read(&mended);
}

fn mend(input: &[u8]) -> Option<Vec<u8>> {
    let mut record = input.to_vec();
    let body_bytes = u32::try_from(record.len().checked_sub(RECORD_PREFIX_BYTES)?).ok()?;
    record[..4].copy_from_slice(b"mc\x01\x00");
    record[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    let head = [&record[..4], &record[8..12], &record[FRAME_BYTES..RECORD_PREFIX_BYTES]].concat();
    record[4..8].copy_from_slice(&crc32fast::hash(&head).to_le_bytes());
    let body_checksum = crc32fast::hash(&record[RECORD_PREFIX_BYTES..]);
    record[12..16].copy_from_slice(&body_checksum.to_le_bytes());
    Some(record)
}

fn read(bytes: &[u8]) {
    let Ok(publication) = Publication::from_bytes(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(publication.as_bytes(), bytes);
    assert_eq!(publication.topic_name_str().as_bytes(), publication.topic_name());
    let parts = [publication.topic_name(), publication.properties(), publication.payload()].concat();
    assert_eq!(parts, bytes[RECORD_PREFIX_BYTES..], "its parts fill it");
    assert_eq!(publication.payload_shared(), publication.payload());
    assert!(publication.qos().bits() < 3);
    let received_at = publication.received_at();
    let at_receipt_s = publication.message_expiry_remaining_s(received_at);
    let at_last_s = publication.message_expiry_remaining_s(Instant::from_nanos(u64::MAX));
    assert!(at_last_s <= at_receipt_s, "an interval never grows");
    assert_eq!(publication.is_expired(received_at), at_receipt_s == Some(0));
    let _numbers = (publication.retain(), publication.points_count(), publication.received_utc());
    assert_eq!(Publication::from_bytes(publication.detached().as_bytes().clone()), Ok(publication));
}
