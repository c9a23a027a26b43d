//! The whole pipeline on virtual time, from a seed, with faults: what production runs, between models of the world.
//!
//! Hosts and actors are those of the binary. Servers, clients, hubs, logs, sockets and the ways between cores are models here,
//! and one die decides everything, so a seed is a run. After every step the conservation law is checked; when all has drained,
//! a judge who knows only what went in and what came out says whether anything is missing, twice, or out of order.
//!
//! `SEED=n cargo nextest run -p simulator` replays one seed; a failure prints its own. `SIMULATOR_FIRST_SEED` and `SIMULATOR_SEEDS`
//! choose others ([`seeds`]).
//!
//! | File | Its idea |
//! |---|---|
//! | `simulator.rs` | the loop: what happens next, and what follows |
//! | `happening.rs` | what may happen, and to whom |
//! | `ending.rs` | everybody gets well, everything drains or stops |
//! | `options.rs` | what a run is told, what it saw, which seeds are run |
//! | `build.rs` | what a seed makes |
//! | `core.rs` | one core: a host and what it asks of the world |
//! | `plc.rs` | an OPC UA server with its plant, and the transport |
//! | `client.rs` | an MQTT client over all of its connections |
//! | `outbox.rs`, `inbox.rs` | what it publishes, and what it is sent |
//! | `message.rs`, `wire.rs`, `from_server.rs` | its numbered messages, and its bytes |
//! | `kept.rs`, `will.rs` | what it may believe of its session, and of its Will Messages |
//! | `cut.rs` | at which packet its connection breaks |
//! | `sockets.rs`, `network.rs` | their sockets, and what happens on them |
//! | `hub.rs` | an Event Hub and the lane to it |
//! | `fault.rs`, `trouble.rs` | what goes wrong outside, and how it is caused |
//! | `mutation.rs`, `session_mutation.rs` | damage between actors that must be found |
//! | `invariants.rs`, `acceptance.rs`, `settlement.rs` | what must hold after every step |
//! | `session_watch.rs` | which session a connection has |
//! | `judge.rs`, `judge_sessions.rs` | what must hold at the end |
//! | `coverage.rs` | which effects occurred |
//! | `calendar.rs`, `dice.rs` | time and chance |

mod acceptance;
mod build;
mod calendar;
mod client;
mod core;
mod coverage;
mod cut;
mod dice;
mod ending;
mod fault;
mod from_server;
mod happening;
mod hub;
mod inbox;
mod invariants;
mod judge;
mod judge_sessions;
mod kept;
mod message;
mod mutation;
mod network;
mod options;
mod outbox;
mod plc;
mod session_mutation;
mod session_watch;
mod settlement;
mod simulator;
mod sockets;
mod trouble;
mod will;
mod wire;

pub use coverage::{EffectCounts, EffectKind};
pub use cut::{Cut, CutCounts, PacketKind, Way};
pub use dice::Dice;
pub use fault::{Fault, FaultCounts};
pub use mutation::Mutation;
pub use options::{Options, Outcome, seeds};
pub use simulator::Simulator;
