//! The reader: a process of its own that consumes everything from the hub and accounts for every data point.
//!
//! | File | Its idea |
//! |---|---|
//! | `process.rs` | the process: what it is told, what it says |
//! | `hub.rs` | every event of the hub, from the endpoint's own client |
//! | `payload.rs` | reads a message over its bytes |
//! | `accounts.rs` | every point that arrived, by tag and sequence number |
//! | `expectation.rs` | what must arrive, from the plant's own record |
//! | `judgement.rs` | holds one against the other |
//! | `latency.rs` | latency of every point |
//! | `compression.rs` | bytes of a point under zstd |

mod accounts;
mod compression;
mod expectation;
mod hub;
mod judgement;
mod latency;
mod payload;
pub(crate) mod process;

pub(crate) use accounts::{Rule, Totals, Window};
#[cfg(test)]
pub(crate) use judgement::Judgement;
pub use judgement::Points;
pub(crate) use latency::CurvePoint;
pub use latency::Quantiles;
pub(crate) use process::ReaderResult;
