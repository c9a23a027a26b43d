//! Transfers out, as credit, windows and the size of what waits allow (AMQP 1.0 §2.6.7).

use bytes::{Buf as _, Bytes, BytesMut};

use super::link::{Direction, Egress, Source};
use super::session::Session;
use super::{Connection, OUT_BYTES_PAUSE};
use crate::codec::frame::{FrameKind, put_frame};
use crate::codec::performative::{Performative, Transfer};
use crate::namespace::Namespace;

/// Deliveries of one link before the next link has its turn.
const TURN_DELIVERIES_COUNT: u32 = 64;
/// Room for a transfer's own fields in a frame.
const TRANSFER_BYTES_MAX: usize = 64;

/// Where frames go, and how large they may be.
struct Wire<'a> {
    out: &'a mut BytesMut,
    channel: u16,
    handle: u32,
    frame_bytes_max: usize,
}

impl Connection {
    /// Delivers to every link in turn until nothing can go on, or enough waits to be sent.
    pub(super) fn deliver(&mut self) {
        let namespace = std::rc::Rc::clone(&self.namespace);
        let mut namespace = namespace.borrow_mut();
        let frame_bytes_max = self.peer_frame_bytes_max as usize;
        let mut idle_count = 0;
        while idle_count < self.senders.len() && self.out.len() < OUT_BYTES_PAUSE {
            let Some((channel, handle)) = self.senders.pop_front() else { return };
            let Some(session) = self.sessions.get_mut(&channel).filter(|session| !session.is_ending) else { continue };
            let Some(mut link) = session.links.remove(&handle) else { continue };
            let mut progress = false;
            if let (Direction::Egress(egress), false) = (&mut link.direction, link.is_detaching) {
                self.senders.push_back((channel, handle));
                let mut wire = Wire { out: &mut self.out, channel, handle, frame_bytes_max };
                progress = serve(egress, session, &mut namespace, &mut wire);
            }
            let drained = !progress && drain(&mut link.direction);
            session.links.insert(handle, link);
            if drained {
                self.send_flow(channel, Some(handle));
            }
            idle_count = if progress { 0 } else { idle_count + 1 };
        }
    }
}

/// Gives back the credit of a link that has nothing to send and was asked to (§2.6.7). Returns whether it was.
fn drain(direction: &mut Direction) -> bool {
    let Direction::Egress(egress) = direction else { return false };
    let due = egress.drain && egress.rest.is_none();
    if due {
        egress.delivery_count = egress.delivery_count.wrapping_add(egress.credit);
        egress.credit = 0;
        egress.drain = false;
    }
    due
}

/// One turn of a link. Returns whether anything was sent.
fn serve(egress: &mut Egress, session: &mut Session, namespace: &mut Namespace, wire: &mut Wire<'_>) -> bool {
    let mut progress = false;
    for _ in 0..TURN_DELIVERIES_COUNT {
        if wire.out.len() >= OUT_BYTES_PAUSE || session.outgoing_left == 0 {
            break;
        }
        if egress.rest.is_some() {
            progress |= send_rest(egress, session, wire);
            continue;
        }
        if egress.credit == 0 || !send_next(egress, session, namespace, wire) {
            break;
        }
        progress = true;
    }
    progress
}

/// Sends the next message, or its first frame. Returns false when there is none.
fn send_next(egress: &mut Egress, session: &mut Session, namespace: &mut Namespace, wire: &mut Wire<'_>) -> bool {
    let delivery_id = session.next_delivery_id;
    let mut transfer = transfer(wire.handle, delivery_id, egress.settled);
    let frame_start = wire.out.len();
    let mut payload_start = 0;
    let mut write = |write: &mut dyn FnMut(&mut BytesMut)| {
        put_frame(wire.out, FrameKind::Amqp, wire.channel, |out| {
            Performative::Transfer(transfer.clone()).encode(out);
            payload_start = out.len();
            write(out);
        });
    };
    match &mut egress.source {
        Source::Partition { hub, partition, cursor, .. } => {
            let partition = &namespace.hubs[*hub].partitions[*partition].partition;
            let Some((sequence_number, event)) = partition.read(*cursor) else { return false };
            write(&mut |out| event.encode(sequence_number, out));
            *cursor = sequence_number + 1;
            namespace.counters.delivered += 1;
        }
        Source::Node { answers, .. } => {
            let Some(answer) = answers.pop_front() else { return false };
            write(&mut |out| out.extend_from_slice(&answer));
        }
    }
    if wire.out.len() - frame_start > wire.frame_bytes_max {
        // Larger than a frame: the message is taken back, and goes in pieces.
        let message = Bytes::copy_from_slice(&wire.out[payload_start..]);
        wire.out.truncate(frame_start);
        egress.rest = Some((delivery_id, message));
        transfer.more = true;
        send_rest(egress, session, wire);
    } else {
        session.count_outgoing();
    }
    session.next_delivery_id = delivery_id.wrapping_add(1);
    egress.credit -= 1;
    egress.delivery_count = egress.delivery_count.wrapping_add(1);
    true
}

/// Sends one more frame of a message that is larger than one.
fn send_rest(egress: &mut Egress, session: &mut Session, wire: &mut Wire<'_>) -> bool {
    let Some((delivery_id, mut rest)) = egress.rest.take() else { return false };
    let piece_bytes = rest.len().min(wire.frame_bytes_max - TRANSFER_BYTES_MAX);
    let mut transfer = transfer(wire.handle, delivery_id, egress.settled);
    transfer.more = piece_bytes < rest.len();
    put_frame(wire.out, FrameKind::Amqp, wire.channel, |out| {
        Performative::Transfer(transfer).encode(out);
        out.extend_from_slice(&rest[..piece_bytes]);
    });
    session.count_outgoing();
    rest.advance(piece_bytes);
    if !rest.is_empty() {
        egress.rest = Some((delivery_id, rest));
    }
    true
}

fn transfer(handle: u32, delivery_id: u32, settled: bool) -> Transfer {
    Transfer {
        handle,
        delivery_id: Some(delivery_id),
        delivery_tag: Some(Bytes::copy_from_slice(&delivery_id.to_be_bytes())),
        message_format: Some(0),
        settled: Some(settled),
        ..Transfer::default()
    }
}
