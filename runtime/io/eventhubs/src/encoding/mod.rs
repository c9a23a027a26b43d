//! An event as an AMQP message, and a batch of them as one transfer.

mod envelope;
mod event;
mod publish_properties;

pub(crate) use envelope::{BATCH_MESSAGE_FORMAT, Envelope};
pub use event::{TOPIC_NAME_PROPERTY, encode_event};
