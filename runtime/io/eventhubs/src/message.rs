//! What batchers and lane say to each other.

use egress_batcher::{Message, Send};

/// What a batcher asks of the lane. When the mailbox is full: the batcher's core keeps it and waits for space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCommand {
    /// The route, by its place in the routes that the lane was started with.
    pub route: usize,
    /// What is asked.
    pub request: Request,
}

/// The effects of an egress batcher that are addressed to the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// [`egress_batcher::Effect::Open`]: make a client, let go of the one that is there. Batches that it has under way
    /// are awaited, each at most for its own timeout; then it is closed.
    Open,
    /// [`egress_batcher::Effect::RefreshPartitions`].
    RefreshPartitions,
    /// [`egress_batcher::Effect::Send`]. Without a client it is answered with
    /// [`egress_batcher::Failure::ConnectionLost`]; past [`crate::RouteConfig::batches_in_flight_max`] (the batches of
    /// a batcher that was restarted) with [`egress_batcher::Failure::Transient`].
    Send(Send),
    /// After [`egress_batcher::Effect::Stopped`]: close the client; the route is not used any more.
    Close,
}

/// What the lane tells a batcher. When the mailbox is full: the lane keeps it and waits for space. Of several
/// [`Message::PartitionsRefreshed`] that wait the last is kept, so no more answers wait than the batcher asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAnswer {
    /// The route of the command.
    pub route: usize,
    /// For the route's batcher.
    pub message: Message,
}
