//! What a broker partition asks of the runtime.

use contract::{
    ConnectionAddress, Delivery, Epoch, FlowIndex, LogRequest, PartitionIndex, Publication, PublishToken, Publisher,
    Record, Refusal, SessionId, SessionState, SubscribeResult, SubscribeToken,
};

/// All that a broker partition may ask of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the log of this partition.
    Log(LogRequest),
    /// To a publisher: its publications are as durable as the profile asks; or they were all of QoS 0, came past the hard limit and
    /// were dropped and counted, and its window moves all the same. Exactly one of this and `Refused` for each
    /// [`crate::Message::Publish`], in the order of the publisher's tokens, unless the partition stops first, the publisher is a Will, or a
    /// [`crate::Message::Suspend`] took the publications out.
    Accepted {
        /// The publisher.
        publisher: Publisher,
        /// The publications' token.
        token: PublishToken,
    },
    /// To a publisher that asked for it, after `Accepted`: every flow that takes the publications has settled them.
    Delivered {
        /// The publisher.
        publisher: Publisher,
        /// The publications' token.
        token: PublishToken,
    },
    /// To a connection: none of these publications was taken. An OPC UA Session's publications wait and are never refused; a
    /// Will is dropped and counted.
    Refused {
        /// The publisher.
        publisher: Publisher,
        /// The publications' token.
        token: PublishToken,
        /// Why.
        refusal: Refusal,
    },
    /// To a connection: its session is this connection's (answers [`crate::Message::Attach`]).
    Attached {
        /// The connection.
        connection: ConnectionAddress,
        /// The session's name. A new session has a new one.
        session: SessionId,
        /// What the session left at its last connection; `None`: there was none, Session Present is 0 (MQTT 5.0 §3.2.2.1.1).
        state: Option<Box<SessionState>>,
    },
    /// To a connection: there is no room for another session (answers [`crate::Message::Attach`]).
    AttachRefused {
        /// The connection.
        connection: ConnectionAddress,
        /// Why.
        refusal: Refusal,
    },
    /// To a connection: another one uses its Client Identifier (MQTT-3.1.4-3): Reason Code 0x8E, then close. It releases the session at
    /// once; one that still waited for its session (this answers its [`crate::Message::Attach`]) has none to release.
    TakenOver {
        /// The older connection.
        connection: ConnectionAddress,
    },
    /// To a connection: what this partition did with its Subscriptions. Retained Messages follow as deliveries.
    Subscribed {
        /// The connection.
        connection: ConnectionAddress,
        /// The request.
        token: SubscribeToken,
        /// One for each subscription, in order.
        results: Vec<SubscribeResult>,
    },
    /// To a connection: whether each filter had a Subscription.
    Unsubscribed {
        /// The connection.
        connection: ConnectionAddress,
        /// The request.
        token: SubscribeToken,
        /// One for each filter, in order: Reason Code 0x00 or 0x11.
        existed: Vec<bool>,
    },
    /// To a connection: nothing more comes for it, neither a delivery nor an answer to its publications (answers
    /// [`crate::Message::Suspend`]). QoS 2 publications that were not answered before are not kept.
    Suspended {
        /// The connection.
        connection: ConnectionAddress,
    },
    /// To every partition, this one included, as [`crate::Message::EndSession`]: the session ended while no connection could tell them.
    EndSession {
        /// The session.
        session: SessionId,
    },
    /// To the partition that owns the topic, as a [`crate::Message::Publish`] of [`Publisher::Will`], acknowledged as accepted: a Will
    /// Message whose time has come.
    PublishWill {
        /// The Client Identifier's session.
        session: SessionId,
        /// The partition, by [`contract::partition_of`] of the Topic Name.
        partition: PartitionIndex,
        /// The message, stamped with the time of its publication.
        publication: Publication,
    },
    /// To a connection: records for its client, in order, within its credit.
    Deliver {
        /// The connection.
        connection: ConnectionAddress,
        /// At least one.
        deliveries: Vec<Delivery>,
    },
    /// To a dataflow: this partition is there, and has forgotten what it had under way to it.
    FlowReset {
        /// The dataflow.
        flow: FlowIndex,
    },
    /// To a dataflow: records that match its sources, in the order of the log, within its credit.
    FlowRecords {
        /// The dataflow.
        flow: FlowIndex,
        /// The life of the log.
        epoch: Epoch,
        /// At least one.
        records: Vec<Record>,
    },
    /// To the operator.
    Report(Report),
    /// To the runtime, once, after [`crate::Message::Stop`]: every flow has settled what it was given.
    Stopped,
}

/// What an operator should know. Each is told once, at the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The budget's threshold is reached: acknowledgements are withheld.
    BackPressureBegan,
    /// Acknowledgements flow again.
    BackPressureEnded,
    /// The log cannot store: nothing is acknowledged on its account.
    LogFailed(contract::LogFailure),
    /// The log stores again.
    LogRestored,
    /// A message with RETAIN found no room: it was delivered, and its topic has no Retained Message. Told again after one found
    /// room.
    RetainedLimitReached,
    /// A client was refused at the limit of sessions. Told again after a client found room.
    SessionsLimitReached,
}
