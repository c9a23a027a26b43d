//! One instance of a dataflow: records of partitions in, events for a destination out.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | the mailbox |
//! | `effect.rs` | what it asks of the runtime |

mod effect;
mod message;

pub use effect::{Effect, Settlement};
pub use message::Message;
