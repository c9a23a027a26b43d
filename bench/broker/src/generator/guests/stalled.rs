//! A subscriber to everything that stops reading as soon as it is subscribed, and never leaves.

use super::Guests;
use crate::generator::engine::{Engine, Opening};
use crate::generator::frame::Packet;
use crate::generator::packet::{QoS, Version, connect, subscribe};

/// Its receive buffer: small, so that the broker meets the stall soon.
const RECEIVE_BUFFER_BYTES: usize = 8 << 10;

/// One stalled subscriber, at QoS 0: a window of QoS 1 would stop the broker from sending to it by itself.
#[derive(Debug)]
pub(crate) struct Stalled {
    version: Version,
    token: Option<usize>,
    is_subscribed: bool,
    is_paused: bool,
    closed: u64,
}

impl Stalled {
    /// One that is not there yet.
    pub(crate) fn new(version: Version) -> Self {
        Self { version, token: None, is_subscribed: false, is_paused: false, closed: 0 }
    }
}

impl Guests for Stalled {
    fn turn(&mut self, engine: &mut Engine, _now_ns: u64) -> anyhow::Result<Option<u64>> {
        if self.token.is_none() {
            let opening = Opening { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES) };
            self.token = Some(engine.open(connect(self.version, "bench-stalled"), opening)?);
        }
        if let (Some(token), true, false) = (self.token, self.is_subscribed, self.is_paused) {
            engine.pause(token)?;
            self.is_paused = true;
        }
        Ok(None)
    }

    fn packet(&mut self, _token: usize, packet: Packet<'_>, output: &mut Vec<u8>) {
        if let Packet::ConnectAck { reason_code: 0, .. } = packet {
            output.extend(subscribe(self.version, 1, ["bench/#"], QoS::AtMostOnce));
        }
        self.is_subscribed |= matches!(packet, Packet::SubscribeAck { refused_count: 0 });
    }

    fn ended(&mut self, _token: usize) {
        self.closed += 1;
    }

    fn is_settled(&self) -> bool {
        self.is_paused
    }

    fn begin_stage(&mut self) -> bool {
        false
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("stalled subscribers", 1), ("closed by the broker", self.closed)]
    }
}
