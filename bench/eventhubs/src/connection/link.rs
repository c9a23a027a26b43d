//! A link: what it carries in which direction, and its credit (AMQP 1.0 §2.6).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::codec::performative::Flow;
use crate::namespace::Namespace;

/// Deliveries that a producer may have under way on one link.
pub(super) const CREDIT: u32 = 300;
/// Answers that wait on one link of a node.
pub(super) const ANSWERS_COUNT_MAX: usize = 64;

pub(super) struct Link {
    pub(super) direction: Direction,
    /// Path that a token must cover; `None` for nodes that need none.
    pub(super) path: Option<String>,
    /// We detached it, and wait for the peer's detach.
    pub(super) is_detaching: bool,
}

pub(super) enum Direction {
    Ingress(Ingress),
    Egress(Egress),
}

/// The peer sends.
pub(super) struct Ingress {
    pub(super) node: Node,
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    /// Deliveries that have no outcome yet.
    pub(super) unsettled: u32,
    /// A delivery some frames of which came.
    pub(super) partial: Option<Partial>,
}

/// Where a peer sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Hub { hub: usize, partition: Option<usize> },
    Cbs,
    Management,
}

pub(super) struct Partial {
    pub(super) delivery_id: u32,
    /// The Rust SDK gives a second id to what of a message lies past the limit, under the same tag.
    pub(super) last_delivery_id: u32,
    pub(super) delivery_tag: Bytes,
    pub(super) message_format: u32,
    pub(super) settled: bool,
    /// Past the limit: the rest is passed over, and the delivery will be rejected.
    pub(super) is_too_large: bool,
    pub(super) payload: BytesMut,
}

/// We send.
pub(super) struct Egress {
    pub(super) source: Source,
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    pub(super) drain: bool,
    /// Whether the peer wants deliveries settled.
    pub(super) settled: bool,
    /// What is left of a message that is larger than a frame, and the id of its delivery.
    pub(super) rest: Option<(u32, Bytes)>,
}

/// Where what we send comes from.
pub(super) enum Source {
    Partition {
        hub: usize,
        partition: usize,
        /// Sequence number of the next event.
        cursor: i64,
        key: u64,
    },
    /// Answers of a node, to the peer's link that `address` names.
    Node { node: Node, address: Option<String>, answers: VecDeque<Bytes> },
}

impl Link {
    /// What a flow says about the link.
    pub(super) fn fill(&self, handle: u32, flow: &mut Flow) {
        flow.handle = Some(handle);
        let (count, credit) = match &self.direction {
            Direction::Ingress(ingress) => (ingress.delivery_count, ingress.credit),
            Direction::Egress(egress) => (egress.delivery_count, egress.credit),
        };
        flow.delivery_count = Some(count);
        flow.link_credit = Some(credit);
        flow.available = Some(0);
    }

    /// The link goes: whoever counted it is told.
    pub(super) fn forget(&self, namespace: &mut Namespace) {
        if let Direction::Egress(Egress { source: Source::Partition { hub, partition, key, .. }, .. }) = self.direction
        {
            namespace.remove_receiver(hub, partition, key);
        }
    }
}

impl Ingress {
    pub(super) fn new(node: Node) -> Self {
        Self { node, delivery_count: 0, credit: CREDIT, unsettled: 0, partial: None }
    }

    /// Grants credit again, in large steps, as far as outcomes were said. Returns whether the peer must hear of it.
    pub(super) fn replenish(&mut self) -> bool {
        let target = CREDIT.saturating_sub(self.unsettled);
        let due = self.credit < target && (self.credit == 0 || target - self.credit >= CREDIT / 2);
        if due {
            self.credit = target;
        }
        due
    }
}
