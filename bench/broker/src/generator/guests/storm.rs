//! A storm of clients: each connects, gets its CONNACK, disconnects; another one follows at a fixed rate.

use super::{Guests, Ticker};
use crate::generator::engine::{Engine, Opening};
use crate::generator::frame::Packet;
use crate::generator::packet::{DISCONNECT, Version, connect};

/// Clients of the storm that may be there at once; beyond it a client stays away, counted.
const PRESENT_MAX: u64 = 4_000;
/// Clients of one turn.
const BURST_MAX: u64 = 50;

/// A storm.
#[derive(Debug)]
pub(crate) struct Storm {
    version: Version,
    ticker: Ticker,
    is_blowing: bool,
    opened: u64,
    connected: u64,
    ended: u64,
    stayed_away: u64,
}

impl Storm {
    /// `rate_per_s` clients come each second.
    pub(crate) fn new(version: Version, rate_per_s: u32) -> Self {
        let ticker = Ticker::per_second(rate_per_s);
        Self { version, ticker, is_blowing: false, opened: 0, connected: 0, ended: 0, stayed_away: 0 }
    }
}

impl Guests for Storm {
    fn turn(&mut self, engine: &mut Engine, now_ns: u64) -> anyhow::Result<Option<u64>> {
        if !self.is_blowing {
            return Ok(None);
        }
        let (due, next_ns) = self.ticker.due(now_ns, BURST_MAX);
        for _ in 0..due {
            if self.opened - self.ended >= PRESENT_MAX {
                self.stayed_away += 1;
                continue;
            }
            engine.open(connect(self.version, &format!("bench-w{}", self.opened)), Opening::default())?;
            self.opened += 1;
        }
        Ok(Some(next_ns))
    }

    fn packet(&mut self, _token: usize, packet: Packet<'_>, output: &mut Vec<u8>) {
        if let Packet::ConnectAck { reason_code: 0, .. } = packet {
            self.connected += 1;
            output.extend(DISCONNECT);
        }
    }

    fn ended(&mut self, _token: usize) {
        self.ended += 1;
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn begin_stage(&mut self) -> bool {
        let has_one = !self.is_blowing;
        self.is_blowing = true;
        has_one
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("connections", self.opened),
            ("connected", self.connected),
            ("ended", self.ended),
            ("stayed away", self.stayed_away),
        ]
    }
}
