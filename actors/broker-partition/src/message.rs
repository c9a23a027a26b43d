//! The mailbox of a broker partition.

use std::ops::Range;

use contract::{
    Acknowledge, ConnectionAddress, Credit, DeliveryNumber, DeliveryOutcome, Epoch, FlowIndex, LogResponse, Offset,
    Publication, PublishToken, Publisher, SubscribeToken, SubscriptionRequest,
};

/// All that may arrive at a broker partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Begin: the flows are told ([`crate::Effect::FlowReset`]). The first message, once. When full: cannot happen, the mailbox is
    /// empty then.
    Start,
    /// Publications whose topics this partition owns, of one publisher, in order. When full: waits; publishers bound what they
    /// have under way (Receive Maximum, unacknowledged notifications), so that the wait bounds their sockets.
    Publish {
        /// Who is answered.
        publisher: Publisher,
        /// Names them until they are accepted or refused.
        token: PublishToken,
        /// The publications; at least one.
        publications: Vec<Publication>,
        /// What the publisher wants to hear of.
        acknowledge: Acknowledge,
    },
    /// A client is there; sent only to its home partition, the one that [`contract::partition_of`] names for the Client
    /// Identifier's bytes. An older connection of the same Client Identifier is told that it was taken over. When full: waits;
    /// the client has no CONNACK yet.
    Attach {
        /// The connection.
        connection: ConnectionAddress,
        /// The Client Identifier.
        client_identifier: Box<str>,
    },
    /// Subscriptions of a client; sent to every partition, each of which answers. When full: waits; the client has no SUBACK yet.
    Subscribe {
        /// The connection.
        connection: ConnectionAddress,
        /// Names the request.
        token: SubscribeToken,
        /// What it wants, in the order of the SUBSCRIBE; at least one.
        subscriptions: Vec<SubscriptionRequest>,
    },
    /// Ends Subscriptions; sent to every partition, each of which answers. When full: waits; the client has no UNSUBACK yet.
    Unsubscribe {
        /// The connection.
        connection: ConnectionAddress,
        /// Names the request.
        token: SubscribeToken,
        /// The Topic Filters, in the order of the UNSUBSCRIBE; at least one.
        topic_filters: Vec<Box<str>>,
    },
    /// This much more may be under way to a connection, on top of what is left. A partition sends a connection nothing before
    /// its first credit. When full: waits; the deliveries behind it wait too.
    SubscriberCredit {
        /// The connection.
        connection: ConnectionAddress,
        /// What is added.
        credit: Credit,
    },
    /// What became of deliveries to a connection. When full: waits; losing it would leak records.
    DeliveriesSettled {
        /// The connection.
        connection: ConnectionAddress,
        /// The deliveries, each exactly once, ascending.
        numbers: Vec<Range<DeliveryNumber>>,
        /// The fate that they share.
        outcome: DeliveryOutcome,
    },
    /// A connection is gone: its Subscriptions end, and what is queued for it or under way to it is dropped as
    /// [`contract::DropReason::SessionEnded`]. Sent to every partition. A connection that is not known is ignored. When full:
    /// waits; losing it would leak a subscriber.
    Detach {
        /// The connection.
        connection: ConnectionAddress,
    },
    /// A dataflow allows this much more to be under way. When full: waits; losing it would stop the flow.
    FlowCredit {
        /// The dataflow.
        flow: FlowIndex,
        /// What is added.
        credit: Credit,
    },
    /// What became of records that a dataflow was given. When full: waits; losing it would keep records for ever.
    FlowSettled {
        /// The dataflow: the cursor to move.
        flow: FlowIndex,
        /// The life of the log that the offsets belong to; another life's are ignored.
        epoch: Epoch,
        /// Their offsets, each exactly once, ascending.
        offsets: Vec<Range<Offset>>,
        /// The fate that they share.
        outcome: FlowOutcome,
    },
    /// A dataflow was made anew and has forgotten its credit: it is told [`crate::Effect::FlowReset`], and what was under way to it
    /// is sent again, counted as redelivered. Settlements of the first sending still count. When full: waits.
    FlowRestarted {
        /// The dataflow.
        flow: FlowIndex,
    },
    /// An answer of the log. When full: waits; nothing is acknowledged meanwhile.
    Log(LogResponse),
    /// Takes no more publications (they stay unanswered), gives flows what is queued for them as their credit allows, and waits until
    /// they have settled all of it and the log has answered; then [`crate::Effect::Stopped`]. When full: waits.
    Stop,
}

/// What became of a flow's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    /// The destination stored them.
    Delivered,
    /// The flow's program left them out.
    Filtered,
    /// The destination refuses them for good.
    DeadLettered,
}
