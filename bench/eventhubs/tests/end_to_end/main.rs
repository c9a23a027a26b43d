//! The endpoint as a process, met by the official Rust SDK, by our reader, and by raw bytes.

#![expect(clippy::unwrap_used, reason = "what fails in a test's scaffold fails the test")]

mod consume;
mod faults;
mod limits;
mod process;
mod produce;
mod reader;
mod sdk;
mod tls;
mod wire;
