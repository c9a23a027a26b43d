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
//! | `batch.rs` | a batch while it fills, and once it is closed |
//! | `hub_partition.rs` | the queue of one hub partition, and its one batch under way |
//! | `settlement.rs` | which records a batch settles |
//! | `retry_delay.rs` | how long to wait before another attempt, with seeded jitter |
//! | `rate_cap.rs` | staying within throughput units |
//! | `route.rs` | whether there is a client to send with |
//! | `state.rs` | what a batcher owns |
//! | `handle.rs` | what it does with each message |
//! | `sending.rs` | which batch goes next |
//! | `settling.rs` | what an outcome means for its batch |

mod batch;
mod effect;
mod event_size;
mod handle;
mod hub_partition;
mod hub_partition_hash;
mod limits;
mod message;
mod rate_cap;
mod retry_delay;
mod route;
mod sending;
mod settlement;
mod settling;
mod state;
#[cfg(test)]
mod testing;

pub use effect::{Effect, Report, Send, Settlement};
pub use event_size::{BATCH_OVERHEAD_BYTES, encoded_bytes_max};
pub use hub_partition_hash::hub_partition_of;
pub use limits::Limits;
pub use message::{Failure, Message, Outcome};
pub use state::EgressBatcher;
