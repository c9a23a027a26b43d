//! What a host needs of the world around it.

use access::Credentials;
use bytes::Bytes;
use contract::{
    ConnectionAddress, CoreIndex, FlowIndex, LogRequest, LogResponse, Observation, Publication, SourceIndex,
};
use mqtt_connection::AuthenticationStep;

use crate::{Address, Envelope};

/// The world around a host: other cores, shells, telemetry. Its methods return at once.
pub trait Surroundings {
    /// Brings an envelope to the host of another core, after those sent there before. It is not refused: where the channel
    /// is full it waits on this side, bounded by what the actors may have under way.
    fn send(&mut self, core: CoreIndex, envelope: Envelope);

    /// Gives work to a shell of this core. It is not refused: what actors ask for is bounded by their own limits.
    fn request(&mut self, request: ShellRequest);

    /// Sees every envelope that an actor of this core sends, also to its neighbours. A simulation looks, changes or loses it here;
    /// everybody else lets it pass.
    fn pass(&mut self, envelope: Envelope) -> Option<Envelope> {
        Some(envelope)
    }

    /// Sees every effect of an actor of this core before it is routed. Default: nobody looks.
    fn effect(&mut self, _effect: ActorEffect<'_>) {}

    /// Records a latency.
    fn observe(&mut self, observation: Observation);

    /// Shows a message to whoever watches; called for each publication that a partition of this core accepts. Default: nobody
    /// watches.
    fn accepted(&mut self, _publication: &Publication) {}

    /// An actor begins a step. If it panics, it is `address` that did.
    fn step_begins(&mut self, _address: Address) {}

    /// The step is over; `false` ends the turn early, because its time is used up.
    fn step_ended(&mut self, _address: Address) -> bool {
        true
    }
}

/// An effect, with the kind of actor that it comes from.
#[derive(Clone, Copy, Debug)]
pub enum ActorEffect<'a> {
    /// Of a Session.
    OpcUa(&'a opcua_subscription::Effect),
    /// Of a connection.
    Connection(&'a mqtt_connection::Effect),
    /// Of a partition.
    Partition(&'a broker_partition::Effect),
    /// Of an instance of a dataflow.
    Flow(&'a dataflow::Effect),
    /// Of a destination.
    Batcher(&'a egress_batcher::Effect),
}

/// The log of one partition, on its core: an engine behind `contract::LogRequest` and `contract::LogResponse`.
pub trait PartitionLog {
    /// Takes a request. Answers that are there at once are pushed to `answers`; later ones come through [`crate::Host::deliver`].
    fn request(&mut self, request: LogRequest, answers: &mut Vec<LogResponse>);
}

/// Work for a shell of the host's core.
#[derive(Clone, Debug, PartialEq)]
pub enum ShellRequest {
    /// To the transport of a Session: `Connect`, `Disconnect` or `Send`; to its state file: `SaveState`.
    OpcUa(SourceIndex, opcua_subscription::Effect),
    /// To the socket of a connection.
    Socket(ConnectionAddress, SocketRequest),
    /// To who knows the clients of the connection's listener, with what the transport knows of the peer. The answer is
    /// `mqtt_connection::Message::Authenticated` or `AuthenticationContinues` for that connection; one that is gone hears nothing.
    Authenticate(ConnectionAddress, AuthenticationStep, Box<Credentials>),
    /// To the lane of a flow's destination.
    Lane(FlowIndex, LaneRequest),
    /// To log and notices.
    Report(Address, Report),
}

/// Work for the socket of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketRequest {
    /// Write these bytes after those before.
    Write(Bytes),
    /// Read no more.
    PauseReading,
    /// Read on.
    ResumeReading,
    /// Write what was given, then close.
    Close,
    /// The actor is gone: the slot may be used again.
    Forget,
}

/// Work for the lane of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneRequest {
    /// Make a client.
    Open,
    /// Ask the hub for its partitions.
    RefreshPartitions,
    /// Send a batch.
    Send(egress_batcher::Send),
    /// Everything has settled: close the client.
    Close,
}

/// What an actor wants a person to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Of a Session.
    OpcUa(opcua_subscription::Report),
    /// Of a connection: it ended.
    Connection(mqtt_connection::EndReason),
    /// Of a partition.
    Partition(broker_partition::Report),
    /// Of a destination.
    Batcher(egress_batcher::Report),
}
