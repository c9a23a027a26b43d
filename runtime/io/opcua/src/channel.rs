//! A SecureChannel without its socket: chunks, sequence numbers, tokens, symmetric security (Part 6 §6.7).

use bytes::{Bytes, BytesMut};
use opcua_crypto::{AesDerivedKeys, SecurityPolicy};
use opcua_subscription::StatusCode;

use crate::config::TransportLimits;
use crate::frame::{ChunkType, Frame, FrameType, SendLimits, u32_at, write_size};
use crate::status::{BAD_SECURE_CHANNEL_TOKEN_UNKNOWN, BAD_SEQUENCE_NUMBER_INVALID, BAD_TCP_MESSAGE_TYPE_INVALID};

/// Message header, `SecureChannelId`, `TokenId`.
const UNSEALED_BYTES: usize = 16;
/// Sequence number and request id.
const SEQUENCE_HEADER_BYTES: usize = 8;
const AES_BLOCK_BYTES: usize = 16;
/// A sequence number wraps somewhere above this one, to one below [`SEQUENCE_WRAPPED_END`] (Part 6 §6.7.2.4).
const SEQUENCE_WRAP_START: u32 = u32::MAX - 1_024;
const SEQUENCE_WRAPPED_END: u32 = 1_024;

/// What a channel's messages are secured with: one policy, signed and encrypted.
pub(crate) const SECURED: SecurityPolicy = SecurityPolicy::Basic256Sha256;

/// The keys of one token, both ways.
pub(crate) struct TokenKeys {
    local: AesDerivedKeys,
    remote: AesDerivedKeys,
}

impl TokenKeys {
    /// Derives them from the nonces of OpenSecureChannel (Part 6 §6.7.5).
    pub(crate) fn derive(local_nonce: &[u8], remote_nonce: &[u8]) -> Self {
        Self {
            local: SECURED.make_secure_channel_keys(remote_nonce, local_nonce),
            remote: SECURED.make_secure_channel_keys(local_nonce, remote_nonce),
        }
    }
}

impl std::fmt::Debug for TokenKeys {
    /// Shows nothing of them.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenKeys").finish_non_exhaustive()
    }
}

/// A `SecurityToken`; without keys where nothing is secured.
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) keys: Option<TokenKeys>,
}

/// The messages that a client sends over an open channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Message,
    CloseSecureChannel,
}

/// A message that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) request_id: u32,
    /// The body, or why the server gave it up halfway.
    pub(crate) body: Result<Bytes, StatusCode>,
}

/// One open channel.
pub(crate) struct Channel {
    id: u32,
    token: Token,
    /// Valid for receiving until the server uses its successor.
    previous_token: Option<Token>,
    send_sequence: u32,
    received_sequence: Option<u32>,
    send_limits: SendLimits,
    message_bytes_max: usize,
    chunk_count_max: usize,
    assembly: Assembly,
    /// A chunk before it is encrypted, kept for its memory.
    plain: Vec<u8>,
}

/// The chunks of a message that has not ended.
#[derive(Default)]
struct Assembly {
    /// Bodies of the chunks, one behind the other, after `body_start` bytes that are none.
    bytes: BytesMut,
    body_start: usize,
    chunk_count: usize,
    request_id: u32,
}

