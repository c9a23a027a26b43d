//! A publication of one asset's tags.

use contract::{
    Instant, MESSAGE_EXPIRY_NEVER, Publication, PublicationArena, PublicationBuilder, PublicationDraft, QoS, UtcTime,
};

/// Bytes of the chunks that records are written into.
pub const CHUNK_BYTES: usize = 256 << 10;
/// One value as a DataSet's message has it, with the comma after it.
pub const POINT: &[u8] =
    br#""tag00":{"SourceTimestamp":"2026-11-23T12:00:00.1234567Z","Value":"--Nb.---FF0003141592"},"#;

/// Builds a record of `points_count` points in `arena`.
pub fn build(arena: &mut PublicationArena, points_count: u32) -> Publication {
    let draft = PublicationDraft {
        topic_name: "plant/data/asset000",
        properties: &[0x01, 1],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut builder = arena.begin(&draft);
    builder.put_byte(b'{');
    (0..points_count).for_each(|_| put_point(&mut builder));
    builder.put_byte(b'}');
    builder.finish(points_count)
}

fn put_point(builder: &mut PublicationBuilder<'_>) {
    builder.put(POINT);
}
