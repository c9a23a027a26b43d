//! Cuts a stream into frames, within Maximum Packet Size.

use bytes::{Buf, Bytes, BytesMut};

use crate::DecodeError;
use crate::variable_byte_integer::decode_variable_byte_integer;

/// One packet of the stream: its first byte, and what follows the fixed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Packet type and flags (MQTT 5.0 §2.1.1).
    pub first_byte: u8,
    /// Variable header and payload; shares the bytes that were pushed.
    pub body: Bytes,
}

impl Frame {
    /// The packet type, 0 to 15.
    pub const fn packet_type(&self) -> u8 {
        self.first_byte >> 4
    }

    /// The flags, 0 to 15.
    pub const fn flags(&self) -> u8 {
        self.first_byte & 0x0f
    }
}

/// Cuts a stream into frames (MQTT 5.0 §2.1).
///
/// Whole packets share the bytes that were pushed. Only a packet whose end has not come is copied, into a buffer that grows
/// with what came, to at most the limit: an announced length reserves nothing. Between packets it holds no memory.
#[derive(Debug)]
pub struct Decoder {
    packet_bytes_max: u32,
    /// The beginning of a packet that `unread` continues.
    partial: BytesMut,
    unread: Bytes,
}

impl Decoder {
    /// Makes a decoder for packets of at most `packet_bytes_max` bytes, fixed header included.
    pub fn new(packet_bytes_max: u32) -> Self {
        Self { packet_bytes_max, partial: BytesMut::new(), unread: Bytes::new() }
    }

    /// Adds bytes of the stream. Where frames wait to be taken, both are copied into one buffer; the caller bounds them.
    pub fn push(&mut self, bytes: Bytes) {
        if self.unread.is_empty() {
            self.unread = bytes;
        } else {
            let mut both = BytesMut::with_capacity(self.unread.len() + bytes.len());
            both.extend_from_slice(&self.unread);
            both.extend_from_slice(&bytes);
            self.unread = both.freeze();
        }
    }

    /// Bytes that wait, in all.
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len() + self.unread.len()
    }

    /// Bytes that were pushed and that [`Decoder::next_frame`] has not looked at yet.
    pub fn unread_bytes(&self) -> usize {
        self.unread.len()
    }

    /// Drops all that waits.
    pub fn clear(&mut self) {
        self.partial = BytesMut::new();
        self.unread = Bytes::new();
    }

    /// Takes the next whole packet; `None` until more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for a bad Remaining Length (MQTT 5.0 §2.1.4), [`DecodeError::PacketTooLarge`] as soon as it
    /// is known. The connection must end; later calls answer arbitrarily.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if self.partial.is_empty() {
            return self.frame_of_unread();
        }
        // Five bytes tell the length, then exactly what is missing is copied.
        self.complete_to(5);
        let Some(header) = self.fixed_header(&self.partial)? else { return Ok(None) };
        self.complete_to(header.packet_bytes);
        if self.partial.len() < header.packet_bytes {
            return Ok(None);
        }
        // What was copied beyond a packet shorter than five bytes belongs to the next one.
        let mut packet = std::mem::take(&mut self.partial);
        let surplus = packet.split_off(header.packet_bytes);
        if !surplus.is_empty() {
            let mut rest = BytesMut::with_capacity(surplus.len() + self.unread.len());
            rest.extend_from_slice(&surplus);
            rest.extend_from_slice(&self.unread);
            self.unread = rest.freeze();
        }
        let mut body = packet.freeze();
        body.advance(header.bytes);
        Ok(Some(Frame { first_byte: header.first_byte, body }))
    }

    fn frame_of_unread(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(header) = self.fixed_header(&self.unread)?
            && self.unread.len() >= header.packet_bytes
        {
            self.unread.advance(header.bytes);
            let body = self.unread.split_to(header.packet_bytes - header.bytes);
            return Ok(Some(Frame { first_byte: header.first_byte, body }));
        }
        self.partial.extend_from_slice(&self.unread);
        self.unread = Bytes::new();
        Ok(None)
    }

    /// Moves bytes from `unread` until `partial` has `count`, or there are no more.
    fn complete_to(&mut self, count: usize) {
        let missing = count.saturating_sub(self.partial.len()).min(self.unread.len());
        self.partial.extend_from_slice(&self.unread.split_to(missing));
        if self.unread.is_empty() {
            self.unread = Bytes::new();
        }
    }

    /// The fixed header that `start` begins with, once it is whole.
    #[inline]
    fn fixed_header(&self, start: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let Some((first_byte, after_first)) = start.split_first() else { return Ok(None) };
        let Some((remaining_length, count)) = decode_variable_byte_integer(after_first)? else { return Ok(None) };
        let bytes = 1 + count;
        let packet_bytes = remaining_length.saturating_add(u32::try_from(bytes).expect("at most five"));
        if packet_bytes > self.packet_bytes_max {
            return Err(DecodeError::PacketTooLarge { packet_bytes, packet_bytes_max: self.packet_bytes_max });
        }
        Ok(Some(FixedHeader { first_byte: *first_byte, bytes, packet_bytes: packet_bytes as usize }))
    }
}

