//! One broker partition: topics, subscriptions, Retained Messages, queues, cursors.

mod effect;
mod message;

pub use effect::{Effect, Report};
pub use message::{FlowOutcome, Message};
