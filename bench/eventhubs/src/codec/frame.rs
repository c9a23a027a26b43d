//! Protocol headers, and the eight bytes before each frame's body (AMQP 1.0 §2.2, §2.3).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::DecodeError;
use super::encoder::length;

/// Opens plain AMQP.
pub const HEADER_AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
/// Opens the SASL layer.
pub const HEADER_SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// The smallest largest frame that a peer may ask for.
pub const FRAME_BYTES_MIN_MAX: u32 = 512;

/// Whether a frame belongs to AMQP or to its SASL layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Performatives of part 2.
    Amqp,
    /// The exchange of part 5.
    Sasl,
}

/// One frame as it came. An empty body is a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which layer it belongs to.
    pub kind: FrameKind,
    /// The channel; meaningless for SASL.
    pub channel: u16,
    /// Performative and payload.
    pub body: Bytes,
}

/// Takes the next frame off the front of `input`, if it is whole.
///
/// # Errors
/// - [`DecodeError::FrameSize`]: below 8 or above `bytes_max`.
/// - [`DecodeError::Range`]: an offset of the body outside the frame, or an unknown type of frame.
pub fn take_frame(input: &mut BytesMut, bytes_max: u32) -> Result<Option<Frame>, DecodeError> {
    let Some(head) = input.first_chunk::<8>() else { return Ok(None) };
    let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if size < 8 || size > bytes_max {
        return Err(DecodeError::FrameSize(size));
    }
    let body_at = usize::from(head[4]) * 4;
    if body_at < 8 || body_at > size as usize {
        return Err(DecodeError::Range);
    }
    let kind = match head[5] {
        0 => FrameKind::Amqp,
        1 => FrameKind::Sasl,
        _ => return Err(DecodeError::Range),
    };
    let channel = u16::from_be_bytes([head[6], head[7]]);
    if input.len() < size as usize {
        return Ok(None);
    }
    let mut body = input.split_to(size as usize).freeze();
    body.advance(body_at);
    Ok(Some(Frame { kind, channel, body }))
}

/// Takes a protocol header off the front of `input`, if it is whole.
///
/// # Errors
/// It is neither of the two that we know. Fails at the first wrong byte, not at the eighth.
pub fn take_protocol_header(input: &mut BytesMut) -> Result<Option<FrameKind>, DecodeError> {
    let seen = input.len().min(8);
    let kind = match &input[..seen] {
        start if HEADER_AMQP.starts_with(start) => FrameKind::Amqp,
        start if HEADER_SASL.starts_with(start) => FrameKind::Sasl,
        _ => return Err(DecodeError::ProtocolHeader),
    };
    if seen < 8 {
        return Ok(None);
    }
    input.advance(8);
    Ok(Some(kind))
}

/// Writes a frame whose body `write` writes.
pub fn put_frame(out: &mut BytesMut, kind: FrameKind, channel: u16, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(&[0, 0, 0, 0, 2, u8::from(kind == FrameKind::Sasl)]);
    out.put_u16(channel);
    write(out);
    let size = length(out.len() - start);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes an empty frame, which says that we are alive (§2.4.5).
pub fn put_heartbeat(out: &mut BytesMut) {
    put_frame(out, FrameKind::Amqp, 0, |_| {});
}
