//! A session: two windows, and links by handle (AMQP 1.0 §2.5).

use std::collections::BTreeMap;

use super::link::Link;
use crate::codec::performative::{Begin, Flow};

/// Transfers that a peer may send before it hears from us, as in the service.
const WINDOW: u32 = 5_000;
/// Highest handle; it must be said, as some clients take silence for 0.
pub(super) const HANDLE_MAX: u32 = 255;

pub(super) struct Session {
    pub(super) next_incoming_id: u32,
    /// Transfers that the peer may still send.
    pub(super) incoming_left: u32,
    pub(super) next_outgoing_id: u32,
    pub(super) next_delivery_id: u32,
    /// Transfers that we may still send.
    pub(super) outgoing_left: u32,
    /// By the peer's handle, which is ours too.
    pub(super) links: BTreeMap<u32, Link>,
    /// We ended it, and wait for the peer's end.
    pub(super) is_ending: bool,
}

impl Session {
    pub(super) fn new(begin: Begin) -> Self {
        Self {
            next_incoming_id: begin.next_outgoing_id,
            incoming_left: WINDOW,
            next_outgoing_id: 0,
            next_delivery_id: 0,
            outgoing_left: begin.incoming_window,
            links: BTreeMap::new(),
            is_ending: false,
        }
    }

    /// Our begin, in answer to the peer's on `channel`.
    pub(super) fn begin(&self, channel: u16) -> Begin {
        Begin {
            remote_channel: Some(channel),
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: self.incoming_left,
            outgoing_window: WINDOW,
            handle_max: Some(HANDLE_MAX),
        }
    }

    /// What every flow says about the session.
    pub(super) fn flow(&self) -> Flow {
        Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.incoming_left,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: WINDOW,
            ..Flow::default()
        }
    }

    /// One transfer came. Returns `None` when the peer may not send it, else whether it must hear from us.
    pub(super) fn count_incoming(&mut self) -> Option<bool> {
        self.incoming_left = self.incoming_left.checked_sub(1)?;
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        Some(self.incoming_left < WINDOW / 2)
    }

    /// Opens the window again.
    pub(super) fn reopen_window(&mut self) {
        self.incoming_left = WINDOW;
    }

    /// The peer said what it takes (§2.5.6).
    pub(super) fn on_flow(&mut self, flow: &Flow) {
        // Before it has seen our begin, it counts from where we start.
        let seen = flow.next_incoming_id.unwrap_or(0);
        let in_flight = self.next_outgoing_id.wrapping_sub(seen);
        self.outgoing_left = flow.incoming_window.saturating_sub(in_flight);
        self.next_incoming_id = flow.next_outgoing_id;
    }

    /// One transfer goes out.
    pub(super) fn count_outgoing(&mut self) {
        self.outgoing_left -= 1;
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
    }
}
