//! What a connection may hold and have under way.

use contract::RECORD_PREFIX_BYTES;

use super::World;

/// Bytes that a connection may hold unread besides what came last: `reading.rs` of the actor stops the socket there.
const UNREAD_BYTES_MAX: usize = 128 << 10;
/// SUBSCRIBEs and UNSUBSCRIBEs that one connection has pending, and as many that take back.
const ANSWERS_PENDING_MAX: usize = 32;

impl World {
    /// Checks every bound; holds after each message.
    pub(super) fn check_bounds(&self) {
        let config = &self.config;
        let (packet_bytes, partitions_count) = (config.packet_bytes_max as usize, u32::from(config.partitions_count));
        let count: usize = self.publishes.values().map(|batch| batch.count).sum();
        assert!(count <= config.publishes_count_max as usize, "{count} publications under way");
        let bytes: usize = self.publishes.values().map(|batch| batch.bytes).sum();
        let last_bytes = RECORD_PREFIX_BYTES + 2 * packet_bytes;
        assert!(bytes as u64 <= config.publishes_bytes_max + last_bytes as u64, "{bytes} bytes of publications");
        let under_way = self.partitions.under_way_max();
        let share = (config.deliveries_count_max / partitions_count).max(1) as usize;
        assert!(under_way <= share || self.counts.closes > 0, "{under_way} of {share} deliveries under way");
        let owed_bytes = 5 * usize::from(config.receive_maximum) + ANSWERS_PENDING_MAX * packet_bytes;
        let output_bytes = 2 * config.output_bytes_max + owed_bytes + 21_000;
        assert!(self.unwritten_bytes <= output_bytes, "{} bytes wait for the socket", self.unwritten_bytes);
        let held_bytes = self.connection.buffered_bytes();
        assert!(held_bytes >= self.unwritten_bytes);
        let input_bytes = held_bytes - self.unwritten_bytes;
        assert!(
            input_bytes <= UNREAD_BYTES_MAX + self.received_bytes + packet_bytes,
            "{input_bytes} bytes wait to be read"
        );
    }
}
