//! Which effect becomes whose message: the actors of one core, hosted, with everything between them.
//!
//! The binary and the simulator both run [`Host`]s; what differs is their [`Surroundings`]: sockets, lanes and channels of
//! cores there, a virtual network and virtual time here.
//!
//! | File | Its idea |
//! |---|---|
//! | `address.rs` | which actor is meant |
//! | `envelope.rs` | a message on its way to an actor, or to a host |
//! | `topology.rs` | which actor lives on which core |
//! | `surroundings.rs` | what a host needs of the world around it |
//! | `routing.rs` | where an effect goes: next to us, another core, a shell |
//! | `opcua.rs`, `connection.rs`, `partition.rs`, `flow.rs`, `batcher.rs` | one actor's effects, translated |
//! | `host.rs`, `host/stages.rs` | the actors of one core, and their steps; the stages of its stop |
//! | `connections.rs` | the MQTT connections of one core, by slot |
//! | `alarms.rs` | whose timeout is next |
//! | `stopping.rs` | the orderly end, stage by stage over all cores |

mod address;
mod alarms;
mod batcher;
mod connection;
mod connections;
mod envelope;
mod flow;
mod host;
mod opcua;
mod partition;
mod routing;
mod stopping;
mod surroundings;
mod topology;

pub use address::{Address, FlowAddress, ListenerIndex};
pub use connections::ConnectionCounts;
pub use envelope::{Envelope, HostMessage};
pub use host::{Host, HostParts, HostedPartition, Turn};
pub use stopping::StopStage;
pub use surroundings::{ActorEffect, LaneRequest, PartitionLog, Report, ShellRequest, SocketRequest, Surroundings};
pub use topology::Topology;
