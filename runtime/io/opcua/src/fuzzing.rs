//! Entry points for fuzzing: whatever bytes a server sends, nothing panics and memory stays within the limits.

use bytes::Bytes;
use opcua_types::{ContextOwned, DecodingOptions, NamespaceMap};

use crate::certificate::Certificate;
use crate::channel::{Channel, Token, TokenKeys};
use crate::config::TransportLimits;
use crate::frame::{Offer, ReadBuffer, SendLimits, read_acknowledge, read_error};
use crate::opening;
use crate::response::{self, Service};

const CHANNEL_ID: u32 = 1;
const TOKEN_ID: u32 = 1;

/// Every service whose answer is read.
const SERVICES: [Service; 10] = [
    Service::CreateSession,
    Service::ActivateSession,
    Service::CloseSession,
    Service::Read,
    Service::CreateSubscription,
    Service::CreateMonitoredItems,
    Service::DeleteSubscriptions,
    Service::Publish,
    Service::Republish,
    Service::TransferSubscriptions,
];

/// Reads `bytes` as a stream of frames over a channel with number 1 and token 1, in reads of at most `read_bytes_max`;
/// answers how many messages came to their end before the first mistake, and that mistake's code.
pub fn read_stream(bytes: &[u8], is_secured: bool, read_bytes_max: usize) -> (usize, Option<u32>) {
    let limits = TransportLimits { message_bytes_max: 1 << 20, chunk_count_max: 64, ..TransportLimits::default() };
    let send_limits = SendLimits { chunk_bytes_max: 8_192, message_bytes_max: 0, chunk_count_max: 0 };
    let mut channel = Channel::new(&limits, send_limits);
    let keys = is_secured.then(|| TokenKeys::derive(&[1; 32], &[2; 32]));
    channel.set_token(CHANNEL_ID, Token { id: TOKEN_ID, keys }).expect("the first token is taken");
    let mut buffer = ReadBuffer::new(8_192);
    let (mut messages, mut rest) = (0, bytes);
    while !rest.is_empty() {
        let spare = buffer.spare();
        let count = rest.len().min(spare.len()).min(read_bytes_max.max(1));
        spare[..count].copy_from_slice(&rest[..count]);
        buffer.filled(count);
        rest = &rest[count..];
        loop {
            let frame = match buffer.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(code) => return (messages, Some(code.0)),
            };
            match channel.receive(&frame) {
                Ok(received) => messages += usize::from(received.is_some()),
                Err(code) => return (messages, Some(code.0)),
            }
        }
    }
    (messages, None)
}

/// Reads `bytes` as the answer to each service; answers for how many they are one.
pub fn read_answers(bytes: &[u8]) -> usize {
    let options = DecodingOptions {
        max_string_length: 1 << 16,
        max_byte_string_length: 1 << 16,
        max_array_length: 10_000,
        ..DecodingOptions::default()
    };
    let context = ContextOwned::new_default(NamespaceMap::new(), options);
    let (context, body) = (context.context(), Bytes::copy_from_slice(bytes));
    let opened = response::read_opened(&body, &context).is_ok();
    let endpoints = response::read_endpoints(&body, &context).is_ok();
    let answers = SERVICES.iter().filter(|service| response::read(**service, &body, &context).is_ok()).count();
    answers + usize::from(opened) + usize::from(endpoints)
}

/// Reads `bytes` as what comes while a connection is opened: Acknowledge, Error, OpenSecureChannel without security, a
/// certificate; answers for how many they are one.
pub fn read_opening(bytes: &[u8]) -> usize {
    let offer = Offer { chunk_bytes_max: 65_536, message_bytes_max: 1 << 26, chunk_count_max: 4_096 };
    let acknowledge = read_acknowledge(bytes, &offer).is_ok();
    let error = read_error(bytes).is_good();
    let opened = opening::open(bytes, None).is_ok();
    let certificate = Certificate::read(bytes).is_ok();
    [acknowledge, error, opened, certificate].into_iter().filter(|is_one| *is_one).count()
}
