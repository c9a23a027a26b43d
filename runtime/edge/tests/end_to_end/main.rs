//! The shipped binary as a process, over real sockets, between processes that know nothing of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod faults;
mod listeners;
mod pipeline;
mod plant;
mod process;
mod public_clients;
mod public_servers;
mod sessions;
