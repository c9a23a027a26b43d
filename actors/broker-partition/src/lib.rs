//! One broker partition: topics, subscriptions, Retained Messages, queues, cursors; and the in-memory log beside it.
//!
//! A publication passes through `intake` (memory, log), becomes visible once it is durable, and is held once in `records`
//! however many flows and subscribers have it in their queues.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | the mailbox |
//! | `effect.rs` | what it asks of the runtime |
//! | `limits.rs` | what it may hold, and what it does at each limit |
//! | `state.rs` | what it owns, and its accounts |
//! | `handle.rs` | what it does with each message: a step, and its end |
//! | `publishing.rs` | from a publisher's batch to durable records: budget, log, answers |
//! | `intake.rs` | publications before anybody may see them |
//! | `routing.rs` | one visible record: who gets it |
//! | `subscription_index.rs`, `node.rs`, `level_table.rs` | which subscribers and flows a Topic Name goes to |
//! | `subscription.rs` | a Subscription in 8 bytes |
//! | `records.rs`, `slab.rs` | records in memory, each once, counted |
//! | `flowing.rs`, `flow_cursor.rs` | flows: credit, settlement by exact offsets, restarts |
//! | `subscribing.rs` | Subscriptions: made, replaced, ended |
//! | `shared_groups.rs` | Shared Subscriptions: which member gets a record |
//! | `subscriber.rs`, `sending.rs` | one session's queue; credit, deliveries, expiry |
//! | `presence.rs` | subscribers as their connections come and go, and at their session's end |
//! | `retained.rs` | Retained Messages, found by filter in topic order |
//! | `sessions.rs`, `attaching.rs` | the home of sessions: take-over, rest, expiry, Wills |
//! | `memory_log.rs` | the partition log in memory |

mod attaching;
mod effect;
mod flow_cursor;
mod flowing;
mod handle;
mod intake;
mod level_table;
mod limits;
mod memory_log;
mod message;
mod node;
mod presence;
mod publishing;
mod records;
mod retained;
mod routing;
mod sending;
mod sessions;
mod shared_groups;
mod slab;
mod state;
mod subscriber;
mod subscribing;
mod subscription;
mod subscription_index;
#[cfg(test)]
mod testing;

pub use effect::{Effect, Report};
pub use limits::{PartitionLimits, QueueWhenFull};
pub use memory_log::MemoryLog;
pub use message::{FlowOutcome, Message};
pub use state::{BrokerPartition, Cursor, CursorLedger, FlowSource, PartitionConfig};
