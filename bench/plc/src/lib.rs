//! The simulated plant: OPC UA servers whose values say which change made them.
//!
//! | Module | Idea |
//! |---|---|
//! | [`value`] | a value carries tag and sequence number within the published size |
//! | [`names`] | what assets, tags and NodeIds are called |
//! | [`scenario`] | the `[plant]` table of a scenario file |
//! | [`truth`] | the lines in which the plant tells what it made |
//! | [`options`] | everything that can be chosen when a plant starts |
//! | [`plant`] | a running plant and what can be done to it |
//! | `tags` | which tag changes when, and to what: pure |
//! | `server`, `endpoint`, `address_space` | one OPC UA server on its thread, its limits, its nodes |
//! | `front`, `sniffer` | a TCP front that can fail, and reads along |
//! | `control` | the control port |
//!
//! Without the feature `server`, which is on by default, only the first four are there.

pub mod names;
pub mod scenario;
pub mod truth;
pub mod value;

#[cfg(feature = "server")]
mod address_space;
#[cfg(feature = "server")]
mod clock;
#[cfg(feature = "server")]
mod control;
#[cfg(feature = "server")]
mod endpoint;
#[cfg(feature = "server")]
mod front;
#[cfg(feature = "server")]
pub mod options;
#[cfg(feature = "server")]
pub mod plant;
#[cfg(feature = "server")]
mod record;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod sniffer;
#[cfg(feature = "server")]
mod tags;
#[cfg(feature = "server")]
mod transport;
#[cfg(feature = "server")]
mod truth_file;
