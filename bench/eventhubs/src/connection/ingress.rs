//! Transfers in: messages put together, judged, stored, and what became of them (AMQP 1.0 §2.6.14, §3.4).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::link::{Direction, Node, Partial};
use super::{Connection, Failure};
use crate::codec::DecodeError;
use crate::codec::frame::FrameKind;
use crate::codec::message::{FORMAT_BATCH, Sections};
use crate::codec::outcome::{AmqpError, DeliveryState};
use crate::codec::performative::{Disposition, Performative, Transfer};
use crate::event::{Prepared, partition_key_of};
use crate::fault::FaultKind;

/// Outcomes that wait for their time. Bounded by the credit of all links: an outcome owed is credit withheld.
#[derive(Default)]
pub(super) struct Outcomes {
    waiting: BinaryHeap<Reverse<Outcome>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    due: Instant,
    channel: u16,
    handle: u32,
    first_id: u32,
    last_id: u32,
    state: State,
}

/// The outcomes that a hub has, in a form that is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Accepted,
    Released,
    Modified,
    Busy,
    Throttled,
    TooLarge,
    Internal,
    Malformed,
}

impl Outcomes {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(outcome)| outcome.due)
    }
}

impl State {
    fn delivery_state(self) -> DeliveryState {
        let rejected = |condition, text: &str| DeliveryState::Rejected(Some(AmqpError::new(condition, text)));
        let busy = "com.microsoft:server-busy";
        match self {
            Self::Accepted => DeliveryState::Accepted,
            Self::Released => DeliveryState::Released,
            Self::Modified => DeliveryState::Modified { delivery_failed: true, undeliverable_here: false },
            Self::Busy => rejected(busy, "The server was unable to process the request; please retry."),
            Self::Throttled => {
                rejected(busy, "The request was terminated because the entity is being throttled. Error code: 50002.")
            }
            Self::TooLarge => rejected("amqp:link:message-size-exceeded", "The message exceeds the limit."),
            Self::Internal => rejected("amqp:internal-error", "The service was unable to process the request."),
            Self::Malformed => rejected("amqp:decode-error", "The message is malformed."),
        }
    }
}

/// A delivery whose last frame came.
struct Delivery {
    channel: u16,
    handle: u32,
    id: u32,
    last_id: u32,
    format: u32,
    settled: bool,
    payload: Bytes,
}

impl Connection {
    pub(super) fn on_transfer(
        &mut self,
        channel: u16,
        transfer: &Transfer,
        payload: &Bytes,
        now: Instant,
    ) -> Result<(), Failure> {
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        let Some(reopen) = session.count_incoming() else {
            return Err(Failure::session("amqp:session:window-violation", "more transfers than the window allows"));
        };
        if reopen {
            session.reopen_window();
            self.send_flow(channel, None);
        }
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        let handle = transfer.handle;
        let Some(link) = session.links.get_mut(&handle) else {
            return Err(Failure::session("amqp:session:unattached-handle", "the handle has no link"));
        };
        if link.is_detaching {
            return Ok(());
        }
        let Direction::Ingress(ingress) = &mut link.direction else {
            return Err(Failure::session("amqp:not-allowed", "a transfer on a link that receives"));
        };
        let mut partial = if let Some(mut partial) = ingress.partial.take() {
            let is_other = transfer.delivery_tag.as_ref().is_some_and(|tag| *tag != partial.delivery_tag);
            if is_other {
                return Err(Failure::session("amqp:not-allowed", "a delivery starts before the one before it ends"));
            }
            partial.last_delivery_id = transfer.delivery_id.unwrap_or(partial.last_delivery_id);
            partial
        } else {
            let delivery_id = transfer.delivery_id.ok_or(DecodeError::FieldMissing)?;
            let Some(credit) = ingress.credit.checked_sub(1) else {
                let error = AmqpError::new("amqp:link:transfer-limit-exceeded", "no credit is left");
                return Err(Failure::Link(handle, error));
            };
            ingress.credit = credit;
            ingress.delivery_count = ingress.delivery_count.wrapping_add(1);
            let message_format = transfer.message_format.unwrap_or(0);
            Partial {
                delivery_id,
                last_delivery_id: delivery_id,
                delivery_tag: transfer.delivery_tag.clone().unwrap_or_default(),
                message_format,
                settled: false,
                is_too_large: false,
                payload: BytesMut::new(),
            }
        };
        partial.settled |= transfer.settled.unwrap_or(false);
        if transfer.aborted {
            return Ok(());
        }
        let bytes_max = self.namespace.borrow().options.message_bytes_max;
        if partial.is_too_large || (partial.payload.len() + payload.len()) as u64 > bytes_max {
            partial.is_too_large = true;
            partial.payload = BytesMut::new();
        }
        let payload = if partial.is_too_large { &Bytes::new() } else { payload };
        if transfer.more {
            if partial.payload.is_empty() {
                // The rest is likely as long as batches are: grown once rather than doubled a few times.
                partial.payload.reserve(payload.len() * 2);
            }
            partial.payload.extend_from_slice(payload);
            ingress.partial = Some(partial);
            return Ok(());
        }
        // A message of its own allocation: a slice would keep the whole read buffer for as long as it is stored.
        let payload = if partial.payload.is_empty() {
            Bytes::copy_from_slice(payload)
        } else {
            partial.payload.extend_from_slice(payload);
            partial.payload.freeze()
        };
        ingress.unsettled += u32::from(!partial.settled);
        let (node, is_too_large) = (ingress.node, partial.is_too_large);
        let delivery = Delivery {
            channel,
            handle,
            id: partial.delivery_id,
            last_id: partial.last_delivery_id,
            format: partial.message_format,
            settled: partial.settled,
            payload,
        };
        if is_too_large {
            self.namespace.borrow_mut().counters.refused += 1;
            self.say_outcome(&delivery, State::TooLarge, now, now);
            return Ok(());
        }
        match node {
            Node::Hub { hub, partition } => self.judge(&delivery, hub, partition, now),
            Node::Cbs | Node::Management => {
                // The outcome first: the answer may be looked for only after it.
                self.say_outcome(&delivery, State::Accepted, now, now);
                self.answer(channel, node, &delivery.payload, now)
            }
        }
    }

