//! Frames of OPC UA TCP: the eight bytes before every chunk, and the buffer that finds them (Part 6 §7.1).

use opcua_subscription::StatusCode;

use crate::status::{BAD_PROTOCOL_VERSION_UNSUPPORTED, BAD_TCP_MESSAGE_TYPE_INVALID};

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 8;
/// The smallest buffer that either side may offer (Part 6 §7.1.2.3).
pub(crate) const BUFFER_BYTES_MIN: usize = 8_192;
const PROTOCOL_VERSION: u32 = 0;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameType {
    Acknowledge,
    Error,
    Open,
    Message,
    Close,
}

/// Where a chunk stands in its message (Part 6 §6.7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkType {
    Final,
    Intermediate,
    Abort,
}

/// One whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameType,
    pub(crate) chunk_type: ChunkType,
    /// All its bytes, the header included.
    pub(crate) bytes: &'a [u8],
}

/// Reads the header; the size is that of the whole frame.
///
/// # Errors
/// `Bad_TcpMessageTypeInvalid` for anything but a frame that a server may send, `Bad_TcpMessageTooLarge` for one over
/// `bytes_max`, `Bad_DecodingError` for one that ends inside its header.
fn read_header(header: [u8; HEADER_BYTES], bytes_max: usize) -> Result<(FrameType, ChunkType, usize), StatusCode> {
    let frame_type = match &header[..3] {
        b"ACK" => FrameType::Acknowledge,
        b"ERR" => FrameType::Error,
        b"OPN" => FrameType::Open,
        b"MSG" => FrameType::Message,
        b"CLO" => FrameType::Close,
        _ => return Err(BAD_TCP_MESSAGE_TYPE_INVALID),
    };
    let chunk_type = match (header[3], frame_type) {
        (b'F', _) => ChunkType::Final,
        (b'C', FrameType::Message) => ChunkType::Intermediate,
        (b'A', FrameType::Message) => ChunkType::Abort,
        _ => return Err(BAD_TCP_MESSAGE_TYPE_INVALID),
    };
    let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let size = usize::try_from(size).map_err(|_| StatusCode::BAD_TCP_MESSAGE_TOO_LARGE)?;
    if size < HEADER_BYTES {
        return Err(StatusCode::BAD_DECODING_ERROR);
    }
    if size > bytes_max {
        return Err(StatusCode::BAD_TCP_MESSAGE_TOO_LARGE);
    }
    Ok((frame_type, chunk_type, size))
}

/// A fixed buffer between the socket and the chunks; as large as the largest chunk.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes.max(BUFFER_BYTES_MIN)].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Where the socket may write; never empty once [`ReadBuffer::next_frame`] found none.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// The socket wrote `count` bytes into [`ReadBuffer::spare`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "no more is read than there is room for");
    }

    /// Takes the next whole frame, if there is one.
    ///
    /// # Errors
    /// What [`read_header`] says; nothing is to be read after it.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, StatusCode> {
        let unread = &self.bytes[self.start..self.end];
        let Some(header) = unread.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (frame_type, chunk_type, size) = read_header(*header, self.bytes.len())?;
        if unread.len() < size {
            return Ok(None);
        }
        let start = self.start;
        self.start += size;
        Ok(Some(Frame { kind: frame_type, chunk_type, bytes: &self.bytes[start..start + size] }))
    }
}

/// What the server's Acknowledge leaves us to send (Part 6 §7.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "a limit is named as one, bound last")]
pub(crate) struct SendLimits {
    /// Bytes of one chunk.
    pub(crate) chunk_bytes_max: usize,
    /// Bytes of one message; 0 is no limit.
    pub(crate) message_bytes_max: usize,
    /// Chunks of one message; 0 is no limit.
    pub(crate) chunk_count_max: usize,
}

/// What we offer in Hello.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "a limit is named as one, bound last")]
pub(crate) struct Offer {
    pub(crate) chunk_bytes_max: u32,
    pub(crate) message_bytes_max: u32,
    pub(crate) chunk_count_max: u32,
}

/// Writes Hello (Part 6 §7.1.2.3). `endpoint_url` has at most 4,096 bytes.
pub(crate) fn write_hello(offer: &Offer, endpoint_url: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"HELF\0\0\0\0");
    let url_bytes = u32::try_from(endpoint_url.len()).expect("a URL was checked to be short");
    let fields = [
        PROTOCOL_VERSION,
        offer.chunk_bytes_max,
        offer.chunk_bytes_max,
        offer.message_bytes_max,
        offer.chunk_count_max,
        url_bytes,
    ];
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(endpoint_url.as_bytes());
    write_size(&mut out[start..]);
}

/// Puts the length of `frame` into its header.
pub(crate) fn write_size(frame: &mut [u8]) {
    let size = u32::try_from(frame.len()).expect("a frame is no longer than the peer's buffer");
    frame[4..8].copy_from_slice(&size.to_le_bytes());
}

/// Reads an Acknowledge frame.
///
/// # Errors
/// `Bad_DecodingError` where it is short or has buffers below the standard's minimum, `Bad_TcpMessageTooLarge` where
/// the server means to send larger chunks than we offered to take.
pub(crate) fn read_acknowledge(frame: &[u8], offer: &Offer) -> Result<SendLimits, StatusCode> {
    let field = |index: usize| u32_at(frame, HEADER_BYTES + 4 * index);
    let (version, receive_bytes, send_bytes) = (field(0)?, field(1)?, field(2)?);
    let (message_bytes, chunk_count) = (field(3)?, field(4)?);
    // A server answers with the lower version; there is none below ours.
    if version > PROTOCOL_VERSION {
        return Err(BAD_PROTOCOL_VERSION_UNSUPPORTED);
    }
    if send_bytes > offer.chunk_bytes_max {
        return Err(StatusCode::BAD_TCP_MESSAGE_TOO_LARGE);
    }
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let chunk_bytes_max = size(receive_bytes.min(offer.chunk_bytes_max));
    if chunk_bytes_max < BUFFER_BYTES_MIN {
        return Err(StatusCode::BAD_DECODING_ERROR);
    }
    Ok(SendLimits { chunk_bytes_max, message_bytes_max: size(message_bytes), chunk_count_max: size(chunk_count) })
}

