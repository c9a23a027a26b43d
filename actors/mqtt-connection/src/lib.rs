//! One MQTT client: its packets, its in-flight window.

mod effect;
mod message;

pub use effect::{Effect, EndReason};
pub use message::Message;
