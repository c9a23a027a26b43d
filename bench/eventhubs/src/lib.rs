//! A local Azure Event Hubs: an AMQP 1.0 server that the official SDKs produce to and consume from.
//!
//! | Module | Idea |
//! |---|---|
//! | [`codec`] | AMQP on the wire, written for this endpoint and independent of the SDKs' codecs |
//! | [`options`] | everything that can be chosen when the endpoint starts |
//! | [`server`] | listeners, and a task for each connection |
//! | [`reader`] | a client that reads every partition: the bench's independent witness |
//! | [`fault`] | what a delivery may meet instead of being accepted |
//! | [`token`] | shared access signatures |
//! | [`selector`] | where a receiver starts |
//! | [`partition_hash`] | which partition a key belongs to |
//! | [`event`], `event_file` | one stored event, and the file that keeps a copy |
//! | [`partition`], [`namespace`] | events in order, and the hubs they lie in |
//! | `connection` | one connection, without its socket |
//! | `control` | the control port |

pub mod codec;
mod connection;
mod control;
pub mod event;
pub mod event_file;
pub mod fault;
pub mod namespace;
pub mod options;
pub mod partition;
pub mod partition_hash;
pub mod reader;
pub mod selector;
pub mod server;
mod tls;
pub mod token;
