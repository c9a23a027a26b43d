//! Entry points for fuzzing: whatever bytes come, nothing panics, and any cut of a stream reads alike.

use bytes::Bytes;

use crate::{ClientPacket, Connect, DecodeError, Decoder, ProtocolVersion, TopicFilter, TopicName};

/// Largest packet that the entry points take, in bytes.
pub const PACKET_BYTES_MAX: u32 = 4_096;

/// Reads a stream that comes in `chunks`, the first packet as CONNECT, the others as `version` has them; answers each packet,
/// or the error that ends the stream, as text.
pub fn read_stream(chunks: &[&[u8]], version: ProtocolVersion) -> Vec<String> {
    let mut decoder = Decoder::new(PACKET_BYTES_MAX);
    let mut packets = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match read_packet(&mut decoder, version, packets.is_empty()) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => {
                    packets.push(error.to_string());
                    return packets;
                }
            }
        }
    }
    packets
}

fn read_packet(decoder: &mut Decoder, version: ProtocolVersion, is_first: bool) -> Result<Option<String>, DecodeError> {
    let Some(frame) = decoder.next_frame()? else { return Ok(None) };
    let text = if is_first && frame.packet_type() == 1 {
        format!("{:?}", Connect::decode(&frame)?)
    } else {
        format!("{:?}", ClientPacket::decode(&frame, version)?)
    };
    Ok(Some(text))
}

/// Whether `filter` is a Topic Filter and matches `topic_name`; any two strings are survived.
pub fn matches(filter: &str, topic_name: &str) -> bool {
    let filter = TopicFilter::parse(filter);
    TopicName::parse(topic_name).is_some() && filter.is_ok_and(|filter| filter.matches(topic_name.as_bytes()))
}
