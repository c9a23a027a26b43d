//! The most bytes that an event takes on the wire, without encoding it.

use contract::Event;

/// What a batch adds to its events: the envelope's own sections.
pub const BATCH_OVERHEAD_BYTES: usize = 64;

/// What every event adds: section headers, the message-id, the names of its annotation and of its Topic Name.
const EVENT_OVERHEAD_BYTES: usize = 208;

/// The most bytes that `event` takes inside a batch, as an AMQP message within a data section (AMQP 1.0 §3.2).
///
/// Never less than what the lane encodes; more by about 17 bytes for each 5 bytes of MQTT properties, because the
/// shortest User Property (5 bytes) gains at most 17: longer length fields and the prefix of a CloudEvents attribute.
pub fn encoded_bytes_max(event: &Event) -> usize {
    let publication = &event.publication;
    let properties_bytes = publication.properties().len();
    EVENT_OVERHEAD_BYTES
        + event.key.len()
        + publication.topic_name().len()
        + publication.payload().len()
        + properties_bytes
        + properties_bytes.div_ceil(5) * 17
}
