//! Chunks opened and joined: each body is copied, or decrypted, once into the message that it is part of.

use bytes::{Bytes, BytesMut};
use opcua_subscription::StatusCode;

use super::{AES_BLOCK_BYTES, SECURED, SEQUENCE_HEADER_BYTES, TokenKeys, UNSEALED_BYTES};
use crate::frame::u32_at;

/// The chunks of a message that has not ended.
#[derive(Default)]
pub(super) struct Assembly {
    /// Bodies of the chunks, one behind the other, after `body_start` bytes that are none.
    pub(super) bytes: BytesMut,
    pub(super) body_start: usize,
    pub(super) chunk_count: usize,
    pub(super) request_id: u32,
}

/// What a chunk says of itself.
pub(super) struct Chunk {
    pub(super) sequence: u32,
    pub(super) request_id: u32,
    pub(super) body_bytes: usize,
}

impl Assembly {
    pub(super) fn push_plain(&mut self, frame: &[u8]) -> Result<Chunk, StatusCode> {
        let body = frame.get(UNSEALED_BYTES + SEQUENCE_HEADER_BYTES..).ok_or(StatusCode::BAD_DECODING_ERROR)?;
        self.bytes.extend_from_slice(body);
        Ok(Chunk {
            sequence: u32_at(frame, UNSEALED_BYTES)?,
            request_id: u32_at(frame, UNSEALED_BYTES + 4)?,
            body_bytes: body.len(),
        })
    }

    /// Decrypts the chunk behind those before it, and checks its signature there.
    pub(super) fn push_sealed(&mut self, frame: &[u8], keys: &TokenKeys) -> Result<Chunk, StatusCode> {
        let forged = StatusCode::BAD_SECURITY_CHECKS_FAILED;
        let signature_bytes = SECURED.symmetric_signature_size();
        let (header, sealed) = frame.split_at_checked(UNSEALED_BYTES).ok_or(StatusCode::BAD_DECODING_ERROR)?;
        let padding_size_bytes = 1;
        if !sealed.len().is_multiple_of(AES_BLOCK_BYTES)
            || sealed.len() < SEQUENCE_HEADER_BYTES + padding_size_bytes + signature_bytes
        {
            return Err(forged);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(header);
        // The cipher asks for room for one block more than it writes.
        self.bytes.resize(start + frame.len() + AES_BLOCK_BYTES, 0);
        let opened = SECURED.symmetric_decrypt(&keys.remote, sealed, &mut self.bytes[start + UNSEALED_BYTES..]);
        opened.map_err(|_| forged)?;
        self.bytes.truncate(start + frame.len());
        let chunk = &self.bytes[start..];
        let (signed, signature) = chunk.split_at(chunk.len() - signature_bytes);
        SECURED.symmetric_verify_signature(&keys.remote, signed, signature).map_err(|_| forged)?;

        let padding = *signed.last().expect("the sequence header is in it");
        let body_start = UNSEALED_BYTES + SEQUENCE_HEADER_BYTES;
        let body_end = signed.len() - padding_size_bytes;
        let body_end = body_end.checked_sub(usize::from(padding)).filter(|end| *end >= body_start).ok_or(forged)?;
        if signed[body_end..].iter().any(|byte| *byte != padding) {
            return Err(forged);
        }
        let said = Chunk {
            sequence: u32_at(signed, UNSEALED_BYTES)?,
            request_id: u32_at(signed, UNSEALED_BYTES + 4)?,
            body_bytes: body_end - body_start,
        };
        if start == 0 {
            self.body_start = body_start;
            self.bytes.truncate(body_end);
        } else {
            self.bytes.copy_within(start + body_start..start + body_end, start);
            self.bytes.truncate(start + said.body_bytes);
        }
        Ok(said)
    }

    pub(super) fn take(&mut self) -> Bytes {
        let body_start = std::mem::take(&mut self.body_start);
        self.chunk_count = 0;
        self.bytes.split().freeze().slice(body_start..)
    }
}

/// The code of an Abort chunk (Part 6 §6.7.3); `Bad_UnexpectedError` where it carries none that is Bad.
pub(super) fn abort_code(body: &[u8]) -> StatusCode {
    match u32_at(body, 0) {
        Ok(code) if StatusCode(code).is_bad() => StatusCode(code),
        Ok(_) | Err(_) => StatusCode::BAD_UNEXPECTED_ERROR,
    }
}