/// Reads the code of an Error frame (Part 6 §7.1.2.5); `Bad_ConnectionClosed` where it carries none.
pub(crate) fn read_error(frame: &[u8]) -> StatusCode {
    match u32_at(frame, HEADER_BYTES) {
        Ok(code) if StatusCode(code).is_bad() => StatusCode(code),
        Ok(_) | Err(_) => StatusCode::BAD_CONNECTION_CLOSED,
    }
}

/// Reads a little-endian `UInt32`.
///
/// # Errors
/// `Bad_DecodingError` where `bytes` end before it does.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, StatusCode> {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>).ok_or(StatusCode::BAD_DECODING_ERROR)?;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { chunk_bytes_max: 65_536, message_bytes_max: 1 << 26, chunk_count_max: 4_096 };

    fn frame(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        write_size(&mut bytes);
        bytes
    }

    fn acknowledge(fields: [u32; 5]) -> Vec<u8> {
        frame(*b"ACKF", &fields.iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<u8>>())
    }

    #[test]
    fn frames_split_at_any_byte_are_found() {
        let stream = [frame(*b"MSGC", b"one"), frame(*b"MSGF", b""), frame(*b"ERRF", &[1; 9])].concat();
        for split in 0..=stream.len() {
            let mut buffer = ReadBuffer::new(0);
            let mut kinds = Vec::new();
            for part in [&stream[..split], &stream[split..]] {
                buffer.spare()[..part.len()].copy_from_slice(part);
                buffer.filled(part.len());
                while let Some(frame) = buffer.next_frame().unwrap() {
                    kinds.push((frame.kind, frame.chunk_type, frame.bytes.len()));
                }
            }
            let expected = [
                (FrameType::Message, ChunkType::Intermediate, 11),
                (FrameType::Message, ChunkType::Final, 8),
                (FrameType::Error, ChunkType::Final, 17),
            ];
            assert_eq!(kinds, expected, "split at {split}");
        }
    }

    #[test]
    fn sizes_beyond_the_buffer_or_below_the_header_are_refused() {
        for (size, expected) in [
            (7_u32, StatusCode::BAD_DECODING_ERROR),
            (8_193, StatusCode::BAD_TCP_MESSAGE_TOO_LARGE),
            (u32::MAX, StatusCode::BAD_TCP_MESSAGE_TOO_LARGE),
        ] {
            let mut buffer = ReadBuffer::new(0);
            buffer.spare()[..4].copy_from_slice(b"MSGF");
            buffer.spare()[4..8].copy_from_slice(&size.to_le_bytes());
            buffer.filled(8);
            assert_eq!(buffer.next_frame(), Err(expected), "{size}");
        }
    }

    #[test]
    fn frames_that_no_server_sends_are_refused() {
        for kind in [b"HELF", b"GET ", b"MSGX", b"OPNC", b"ACKA"] {
            let mut buffer = ReadBuffer::new(0);
            buffer.spare()[..8].copy_from_slice(&frame(*kind, b""));
            buffer.filled(8);
            assert_eq!(buffer.next_frame(), Err(BAD_TCP_MESSAGE_TYPE_INVALID));
        }
    }

    #[test]
    fn hello_is_as_the_standard_says() {
        let mut bytes = Vec::new();
        write_hello(&OFFER, "opc.tcp://a:1/", &mut bytes);
        let mut expected = b"HELF\x2e\0\0\0".to_vec();
        for field in [0_u32, 65_536, 65_536, 1 << 26, 4_096, 14] {
            expected.extend_from_slice(&field.to_le_bytes());
        }
        expected.extend_from_slice(b"opc.tcp://a:1/");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_acknowledge_gives_what_may_be_sent() {
        let limits = read_acknowledge(&acknowledge([0, 8_192, 65_536, 0, 5]), &OFFER).unwrap();
        assert_eq!(limits, SendLimits { chunk_bytes_max: 8_192, message_bytes_max: 0, chunk_count_max: 5 });
        let larger = read_acknowledge(&acknowledge([0, 1 << 20, 8_192, 0, 0]), &OFFER).unwrap();
        assert_eq!(larger.chunk_bytes_max, 65_536);
        assert!(read_acknowledge(&acknowledge([0, 100, 65_536, 0, 0]), &OFFER).is_err());
        assert!(read_acknowledge(&acknowledge([0, 65_536, 65_537, 0, 0]), &OFFER).is_err());
        assert!(read_acknowledge(&frame(*b"ACKF", &[0; 19]), &OFFER).is_err());
    }

    #[test]
    fn an_error_frame_has_its_code() {
        assert_eq!(read_error(&frame(*b"ERRF", &0x8083_0000_u32.to_le_bytes())), StatusCode(0x8083_0000));
        assert_eq!(read_error(&frame(*b"ERRF", b"")), StatusCode::BAD_CONNECTION_CLOSED);
        assert_eq!(read_error(&frame(*b"ERRF", &[0; 4])), StatusCode::BAD_CONNECTION_CLOSED);
    }
}