    /// Decides what becomes of a delivery to a hub, stores it if so, and says it or plans to.
    fn judge(
        &mut self,
        delivery: &Delivery,
        hub: usize,
        partition: Option<usize>,
        now: Instant,
    ) -> Result<(), Failure> {
        let batch = open_batch(delivery);
        let mut namespace = self.namespace.borrow_mut();
        let Ok((batch, envelope_key)) = batch else {
            namespace.counters.refused += 1;
            drop(namespace);
            self.say_outcome(delivery, State::Malformed, now, now);
            return Ok(());
        };
        let has_room = match &mut namespace.quota {
            Some(quota) => quota.take(delivery.payload.len(), batch.len(), now),
            None => true,
        };
        let verdict = if has_room { namespace.faults.judge(now) } else { crate::fault::Verdict::default() };
        if has_room && (verdict.fault.is_none() || verdict.store) {
            let key = envelope_key.or_else(|| batch.first().and_then(|event| event.partition_key().map(str::to_owned)));
            let partition = partition.unwrap_or_else(|| namespace.hubs[hub].choose_partition(key.as_deref()));
            namespace.append(hub, partition, batch, key.as_deref());
        }
        namespace.counters.refused += u64::from(!has_room || verdict.fault.is_some());
        namespace.counters.throttled += u64::from(!has_room);
        let due = now + namespace.options.ack_latency + verdict.latency;
        drop(namespace);
        let state = match verdict.fault {
            _ if !has_room => State::Throttled,
            None | Some(FaultKind::AckLatency) => State::Accepted,
            Some(FaultKind::ServerBusy) => State::Busy,
            Some(FaultKind::Released) => State::Released,
            Some(FaultKind::Modified) => State::Modified,
            Some(FaultKind::RejectSize) => State::TooLarge,
            Some(FaultKind::InternalError) => State::Internal,
            Some(FaultKind::Stall) => return Ok(()),
            Some(FaultKind::Disconnect) => {
                self.is_cut = true;
                return Ok(());
            }
            Some(FaultKind::Detach) => {
                let error =
                    AmqpError::new("amqp:link:detach-forced", "The link was detached because it was asked for.");
                return Err(Failure::Link(delivery.handle, error));
            }
        };
        self.say_outcome(delivery, state, due, now);
        Ok(())
    }

    fn say_outcome(&mut self, delivery: &Delivery, state: State, due: Instant, now: Instant) {
        if delivery.settled {
            self.settle(delivery.channel, delivery.handle, 0);
            return;
        }
        let outcome = Outcome {
            due,
            channel: delivery.channel,
            handle: delivery.handle,
            first_id: delivery.id,
            last_id: delivery.last_id,
            state,
        };
        if due > now {
            self.outcomes.waiting.push(Reverse(outcome));
        } else {
            self.write_outcome(&outcome);
        }
    }

    pub(super) fn say_due_outcomes(&mut self, now: Instant) {
        while self.outcomes.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse(outcome)) = self.outcomes.waiting.pop() else { return };
            self.write_outcome(&outcome);
        }
    }

    fn write_outcome(&mut self, outcome: &Outcome) {
        if self.sessions.get(&outcome.channel).is_none_or(|session| session.is_ending) {
            return;
        }
        let disposition = Disposition {
            is_receiver: true,
            first: outcome.first_id,
            last: Some(outcome.last_id),
            settled: true,
            state: Some(outcome.state.delivery_state()),
        };
        self.send(FrameKind::Amqp, outcome.channel, &Performative::Disposition(disposition));
        self.settle(outcome.channel, outcome.handle, 1);
    }

    /// Counts `count` deliveries as settled, and grants credit again where it is time.
    fn settle(&mut self, channel: u16, handle: u32, count: u32) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(link) = session.links.get_mut(&handle) else { return };
        if let Direction::Ingress(ingress) = &mut link.direction {
            ingress.unsettled = ingress.unsettled.saturating_sub(count);
            if !link.is_detaching && ingress.replenish() {
                self.send_flow(channel, Some(handle));
            }
        }
    }
}

/// The events of a delivery, and the key that its envelope names.
fn open_batch(delivery: &Delivery) -> Result<(Vec<Prepared>, Option<String>), DecodeError> {
    if delivery.format != FORMAT_BATCH {
        let event = Prepared::new(delivery.payload.clone())?;
        return Ok((vec![event], None));
    }
    let mut messages = Vec::new();
    let sections = Sections::find(&delivery.payload, |message| messages.push(message))?;
    let key = partition_key_of(&delivery.payload, &sections)?;
    let batch = messages.into_iter().map(Prepared::new).collect::<Result<_, _>>()?;
    Ok((batch, key))
}