impl Channel {
    /// A channel that is being opened: it has sequence numbers, but no token yet.
    pub(crate) fn new(limits: &TransportLimits, send_limits: SendLimits) -> Self {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            id: 0,
            token: Token { id: 0, keys: None },
            previous_token: None,
            send_sequence: 0,
            received_sequence: None,
            send_limits,
            message_bytes_max: size(limits.message_bytes_max),
            chunk_count_max: size(limits.chunk_count_max).max(1),
            assembly: Assembly::default(),
            plain: Vec::new(),
        }
    }

    /// The server's number for it; 0 before it is open.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The number that the next chunk to send has; taken by [`Channel::take_sequence`].
    pub(crate) fn next_sequence(&self) -> u32 {
        if self.send_sequence >= SEQUENCE_WRAP_START { 1 } else { self.send_sequence + 1 }
    }

    /// A chunk with the next number is sent.
    pub(crate) fn take_sequence(&mut self) -> u32 {
        self.send_sequence = self.next_sequence();
        self.send_sequence
    }

    /// Checks the sequence number of a chunk, also of one of OpenSecureChannel.
    ///
    /// # Errors
    /// `Bad_SequenceNumberInvalid`, where it does not follow the one before.
    pub(crate) fn check_sequence(&mut self, number: u32) -> Result<(), StatusCode> {
        let follows = self.received_sequence.is_none_or(|last| {
            last.checked_add(1) == Some(number) || (last >= SEQUENCE_WRAP_START && number < SEQUENCE_WRAPPED_END)
        });
        self.received_sequence = Some(number);
        if follows { Ok(()) } else { Err(BAD_SEQUENCE_NUMBER_INVALID) }
    }

    /// The server issued a token: the first, or the next one. It is used for sending from here on.
    ///
    /// # Errors
    /// `Bad_SecureChannelIdInvalid`, where a renewal names another channel.
    pub(crate) fn set_token(&mut self, channel_id: u32, token: Token) -> Result<(), StatusCode> {
        if self.id == 0 {
            self.id = channel_id;
            self.token = token;
            return Ok(());
        }
        if self.id != channel_id {
            return Err(StatusCode::BAD_SECURE_CHANNEL_ID_INVALID);
        }
        self.previous_token = Some(std::mem::replace(&mut self.token, token));
        Ok(())
    }

    /// Cuts `body` into chunks, secures them and writes them to `out`.
    ///
    /// # Errors
    /// `Bad_RequestTooLarge`, where the server would not take it; nothing is written then.
    pub(crate) fn send(
        &mut self,
        sent: Sent,
        request_id: u32,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), StatusCode> {
        let limits = self.send_limits;
        let chunk_body_bytes = self.chunk_body_bytes();
        let chunk_count = body.len().div_ceil(chunk_body_bytes).max(1);
        let too_long = limits.message_bytes_max > 0 && body.len() > limits.message_bytes_max;
        let too_many = limits.chunk_count_max > 0 && chunk_count > limits.chunk_count_max;
        if too_long || too_many || (sent == Sent::CloseSecureChannel && chunk_count > 1) {
            return Err(StatusCode::BAD_REQUEST_TOO_LARGE);
        }
        for index in 0..chunk_count {
            let start = index * chunk_body_bytes;
            let part = &body[start..body.len().min(start + chunk_body_bytes)];
            let kind = match (sent, index + 1 == chunk_count) {
                (Sent::CloseSecureChannel, _) => *b"CLOF",
                (Sent::Message, true) => *b"MSGF",
                (Sent::Message, false) => *b"MSGC",
            };
            self.send_chunk(kind, request_id, part, out)?;
        }
        Ok(())
    }

    /// Bytes of a message that one chunk may carry.
    fn chunk_body_bytes(&self) -> usize {
        let room = self.send_limits.chunk_bytes_max - UNSEALED_BYTES;
        if self.token.keys.is_some() {
            let padding_size_bytes = 1;
            room / AES_BLOCK_BYTES * AES_BLOCK_BYTES
                - SEQUENCE_HEADER_BYTES
                - padding_size_bytes
                - SECURED.symmetric_signature_size()
        } else {
            room - SEQUENCE_HEADER_BYTES
        }
    }

    fn send_chunk(&mut self, kind: [u8; 4], request_id: u32, part: &[u8], out: &mut Vec<u8>) -> Result<(), StatusCode> {
        let sequence = self.take_sequence();
        self.plain.clear();
        self.plain.extend_from_slice(&kind);
        for field in [0, self.id, self.token.id, sequence, request_id] {
            self.plain.extend_from_slice(&field.to_le_bytes());
        }
        self.plain.extend_from_slice(part);
        let Some(keys) = &self.token.keys else {
            write_size(&mut self.plain);
            out.extend_from_slice(&self.plain);
            return Ok(());
        };
        let signature_bytes = SECURED.symmetric_signature_size();
        let unpadded = self.plain.len() - UNSEALED_BYTES + 1 + signature_bytes;
        let padding = unpadded.next_multiple_of(AES_BLOCK_BYTES) - unpadded;
        let padding_byte = u8::try_from(padding).expect("less than a block");
        self.plain.resize(self.plain.len() + 1 + padding, padding_byte);
        let signed_bytes = self.plain.len();
        self.plain.resize(signed_bytes + signature_bytes, 0);
        write_size(&mut self.plain);
        let (signed, signature) = self.plain.split_at_mut(signed_bytes);
        SECURED.symmetric_sign(&keys.local, signed, signature).map_err(|error| crate::status::of(error.status()))?;
        let start = out.len();
        out.extend_from_slice(&self.plain[..UNSEALED_BYTES]);
        let sealed = &self.plain[UNSEALED_BYTES..];
        // The cipher asks for room for one block more than it writes.
        out.resize(start + self.plain.len() + AES_BLOCK_BYTES, 0);
        SECURED
            .symmetric_encrypt(&keys.local, sealed, &mut out[start + UNSEALED_BYTES..])
            .map_err(|error| crate::status::of(error.status()))?;
        out.truncate(start + self.plain.len());
        Ok(())
    }

    /// Takes a chunk of a message; gives the message when it has come to its end.
    ///
    /// # Errors
    /// The code with which the connection must end: a wrong channel, token, signature, sequence or order, or more than
    /// the limits allow (`Bad_ResponseTooLarge`).
    pub(crate) fn receive(&mut self, frame: &Frame<'_>) -> Result<Option<Received>, StatusCode> {
        if frame.kind != FrameType::Message {
            return Err(BAD_TCP_MESSAGE_TYPE_INVALID);
        }
        if self.id == 0 || u32_at(frame.bytes, 8)? != self.id {
            return Err(StatusCode::BAD_SECURE_CHANNEL_ID_INVALID);
        }
        let token = receiving_token(u32_at(frame.bytes, 12)?, &self.token, &mut self.previous_token)?;
        let begins = self.assembly.chunk_count == 0;
        let chunk = match &token.keys {
            Some(keys) => self.assembly.push_sealed(frame.bytes, keys)?,
            None => self.assembly.push_plain(frame.bytes)?,
        };
        self.check_sequence(chunk.sequence)?;
        if begins {
            self.assembly.request_id = chunk.request_id;
        } else if self.assembly.request_id != chunk.request_id {
            return Err(BAD_SEQUENCE_NUMBER_INVALID);
        }
        self.assembly.chunk_count += 1;
        let body_bytes = self.assembly.bytes.len() - self.assembly.body_start;
        if body_bytes > self.message_bytes_max || self.assembly.chunk_count > self.chunk_count_max {
            return Err(StatusCode::BAD_RESPONSE_TOO_LARGE);
        }
        let body = match frame.chunk_type {
            ChunkType::Intermediate => return Ok(None),
            ChunkType::Final => Ok(self.assembly.take()),
            ChunkType::Abort => {
                let whole = self.assembly.take();
                Err(abort_code(&whole[whole.len() - chunk.body_bytes..]))
            }
        };
        Ok(Some(Received { request_id: chunk.request_id, body }))
    }
}

