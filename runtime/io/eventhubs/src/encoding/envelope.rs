//! A batch as one transfer: each event a data section of an envelope that holds nothing else.

use azure_core_amqp::AmqpMessage;
use azure_core_amqp::message::AmqpMessageBody;
use contract::Event;

use super::event::encode_event;

/// The message-format of a transfer whose data sections are messages (AMQP 1.0 §2.8.11).
pub(crate) const BATCH_MESSAGE_FORMAT: u32 = 0x8001_3700;

/// The encoded events of one batch.
#[derive(Debug)]
pub(crate) struct Envelope {
    events: Vec<Vec<u8>>,
}

impl Envelope {
    pub(crate) fn new(events: &[Event]) -> Self {
        Self { events: events.iter().map(encode_event).collect() }
    }

    /// Bytes of the whole message.
    pub(crate) fn encoded_bytes(&self) -> usize {
        // The header of a data section, then binary with 8 or, from 255 bytes on, 32 bits of length.
        self.events.iter().map(|event| event.len() + if event.len() < 255 { 5 } else { 8 }).sum()
    }

    pub(crate) fn into_message(self) -> AmqpMessage {
        AmqpMessage::builder().with_body(AmqpMessageBody::Binary(self.events)).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_what_the_sdk_writes() {
        for events in [vec![vec![7; 1]], vec![vec![7; 254], vec![7; 255], vec![7; 256]], vec![vec![7; 90_000]; 3]] {
            let envelope = Envelope { events };
            let bytes = envelope.encoded_bytes();
            assert_eq!(AmqpMessage::serialize(&envelope.into_message()).unwrap().len(), bytes);
        }
    }
}