/// What a packet begins with (MQTT 5.0 §2.1.1).
struct FixedHeader {
    first_byte: u8,
    /// Its own bytes, 2 to 5.
    bytes: usize,
    /// Bytes of the whole packet.
    packet_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(decoder: &mut Decoder) -> Vec<(u8, Vec<u8>)> {
        std::iter::from_fn(|| decoder.next_frame().unwrap()).map(|f| (f.first_byte, f.body.to_vec())).collect()
    }

    #[test]
    fn packets_are_cut_out_wherever_the_stream_was_cut() {
        let stream = [&[0xc0, 0x00, 0x30, 0x03][..], b"abc", &[0xe0, 0x00, 0x30, 0x80, 0x01], &[7; 128]].concat();
        let whole = {
            let mut decoder = Decoder::new(1_000);
            decoder.push(stream.clone().into());
            frames(&mut decoder)
        };
        assert_eq!(whole.len(), 4);
        for cut in 1..stream.len() {
            let mut decoder = Decoder::new(1_000);
            decoder.push(stream[..cut].to_vec().into());
            let mut cut_frames = frames(&mut decoder);
            decoder.push(stream[cut..].to_vec().into());
            cut_frames.extend(frames(&mut decoder));
            assert_eq!(cut_frames, whole, "cut at {cut}");
            assert_eq!(decoder.buffered_bytes(), 0);
        }
    }

    #[test]
    fn a_packet_over_the_limit_is_refused_by_its_header_alone() {
        let mut decoder = Decoder::new(100);
        decoder.push(Bytes::from_static(&[0x30, 98]));
        assert_eq!(decoder.next_frame(), Ok(None));
        let mut decoder = Decoder::new(100);
        decoder.push(Bytes::from_static(&[0x30, 99]));
        let too_large = DecodeError::PacketTooLarge { packet_bytes: 101, packet_bytes_max: 100 };
        assert_eq!(decoder.next_frame(), Err(too_large));
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut decoder = Decoder::new(256 << 20);
        decoder.push(Bytes::from_static(&[0x30, 0xff, 0xff, 0xff, 0x7f]));
        assert!(matches!(decoder.next_frame(), Err(DecodeError::PacketTooLarge { .. })));
        let mut decoder = Decoder::new(256 << 20);
        decoder.push(Bytes::from_static(&[0x30, 0x80, 0x80, 0x80, 0x7f]));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.partial.capacity() < 1_000);
    }

    #[test]
    fn between_packets_nothing_is_held() {
        let mut decoder = Decoder::new(100);
        decoder.push(Bytes::from_static(&[0xc0]));
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.push(Bytes::from_static(&[0x00]));
        assert!(decoder.next_frame().unwrap().is_some());
        assert_eq!((decoder.partial.capacity(), decoder.buffered_bytes()), (0, 0));
    }
}
