//! What a broker partition asks of the runtime.

use contract::{
    ConnectionAddress, Delivery, Epoch, FlowIndex, LogRequest, PublishToken, Publisher, Record, Refusal,
    SubscribeResult, SubscribeToken,
};

/// All that a broker partition may ask of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the log of this partition.
    Log(LogRequest),
    /// To a publisher: its publications are as durable as the profile asks; or they were all of QoS 0, came past the hard limit and
    /// were dropped and counted, and its window moves all the same. Exactly one of this and `Refused` for each
    /// [`crate::Message::Publish`], in the order of the publisher's tokens, unless the partition stops first.
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
    /// To a connection: none of these publications was taken. A Session's publications wait and are never refused.
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
        /// Whether there was a session (MQTT 5.0 §3.2.2.1.1). Sessions end with their connection, so it is false.
        session_present: bool,
    },
    /// To a connection: another one uses its Client Identifier (MQTT-3.1.4-3): Reason Code 0x8E, then close.
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
    /// Clients beyond the limit of sessions: they are served, but a take-over of their Client Identifier goes unseen. Told again
    /// after a client found room.
    SessionsLimitReached,
}
