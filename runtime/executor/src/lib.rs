//! Pinned executors for the actors, lanes for the SDKs, and what keeps both honest.
//!
//! Each core of a profile is one thread with one glommio executor that hosts one [`Core`], the actors that
//! the profile placed there, and *shells*, the tasks that wait on sockets and files for them. The core's
//! loop gives the actors a turn, and parks until a mailbox's doorbell, a shell's bell or the next timeout.
//! Vendors' SDKs run in [`Lane`]s (a pinned tokio `current_thread` runtime); work that would stall a core
//! goes to a [`Blocking`] pool.
//!
//! | File | Its idea |
//! |---|---|
//! | `preflight.rs` | what must hold before the first executor, told with the remedy |
//! | `executors.rs` | starts the cores, hands their errors back, joins them |
//! | `core.rs` | what a core hosts, and what it gets from us |
//! | `core_loop.rs` | turn, panic, stop, park |
//! | `sleeper.rs`, `gather.rs` | a core's sleep past glommio, and whether a busy one sleeps blindly |
//! | `timers.rs` | two timers a core: the next thing due, and the guard behind it |
//! | `shells.rs` | tasks beside the actors: counted, timed, their panics contained |
//! | `local_bell.rs`, `local_channel.rs` | wakes the loop from its own thread, and carries values to it, without atomics |
//! | `supervisor.rs` | what follows a panic; the one place that can stop everything |
//! | `watchdog.rs` | waits for the cores to end, and wakes one that sleeps on work |
//! | `stop.rs` | the cooperative stop and its time limit |
//! | `stats.rs` | figures that any thread may read |
//! | `lane.rs`, `blocking.rs` | threads that are no core |
//! | `clock.rs`, `affinity.rs` | time and processors |
//!
//! **Pitfalls of glommio 0.9 that this crate guards.** It can park although a task is runnable: only
//! queues without a latency promise are used, the preempt timer is 10 ms, each core's timer comes at least
//! once a heartbeat, a guard timer stands behind it, and the watchdog wakes what still sleeps; each such
//! event is counted ([`ExecutorStats::stranding_count`]). A panic in a task ends the executor: every turn
//! and every shell's poll is caught. Cancelled tasks leak and tasks alive at the end are never dropped: nothing
//! is cancelled, and the loop ends after the last shell. Errors at start surface only at join: the executor
//! is made on a thread of ours, which reports. A missing io_uring or a small memlock limit panics: the
//! preflight says so first. A panic in its blocking pool hangs the caller: [`Blocking`] is ours.

mod affinity;
mod blocking;
mod clock;
mod core;
mod core_loop;
mod executors;
mod gather;
mod lane;
mod local_bell;
mod local_channel;
mod preflight;
mod shells;
mod sleeper;
mod stats;
mod stop;
mod supervisor;
mod timers;
mod watchdog;

pub use affinity::{allowed_cpus, pin_current_thread};
pub use blocking::{Blocking, BlockingError, BlockingSpec};
pub use clock::Clock;
pub use core::{BoxError, Core, CoreContext, CoreFactory, LocalFuture, Turn};
pub use executors::{ExecutorSpec, Executors, StartError};
pub use lane::{Lane, LaneContext, LaneError, LaneSpec};
pub use local_bell::LocalBell;
pub use local_channel::{LocalReceiver, LocalSender, local_channel};
pub use preflight::{MachineFacts, PreflightError, preflight};
pub use shells::ShellLimit;
pub use sleeper::Sleep;
pub use stats::{ExecutorStats, Stall};
pub use stop::{Left, StopHandle, StopReport, StopToken};
pub use supervisor::{Decision, EndProcess, PanicReport, Supervisor};
