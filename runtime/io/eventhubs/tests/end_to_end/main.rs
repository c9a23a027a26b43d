//! The lane against the local endpoint, over TCP, as its batchers use it.

#![expect(clippy::unwrap_used, reason = "what fails in a test's scaffold fails the test")]

mod batcher;
mod endings;
mod hub;
mod identity;
mod lane;
mod outcomes;
