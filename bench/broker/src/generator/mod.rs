//! The load generator: all clients of a scenario on one thread.
//!
//! | File | Its idea |
//! |---|---|
//! | `plan.rs` | who publishes to whom, how large, how fast |
//! | `load.rs` | the load: runs a plan, beside guests |
//! | `guests/` | connections beside the load, idle or hostile |
//! | `publisher.rs`, `subscriber.rs` | one client of the load |
//! | `acknowledgements.rs` | what a publisher has in flight, and what was acknowledged |
//! | `account.rs` | what a subscriber got, held against what was published |
//! | `latency.rs` | latency of every message |
//! | `stamp.rs` | what each message carries |
//! | `packet.rs`, `frame.rs` | the packets that are written and read |
//! | `engine.rs`, `poll.rs` | sockets and epoll |

pub(crate) mod account;
mod acknowledgements;
pub(crate) mod engine;
pub(crate) mod frame;
pub(crate) mod guests;
pub(crate) mod latency;
pub(crate) mod load;
pub(crate) mod packet;
pub(crate) mod plan;
pub(crate) mod poll;
mod publisher;
mod stamp;
mod subscriber;

#[cfg(test)]
mod tests;
