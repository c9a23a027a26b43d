//! Event Hubs batches: events in, batches out, one under way for each hub partition, settled back to the dataflow.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | the mailbox |
//! | `effect.rs` | what it asks of the runtime |
//! | `limits.rs` | its limits, and what each costs |

mod effect;
mod limits;
mod message;

pub use effect::{Effect, Report, Send, Settlement};
pub use limits::Limits;
pub use message::{Failure, Message, Outcome};
