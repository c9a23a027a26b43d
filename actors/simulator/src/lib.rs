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
//! | `client.rs`, `wire.rs` | MQTT clients and their bytes |
//! | `sockets.rs`, `network.rs` | their sockets, and what happens on them |
//! | `hub.rs` | an Event Hub and the lane to it |
//! | `fault.rs`, `trouble.rs` | what goes wrong outside, and how it is caused |
//! | `mutation.rs` | damage between actors that must be found |
//! | `invariants.rs`, `acceptance.rs`, `settlement.rs` | what must hold after every step |
//! | `judge.rs` | what must hold at the end |
//! | `coverage.rs` | which effects occurred |
//! | `calendar.rs`, `dice.rs` | time and chance |

mod acceptance;
mod build;
mod calendar;
mod client;
mod core;
mod coverage;
mod dice;
mod ending;
mod fault;
mod happening;
mod hub;
mod invariants;
mod judge;
mod mutation;
mod network;
mod options;
mod plc;
mod settlement;
mod simulator;
mod sockets;
mod trouble;
mod wire;

pub use coverage::{EffectCounts, EffectKind};
pub use dice::Dice;
pub use fault::{Fault, FaultCounts};
pub use mutation::Mutation;
pub use options::{Options, Outcome, seeds};
pub use simulator::Simulator;
