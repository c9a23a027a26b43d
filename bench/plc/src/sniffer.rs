//! Reads along with an unencrypted OPC UA connection: which messages were published, which acknowledged.
//!
//! The bytes of one direction are pushed in as they pass. Only the beginning of each message is kept, so that a large
//! Publish response costs no more than a small one. What cannot be read is counted and skipped; framing continues at
//! the next chunk (OPC UA Part 6 §6.7.2).

use std::io::Cursor;

use opcua::types::{
    BinaryDecodable, ContextOwned, DateTime, DecodingOptions, NamespaceMap, NodeId, ObjectId, RequestHeader,
    ResponseHeader, StatusCode, SubscriptionAcknowledgement,
};

/// Beginning of a message that is kept: room for the headers and 4,000 acknowledgements.
const HEAD_BYTES_MAX: usize = 32 << 10;
const CHUNK_HEADER_BYTES: usize = 8;
/// `SecureChannelId`, `TokenId`, `SequenceNumber` and `RequestId` of a MSG chunk, after its header.
const SYMMETRIC_HEADER_BYTES: usize = 16;
/// Larger than any chunk that the server accepts: beyond it the connection does not speak OPC UA.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// What a message said that is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A Publish response.
    Publish {
        /// Subscription it belongs to.
        subscription: u32,
        /// Sequence number of its NotificationMessage.
        sequence: u32,
        /// Its `PublishTime`, in units of 100 ns since 1601.
        publish_ticks: i64,
        /// Values in its first DataChangeNotification.
        values: u32,
    },
    /// An acknowledgement in a Publish request.
    Acknowledgement {
        /// Subscription it belongs to.
        subscription: u32,
        /// Sequence number that is acknowledged.
        sequence: u32,
    },
}

/// One direction of one connection.
pub(crate) struct Sniffer {
    /// Beginning of the current chunk.
    head: Vec<u8>,
    /// Bytes of the current chunk still to come; `None` until its header is complete.
    remaining: Option<usize>,
    /// The current chunk continues a message whose beginning was read.
    continues: bool,
    unread_count: u64,
    /// The framing is lost: nothing more can be read.
    is_lost: bool,
    context: ContextOwned,
}

impl Sniffer {
    /// A sniffer at the beginning of a connection.
    pub(crate) fn new() -> Self {
        Self {
            head: Vec::new(),
            remaining: None,
            continues: false,
            unread_count: 0,
            is_lost: false,
            context: ContextOwned::new_default(NamespaceMap::new(), DecodingOptions::default()),
        }
    }

    /// Takes the next bytes of the stream and adds what they said to `seen`, in order.
    pub(crate) fn push(&mut self, mut bytes: &[u8], seen: &mut Vec<Seen>) {
        while !bytes.is_empty() && !self.is_lost {
            let wanted = self.remaining.unwrap_or_else(|| CHUNK_HEADER_BYTES - self.head.len());
            let taken = wanted.min(bytes.len());
            let kept = taken.min(HEAD_BYTES_MAX - self.head.len());
            self.head.extend_from_slice(&bytes[..kept]);
            bytes = &bytes[taken..];
            match self.remaining {
                Some(remaining) => {
                    self.remaining = Some(remaining - taken);
                    if remaining == taken {
                        self.end_chunk(seen);
                    }
                }
                None if self.head.len() == CHUNK_HEADER_BYTES => self.begin_chunk(),
                None => {}
            }
        }
    }

    /// Messages that should have been readable and were not.
    pub(crate) fn unread_count(&self) -> u64 {
        self.unread_count
    }

    fn begin_chunk(&mut self) {
        let size: [u8; 4] = self.head[4..8].try_into().expect("the header has 8 bytes");
        match usize::try_from(u32::from_le_bytes(size)) {
            Ok(size) if (CHUNK_HEADER_BYTES + 1..=CHUNK_BYTES_MAX).contains(&size) => {
                self.remaining = Some(size - CHUNK_HEADER_BYTES);
            }
            Ok(_) | Err(_) => {
                self.is_lost = true;
                self.unread_count += 1;
            }
        }
    }

    fn end_chunk(&mut self, seen: &mut Vec<Seen>) {
        let head = std::mem::take(&mut self.head);
        self.remaining = None;
        let is_message = head.starts_with(b"MSG");
        let is_first = !self.continues;
        if is_message {
            self.continues = head[3] == b'C';
        }
        let body_start = CHUNK_HEADER_BYTES + SYMMETRIC_HEADER_BYTES;
        if is_message && is_first && head.len() > body_start && self.read(&head[body_start..], seen).is_err() {
            self.unread_count += 1;
        }
        self.head = head;
        self.head.clear();
    }