/// The token that a received chunk names, of the two that are valid.
///
/// # Errors
/// `Bad_SecureChannelTokenUnknown`, where it is neither.
fn receiving_token<'a>(
    token_id: u32,
    current: &'a Token,
    previous: &'a mut Option<Token>,
) -> Result<&'a Token, StatusCode> {
    if token_id == current.id {
        // The server uses it, so it is done with the one before.
        *previous = None;
        return Ok(current);
    }
    previous.as_ref().filter(|token| token.id == token_id).ok_or(BAD_SECURE_CHANNEL_TOKEN_UNKNOWN)
}

/// What a chunk says of itself.
struct Chunk {
    sequence: u32,
    request_id: u32,
    body_bytes: usize,
}

impl Assembly {
    fn push_plain(&mut self, frame: &[u8]) -> Result<Chunk, StatusCode> {
        let body = frame.get(UNSEALED_BYTES + SEQUENCE_HEADER_BYTES..).ok_or(StatusCode::BAD_DECODING_ERROR)?;
        self.bytes.extend_from_slice(body);
        Ok(Chunk {
            sequence: u32_at(frame, UNSEALED_BYTES)?,
            request_id: u32_at(frame, UNSEALED_BYTES + 4)?,
            body_bytes: body.len(),
        })
    }

    /// Decrypts the chunk behind those before it, and checks its signature there.
    fn push_sealed(&mut self, frame: &[u8], keys: &TokenKeys) -> Result<Chunk, StatusCode> {
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

    fn take(&mut self) -> Bytes {
        let body_start = std::mem::take(&mut self.body_start);
        self.chunk_count = 0;
        self.bytes.split().freeze().slice(body_start..)
    }
}

/// The code of an Abort chunk (Part 6 §6.7.3); `Bad_UnexpectedError` where it carries none that is Bad.
fn abort_code(body: &[u8]) -> StatusCode {
    match u32_at(body, 0) {
        Ok(code) if StatusCode(code).is_bad() => StatusCode(code),
        Ok(_) | Err(_) => StatusCode::BAD_UNEXPECTED_ERROR,
    }
}
