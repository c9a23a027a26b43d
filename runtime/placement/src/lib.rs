//! Profile + machine facts -> a checked plan of actors on cores.
//!
//! Reading a profile and the machine's facts touches files; everything between them and the plan is pure.
//!
//! | File | Its idea |
//! |---|---|
//! | `profile/` | the checked types, one file for a table or a few: keys, ranges, what must hold between them |
//! | `source.rs`, `shipped.rs` | the texts of a profile: `inherit`, the command line, the profiles in the binary |
//! | `reader.rs`, `finding.rs` | typed keys out of texts; what is wrong, with line, column and remedy |
//! | `machine/` | what the kernel says: processors, cgroup, limits |
//! | `plan/` | the placement: resolve, fold, warn, add up the memory; as a table and as a drawing |

mod finding;
mod machine;
mod plan;
mod profile;
mod reader;
mod shipped;
mod source;

pub use finding::{Finding, Position, ProfileError};
pub use machine::{Cpu, MachineError, MachineFacts};
pub use plan::{
    Fold, MemoryBound, Plan, PlanError, PlannedActor, PlannedCore, PlannedExecutor, PlannedLane, SiteCounts,
    TooFewCores, Warning,
};
pub use profile::{
    BrokerProfile, Commit, Compression, CoreClass, CoresLeft, DataflowProfile, EgressProfile, ExecutorProfile,
    LaneKind, LogEngine, LogProfile, MailboxProfile, MemoryCeiling, MemoryProfile, OpcuaProfile, Profile, ProfileCore,
    QueueWhenFull, Selector, TelemetryProfile,
};
pub use reader::Key;
pub use telemetry::ActorKind;
