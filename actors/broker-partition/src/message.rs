//! The mailbox of a broker partition.

use std::ops::Range;

use contract::{
    Acknowledge, AttachRequest, ConnectionAddress, Credit, DeliveryNumber, DeliveryOutcome, Epoch, FlowIndex,
    LogResponse, Offset, Publication, PublishToken, Publisher, SessionId, SessionState, SubscribeToken,
    SubscriptionName, SubscriptionRequest, WillFate,
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
    /// A client asks for its session; sent only to its home partition, the one that [`contract::partition_of`] names for the Client
    /// Identifier's bytes. Answered by exactly one of [`crate::Effect::Attached`], [`crate::Effect::AttachRefused`] and
    /// [`crate::Effect::TakenOver`]; while another connection has the session, the answer waits until that one has released it
    /// ([`Message::Park`], [`Message::Detach`], [`Message::Lost`]). When full: waits; the client has no CONNACK yet.
    Attach {
        /// The connection.
        connection: ConnectionAddress,
        /// What CONNECT asks for.
        request: Box<AttachRequest>,
    },
    /// Deliveries of a session go to this connection from here on; sent to every partition, by a connection whose
    /// [`crate::Effect::Attached`] brought credits. A session that is not known here is ignored. When full: waits.
    Resume {
        /// The session.
        session: SessionId,
        /// The connection that has it.
        connection: ConnectionAddress,
    },
    /// Subscriptions of a client; sent to every partition, each of which answers. When full: waits; the client has no SUBACK yet.
    Subscribe {
        /// The session.
        session: SessionId,
        /// The connection that has it.
        connection: ConnectionAddress,
        /// Names the request.
        token: SubscribeToken,
        /// What it wants, in the order of the SUBSCRIBE; at least one.
        subscriptions: Vec<SubscriptionRequest>,
    },
    /// Ends Subscriptions; sent to every partition, each of which answers. When full: waits; the client has no UNSUBACK yet.
    Unsubscribe {
        /// The session.
        session: SessionId,
        /// The connection that has it.
        connection: ConnectionAddress,
        /// Names the request.
        token: SubscribeToken,
        /// What they are known by, in the order of the UNSUBSCRIBE; at least one.
        topic_filters: Vec<SubscriptionName>,
    },
    /// This much more may be under way to a session, on top of what is left. A partition sends nothing before the first credit; what
    /// is left outlives the connection. When full: waits; the deliveries behind it wait too.
    SubscriberCredit {
        /// The session.
        session: SessionId,
        /// The connection that has it.
        connection: ConnectionAddress,
        /// What is added.
        credit: Credit,
    },
    /// What became of deliveries to a session. Those of a connection before, which its successor was handed, settle alike. When
    /// full: waits; losing it would leak records.
    DeliveriesSettled {
        /// The session.
        session: SessionId,
        /// The connection that has it.
        connection: ConnectionAddress,
        /// The deliveries, each exactly once, ascending.
        numbers: Vec<Range<DeliveryNumber>>,
        /// The fate that they share.
        outcome: DeliveryOutcome,
    },
    /// A connection ends and its session does not; sent to every partition. No delivery follows; QoS 0 records are dropped as
    /// [`contract::DropReason::NotConnected`] until [`Message::Resume`]; QoS 2 publications of that connection that wait for memory
    /// are taken out. Answered by [`crate::Effect::Suspended`]. When full: waits.
    Suspend {
        /// The session.
        session: SessionId,
        /// The connection that ends.
        connection: ConnectionAddress,
    },
    /// A session is at rest; sent to its home, as the last word of its connection about it. One of a connection that has no session
    /// here is ignored and counted. When full: waits; losing it would lose the session.
    Park {
        /// The session.
        session: SessionId,
        /// The connection that had it.
        connection: ConnectionAddress,
        /// What it leaves for the next one.
        state: Box<SessionState>,
        /// The Session Expiry Interval that holds, in seconds; DISCONNECT may have changed it (MQTT 5.0 §3.14.2.2.2).
        session_expiry_s: u32,
        /// What becomes of the Will.
        will: WillFate,
    },
    /// A session ends with its connection: its Subscriptions end, and what is queued for it or under way to it is dropped as
    /// [`contract::DropReason::SessionEnded`]. Sent to every partition; the home frees the Client Identifier. A session that is not
    /// known is ignored. When full: waits; losing it would leak a subscriber.
    Detach {
        /// The session.
        session: SessionId,
        /// The connection that had it.
        connection: ConnectionAddress,
        /// What becomes of the Will.
        will: WillFate,
    },
    /// The runtime lost a connection, which could say nothing any more; sent to every partition. Its session ends: what it held of
    /// the session is gone. Its Will is published. When full: waits; losing it would leak a session.
    Lost {
        /// The connection.
        connection: ConnectionAddress,
    },
    /// A session has ended ([`crate::Effect::EndSession`]); sent to every partition, by its home. When full: waits; losing it would
    /// leak a subscriber.
    EndSession {
        /// The session.
        session: SessionId,
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
