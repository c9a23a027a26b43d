//! What operators see: histograms, counters, ledgers, stalls, and the lines that the control socket speaks.
//!
//! | File | Its idea |
//! |---|---|
//! | `hop_histograms.rs` | one HDR histogram for each hop of a value's way, merged over cores without loss |
//! | `core_meter.rs` | what one core's loop measures while it runs its actors |
//! | `snapshot.rs` | everything that is known at one moment, as JSON |
//! | `control.rs` | requests and answers of the control socket, versioned JSON lines |
//!
//! Nothing here is shared between threads: a core measures for itself, and answers when it is asked.

mod control;
mod core_meter;
mod hop_histograms;
mod snapshot;

pub use control::{
    CONTROL_LINE_BYTES_MAX, CONTROL_VERSION, ControlAnswer, ControlError, ControlRequest, Reloaded, Verb,
};
pub use core_meter::{ActorKind, ActorUse, CoreMeter, RecentMessage};
pub use hop_histograms::{HopCounts, HopHistograms, HopSummary};
pub use snapshot::{
    ActorSnapshot, CoreSnapshot, ExecutorSnapshot, KindUse, LaneSnapshot, LedgerSnapshot, NodeSnapshot,
    ProcessSnapshot, StallSnapshot,
};
