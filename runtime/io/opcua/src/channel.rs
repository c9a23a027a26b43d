//! A SecureChannel without its socket: chunks, sequence numbers, tokens, symmetric security (Part 6 §6.7).

mod assembly;

use bytes::Bytes;
use opcua_crypto::{AesDerivedKeys, SecurityPolicy};
use opcua_subscription::StatusCode;

use assembly::{Assembly, abort_code};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ReadBuffer;

    const LIMITS: SendLimits = SendLimits { chunk_bytes_max: 8_192, message_bytes_max: 100_000, chunk_count_max: 0 };

    fn channel(token_id: u32, keys: Option<TokenKeys>) -> Channel {
        let mut channel = Channel::new(&TransportLimits::default(), LIMITS);
        channel.set_token(7, Token { id: token_id, keys }).unwrap();
        channel
    }

    /// A client and a server with one token.
    fn pair(is_secured: bool) -> (Channel, Channel) {
        let keys = |mine: u8, other: u8| is_secured.then(|| TokenKeys::derive(&[mine; 32], &[other; 32]));
        (channel(1, keys(1, 2)), channel(1, keys(2, 1)))
    }

    /// All messages of `bytes`, read in two parts.
    fn receive(channel: &mut Channel, bytes: &[u8], split: usize) -> Result<Vec<Received>, StatusCode> {
        let mut buffer = ReadBuffer::new(0);
        let mut all = Vec::new();
        for part in [&bytes[..split], &bytes[split..]] {
            let mut rest = part;
            while !rest.is_empty() {
                let spare = buffer.spare();
                let (now, later) = rest.split_at(rest.len().min(spare.len()));
                spare[..now.len()].copy_from_slice(now);
                buffer.filled(now.len());
                rest = later;
                while let Some(frame) = buffer.next_frame()? {
                    all.extend(channel.receive(&frame)?);
                }
            }
        }
        Ok(all)
    }

    fn sent(channel: &mut Channel, request_id: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        channel.send(Sent::Message, request_id, body, &mut out).unwrap();
        out
    }

    #[test]
    fn messages_of_all_lengths_come_through_split_anywhere() {
        for is_secured in [false, true] {
            let (mut client, mut server) = pair(is_secured);
            for length in [0, 1, 15, 16, 17, 31, 100, 8_100, 8_128, 8_129, 8_136, 8_168, 8_169, 40_000] {
                let body: Vec<u8> = (0..length).map(|at: u32| u8::try_from(at % 251).unwrap()).collect();
                let bytes = sent(&mut client, length, &body);
                let split = bytes.len() / 3;
                let received = receive(&mut server, &bytes, split).unwrap();
                assert_eq!(received, [Received { request_id: length, body: Ok(body.into()) }], "{length}");
            }
            let short = if is_secured { 2 * 64 } else { 2 * 27 };
            for split in 0..short {
                let (mut client, mut server) = pair(is_secured);
                let bytes = [sent(&mut client, 1, b"one"), sent(&mut client, 2, b"two")].concat();
                assert_eq!(receive(&mut server, &bytes, split).unwrap().len(), 2, "{split}");
            }
        }
    }

    #[test]
    fn a_message_that_the_server_would_not_take_is_not_begun() {
        let (mut client, _) = pair(false);
        let mut out = Vec::new();
        let refused = client.send(Sent::Message, 1, &vec![0; 100_001], &mut out);
        assert_eq!((refused, out.len()), (Err(StatusCode::BAD_REQUEST_TOO_LARGE), 0));
        assert_eq!(client.next_sequence(), 1);
    }

    #[test]
    fn any_changed_bit_of_a_secured_chunk_ends_the_connection() {
        let bytes = sent(&mut pair(true).0, 1, b"a value");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let outcome = receive(&mut pair(true).1, &changed, 0);
            assert!(outcome.is_err() || outcome.is_ok_and(|received| received.is_empty()), "byte {at}");
        }
    }

    #[test]
    fn a_gap_or_a_repetition_of_sequence_numbers_is_found() {
        for is_secured in [false, true] {
            let (mut client, mut server) = pair(is_secured);
            let first = sent(&mut client, 1, b"one");
            let _lost = sent(&mut client, 2, b"two");
            let third = sent(&mut client, 3, b"three");
            assert_eq!(receive(&mut server, &first, 0).unwrap().len(), 1);
            assert_eq!(receive(&mut server, &third, 0), Err(BAD_SEQUENCE_NUMBER_INVALID));
            let mut server = pair(is_secured).1;
            assert_eq!(receive(&mut server, &[first.clone(), first].concat(), 0), Err(BAD_SEQUENCE_NUMBER_INVALID));
        }
    }

    #[test]
    fn sequence_numbers_wrap_as_the_standard_lets_them() {
        let mut channel = pair(false).0;
        channel.send_sequence = SEQUENCE_WRAP_START - 1;
        assert_eq!((channel.take_sequence(), channel.take_sequence()), (SEQUENCE_WRAP_START, 1));
        for (last, next, expected) in [
            (u32::MAX, 0, Ok(())),
            (SEQUENCE_WRAP_START, 1_023, Ok(())),
            (SEQUENCE_WRAP_START, 1_024, Err(BAD_SEQUENCE_NUMBER_INVALID)),
            (SEQUENCE_WRAP_START - 1, 1, Err(BAD_SEQUENCE_NUMBER_INVALID)),
            (5, 6, Ok(())),
            (5, 5, Err(BAD_SEQUENCE_NUMBER_INVALID)),
        ] {
            channel.received_sequence = Some(last);
            assert_eq!(channel.check_sequence(next), expected, "{last} then {next}");
        }
    }

    #[test]
    fn an_abort_gives_up_the_message_and_the_next_one_comes() {
        for is_secured in [false, true] {
            let (mut client, mut server) = pair(is_secured);
            let mut bytes = Vec::new();
            client.send_chunk(*b"MSGC", 4, &[1; 100], &mut bytes).unwrap();
            client.send_chunk(*b"MSGA", 4, &0x80B9_0000_u32.to_le_bytes(), &mut bytes).unwrap();
            client.send_chunk(*b"MSGF", 5, b"next", &mut bytes).unwrap();
            let received = receive(&mut server, &bytes, 0).unwrap();
            let next = Received { request_id: 5, body: Ok(Bytes::from_static(b"next")) };
            assert_eq!(received, [Received { request_id: 4, body: Err(StatusCode(0x80B9_0000)) }, next]);
        }
    }

    #[test]
    fn chunks_of_two_messages_do_not_mix() {
        let (mut client, mut server) = pair(false);
        let mut bytes = Vec::new();
        client.send_chunk(*b"MSGC", 4, b"one", &mut bytes).unwrap();
        client.send_chunk(*b"MSGF", 5, b"two", &mut bytes).unwrap();
        assert_eq!(receive(&mut server, &bytes, 0), Err(BAD_SEQUENCE_NUMBER_INVALID));
    }

    #[test]
    fn messages_beyond_the_limits_end_the_connection() {
        for (message_bytes_max, chunk_count_max) in [(20_000, 100), (1 << 20, 3)] {
            let (mut client, _) = pair(false);
            let limits = TransportLimits { message_bytes_max, chunk_count_max, ..TransportLimits::default() };
            let mut server = Channel::new(&limits, LIMITS);
            server.set_token(7, Token { id: 1, keys: None }).unwrap();
            let bytes = sent(&mut client, 1, &vec![0; 30_000]);
            assert_eq!(receive(&mut server, &bytes, 0), Err(StatusCode::BAD_RESPONSE_TOO_LARGE));
        }
    }

    #[test]
    fn the_old_token_is_good_until_the_new_one_is_used() {
        let keys = |mine: u8, other: u8| Some(TokenKeys::derive(&[mine; 32], &[other; 32]));
        let (mut server, mut client) = pair(true);
        let old = [sent(&mut server, 1, b"one"), sent(&mut server, 2, b"two")];
        client.set_token(7, Token { id: 2, keys: keys(3, 4) }).unwrap();
        assert_eq!(receive(&mut client, &old[0], 0).unwrap().len(), 1);
        assert_eq!(receive(&mut client, &old[1], 0).unwrap().len(), 1);
        let late = sent(&mut server, 4, b"late");
        server.send_sequence -= 1;
        server.set_token(7, Token { id: 2, keys: keys(4, 3) }).unwrap();
        let new = sent(&mut server, 3, b"three");
        assert_eq!(receive(&mut client, &new, 0).unwrap().len(), 1);
        assert_eq!(receive(&mut client, &late, 0), Err(BAD_SECURE_CHANNEL_TOKEN_UNKNOWN));
        let renewed = client.set_token(8, Token { id: 3, keys: None });
        assert_eq!(renewed, Err(StatusCode::BAD_SECURE_CHANNEL_ID_INVALID));
    }
}
