//! Connections with layers: bytes come through them, and what they have to say goes out.

use std::collections::VecDeque;

use bytes::Bytes;
use contract::ConnectionAddress;

use super::Frontend;
use crate::connection::{Phase, Progress};
use crate::event::Event;
use crate::layers::Received;

impl Frontend {
    /// Reads once through a connection's layers.
    pub(super) fn serve_layered(
        &mut self,
        slot: u32,
        address: ConnectionAddress,
        events: &mut VecDeque<(ConnectionAddress, Event)>,
    ) {
        let connection = self.slots.in_slot(slot);
        let (progress, received) = connection.read_layered(&mut self.scratch, &mut self.staging);
        match progress {
            Progress::Bytes(count) => {
                self.counts.reads += 1;
                self.counts.received_bytes += count as u64;
                if !self.staging.plain.is_empty() {
                    events.push_back((address, Event::Received(Bytes::copy_from_slice(&self.staging.plain))));
                }
                self.obey_layers(slot, &received);
            }
            Progress::Blocked => (),
            Progress::Finished => self.end(slot),
            Progress::Broken => {
                self.counts.broken += 1;
                self.end(slot);
            }
        }
    }

    /// Sends what the layers have to answer, and closes where they say so: what they have to say about that goes out first.
    pub(super) fn obey_layers(&mut self, slot: u32, received: &Received) {
        let is_open = match received {
            Received::Open => true,
            Received::Closed => false,
            Received::TlsFailed(failure) => {
                self.counts.tls_failures += 1;
                tracing::debug!(slot, %failure, "a TLS connection is closed");
                false
            }
            Received::Refused(refusal) => {
                self.counts.websocket_refusals += 1;
                tracing::debug!(slot, ?refusal, "a WebSocket is closed");
                false
            }
        };
        let connection = self.slots.in_slot(slot);
        if !is_open && connection.phase == Phase::Open {
            connection.phase = Phase::Closing;
            connection.drop_backlog();
        }
        if !is_open || connection.has_output() {
            self.queue_unflushed(slot);
        }
    }
}