    fn read(&self, body: &[u8], seen: &mut Vec<Seen>) -> Result<(), opcua::types::Error> {
        let context = self.context.context();
        let mut stream = Cursor::new(body);
        let kind = NodeId::decode(&mut stream, &context)?;
        if kind == ObjectId::PublishRequest_Encoding_DefaultBinary {
            RequestHeader::decode(&mut stream, &context)?;
            let acknowledgements = <Option<Vec<SubscriptionAcknowledgement>>>::decode(&mut stream, &context)?;
            seen.extend(acknowledgements.into_iter().flatten().map(|acknowledgement| Seen::Acknowledgement {
                subscription: acknowledgement.subscription_id,
                sequence: acknowledgement.sequence_number,
            }));
        } else if kind == ObjectId::PublishResponse_Encoding_DefaultBinary {
            let header = ResponseHeader::decode(&mut stream, &context)?;
            if header.service_result == StatusCode::Good {
                let subscription = u32::decode(&mut stream, &context)?;
                <Option<Vec<u32>>>::decode(&mut stream, &context)?;
                bool::decode(&mut stream, &context)?;
                let sequence = u32::decode(&mut stream, &context)?;
                let publish_ticks = DateTime::decode(&mut stream, &context)?.checked_ticks();
                let values = self.first_value_count(&mut stream)?;
                seen.push(Seen::Publish { subscription, sequence, publish_ticks, values });
            }
        }
        Ok(())
    }

    /// Number of values of the first notification; 0 where it holds none.
    fn first_value_count(&self, stream: &mut Cursor<&[u8]>) -> Result<u32, opcua::types::Error> {
        const BODY_IS_BYTES: u8 = 1;
        let context = self.context.context();
        if i32::decode(stream, &context)? <= 0 {
            return Ok(0);
        }
        let kind = NodeId::decode(stream, &context)?;
        let is_data_change = kind == ObjectId::DataChangeNotification_Encoding_DefaultBinary;
        if !is_data_change || u8::decode(stream, &context)? != BODY_IS_BYTES {
            return Ok(0);
        }
        i32::decode(stream, &context)?;
        Ok(u32::try_from(i32::decode(stream, &context)?).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A chunk of the kind `kind`, such as `MSGF`, with the symmetric header before `body`.
    fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(CHUNK_HEADER_BYTES + SYMMETRIC_HEADER_BYTES + body.len()).unwrap();
        [kind, &size.to_le_bytes(), &[0; SYMMETRIC_HEADER_BYTES], body].concat()
    }

    /// A Publish request (OPC UA Part 4 §5.13.5) that acknowledges `sequences` of Subscription 7.
    fn publish_request(sequences: &[u32]) -> Vec<u8> {
        let mut body = vec![1, 0];
        body.extend(826_u16.to_le_bytes());
        // Authentication token, timestamp, request handle, diagnostics, audit entry, timeout hint, additional header.
        body.extend([0, 0]);
        body.extend([0; 8 + 4 + 4]);
        body.extend((-1_i32).to_le_bytes());
        body.extend([0; 4 + 3]);
        body.extend(u32::try_from(sequences.len()).unwrap().to_le_bytes());
        for sequence in sequences {
            body.extend(7_u32.to_le_bytes());
            body.extend(sequence.to_le_bytes());
        }
        body
    }

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<Seen>, u64) {
        let mut sniffer = Sniffer::new();
        let mut seen = Vec::new();
        pieces.for_each(|piece| sniffer.push(&piece, &mut seen));
        (seen, sniffer.unread_count())
    }

    #[test]
    fn what_follows_an_unreadable_message_is_read() {
        let stream = [chunk(b"MSGF", b"\x07nonsense"), chunk(b"MSGF", &publish_request(&[3, 4]))].concat();
        let acknowledged = |sequence| Seen::Acknowledgement { subscription: 7, sequence };
        assert_eq!(read([stream].into_iter()), (vec![acknowledged(3), acknowledged(4)], 1));
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_reads_alike(piece_bytes in 1_usize..200, sequences in prop::collection::vec(any::<u32>(), 0..9)) {
            let stream = [
                chunk(b"OPNF", &[0; 40]),
                chunk(b"MSGC", &publish_request(&sequences)),
                chunk(b"MSGF", &[0; 60]),
                chunk(b"MSGF", &publish_request(&[9])),
            ]
            .concat();
            let (seen, unread_count) = read(stream.chunks(piece_bytes).map(<[u8]>::to_vec));
            prop_assert_eq!(unread_count, 0);
            let read: Vec<u32> = seen.iter().map(|seen| match seen {
                Seen::Acknowledgement { sequence, .. } | Seen::Publish { sequence, .. } => *sequence,
            }).collect();
            prop_assert_eq!(read, [sequences.as_slice(), &[9]].concat());
        }

        #[test]
        fn no_bytes_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8), body in prop::collection::vec(any::<u8>(), 0..80)) {
            read(pieces.into_iter());
            read([chunk(b"MSGF", &body)].into_iter());
        }
    }
}
