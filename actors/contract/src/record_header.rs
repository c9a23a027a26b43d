//! The fixed, versioned header of a publication's record: an rkyv archive that is read in place.

use rkyv::api::serialize_using;
use rkyv::rancor::Failure;
use rkyv::ser::writer::Buffer;
use rkyv::{Archive, Serialize};

/// The layout's version, written into each record. A reader refuses others by name.
pub const RECORD_VERSION: u16 = 1;

/// "The message never expires" in [`RecordHeader::message_expiry_s`].
pub const MESSAGE_EXPIRY_NEVER: u32 = u32::MAX;

/// Bytes before the archived header: magic 2, version 2, header checksum 4, body length 4, body checksum 4.
pub(crate) const FRAME_BYTES: usize = 16;

/// Bytes of a record before its Topic Name.
pub const RECORD_PREFIX_BYTES: usize = FRAME_BYTES + HEADER_BYTES;

pub(crate) const HEADER_BYTES: usize = size_of::<ArchivedRecordHeader>();

/// The first two bytes of every record.
pub(crate) const MAGIC: [u8; 2] = *b"mc";

/// How often a message is delivered (MQTT 5.0 §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level that two bits of a packet name; `None` for 3, which is malformed (MQTT-3.3.1-4).
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The level as the two bits of a packet.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// Everything about a publication that is not its text. Little endian and unaligned, so any slice can hold it.
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(attr(allow(missing_docs, reason = "the archived fields are documented on RecordHeader")))]
pub(crate) struct RecordHeader {
    /// Bytes of the Topic Name, at most 65,535 (MQTT 5.0 §1.5.4).
    pub topic_name_bytes: u16,
    /// Bits 0 and 1: `QoS`; bit 2: RETAIN.
    pub flags: u8,
    /// Bytes of the MQTT 5.0 properties, without their length and without the Message Expiry Interval.
    pub properties_bytes: u32,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// The Message Expiry Interval at receipt, in seconds, or [`MESSAGE_EXPIRY_NEVER`].
    pub message_expiry_s: u32,
    /// Data points in the payload; 0 where nobody counted.
    pub points_count: u32,
    /// When this process received it, in nanoseconds of its monotonic clock.
    pub received_at_nanos: u64,
    /// When it was received, in ticks of 100 ns since 1970-01-01 UTC.
    pub received_utc_ticks: i64,
}

impl RecordHeader {
    /// The archive of this header.
    pub(crate) fn to_archive(self) -> [u8; HEADER_BYTES] {
        let mut archive = [0; HEADER_BYTES];
        serialize_using::<_, Failure>(&self, &mut Buffer::from(&mut archive))
            .expect("the buffer has the archive's size");
        archive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_version_1_is_fixed() {
        let header = RecordHeader {
            topic_name_bytes: 0x0102,
            flags: 0x05,
            properties_bytes: 0x0304_0506,
            payload_bytes: 0x0708_090a,
            message_expiry_s: 0x0b0c_0d0e,
            points_count: 0x0f10_1112,
            received_at_nanos: 0x1314_1516_1718_191a,
            received_utc_ticks: 0x1b1c_1d1e_1f20_2122,
        };
        let golden: [u8; 35] = [
            0x02, 0x01, 0x05, 0x06, 0x05, 0x04, 0x03, 0x0a, 0x09, 0x08, 0x07, 0x0e, 0x0d, 0x0c, 0x0b, 0x12, 0x11, 0x10,
            0x0f, 0x1a, 0x19, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x22, 0x21, 0x20, 0x1f, 0x1e, 0x1d, 0x1c, 0x1b,
        ];
        assert_eq!(header.to_archive(), golden);
    }

    #[test]
    fn three_is_no_quality_of_service() {
        assert_eq!([0, 1, 2].map(|bits| QoS::from_bits(bits).map(QoS::bits)), [Some(0), Some(1), Some(2)]);
        assert_eq!(QoS::from_bits(3), None);
    }
}
