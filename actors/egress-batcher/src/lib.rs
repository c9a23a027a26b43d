//! Event Hubs batches: events in, batches out, one under way for each hub partition, settled back to the dataflow.
//!
//! An event's key picks its hub partition with the service's own hash, so one batch under way for each hub partition
//! keeps the order of every key, also through retries, and the window is the number of partitions. Events without a
//! key go wherever a partition is free.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | the mailbox |
//! | `effect.rs` | what it asks of the runtime |
//! | `limits.rs` | its limits, and what each costs |
//! | `hub_partition_hash.rs` | which hub partition a key belongs to |
//! | `event_size.rs` | the most bytes that an event takes on the wire |

mod effect;
mod event_size;
mod hub_partition_hash;
mod limits;
mod message;

pub use effect::{Effect, Report, Send, Settlement};
pub use event_size::{BATCH_OVERHEAD_BYTES, encoded_bytes_max};
pub use hub_partition_hash::hub_partition_of;
pub use limits::Limits;
pub use message::{Failure, Message, Outcome};
