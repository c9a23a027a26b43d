//! One instance of a dataflow: records of partitions in, events for a destination out.
//!
//! It holds no queue. What is under way is bounded by the credit that it gives its partitions, and that credit comes
//! back when the destination has settled: a destination that is away is felt at the partitions.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | the mailbox |
//! | `effect.rs` | what it asks of the runtime |
//! | `program.rs` | the flow's configuration, compiled once to stages |
//! | `allowance.rs` | what one partition may have under way |
//! | `state.rs` | what a dataflow owns |
//! | `handle.rs` | what it does with each message |

mod allowance;
mod effect;
mod handle;
mod message;
mod program;
mod state;

pub use effect::{Effect, Settlement};
pub use message::Message;
pub use program::{CompileError, Config, KeyChoice, Program};
pub use state::{Dataflow, Limits};
