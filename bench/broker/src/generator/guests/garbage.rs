//! Connections that send what is no MQTT: noise, other protocols, and packets that turn bad after a good start.

use super::{Guests, Ticker};
use crate::generator::engine::{Engine, Opening};
use crate::generator::frame::Packet;
use crate::generator::packet::{Version, connect, packet};

/// Garbage that may be there at once; beyond it one stays away, counted.
const PRESENT_MAX: u64 = 4_000;
/// Bytes of noise on one connection.
const NOISE_BYTES: usize = 1_024;

/// Garbage at a fixed rate.
#[derive(Debug)]
pub(crate) struct Garbage {
    version: Version,
    ticker: Ticker,
    is_sending: bool,
    noise: u64,
    opened: u64,
    ended: u64,
    stayed_away: u64,
}

impl Garbage {
    /// `rate_per_s` connections each second; `seed` draws the noise.
    pub(crate) fn new(version: Version, rate_per_s: u32, seed: u64) -> Self {
        let ticker = Ticker::per_second(rate_per_s);
        Self { version, ticker, is_sending: false, noise: seed | 1, opened: 0, ended: 0, stayed_away: 0 }
    }

    /// What the next connection sends.
    fn next_bytes(&mut self) -> Vec<u8> {
        let name = format!("bench-g{}", self.opened);
        let after_connect = |bytes: &[u8]| [&connect(self.version, &name), bytes].concat();
        match self.opened % 6 {
            0 => (0..NOISE_BYTES).map(|_| self.next_noise()).collect(),
            1 => b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n".to_vec(),
            // A TLS handshake record whose ClientHello is noise.
            2 => {
                [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain((0..505).map(|_| self.next_noise())).collect()
            }
            // A Remaining Length of five bytes (§2.2.3).
            3 => after_connect(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            // PUBLISH to a topic with a wildcard (MQTT-3.3.2-2).
            4 => after_connect(&packet(0x30, &[0, 1, b'#', 0, 1, 2])),
            // A second CONNECT (MQTT-3.1.0-2).
            _ => [connect(self.version, &name), connect(self.version, &name)].concat(),
        }
    }

    /// Xorshift: the next byte of noise.
    fn next_noise(&mut self) -> u8 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise.to_be_bytes()[3]
    }
}

impl Guests for Garbage {
    fn turn(&mut self, engine: &mut Engine, now_ns: u64) -> anyhow::Result<Option<u64>> {
        if !self.is_sending {
            return Ok(None);
        }
        let (due, next_ns) = self.ticker.due(now_ns, 10);
        for _ in 0..due {
            if self.opened - self.ended >= PRESENT_MAX {
                self.stayed_away += 1;
                continue;
            }
            let bytes = self.next_bytes();
            engine.open(bytes, Opening::default())?;
            self.opened += 1;
        }
        Ok(Some(next_ns))
    }

    fn packet(&mut self, _token: usize, _packet: Packet<'_>, _output: &mut Vec<u8>) {}

    fn ended(&mut self, _token: usize) {
        self.ended += 1;
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn begin_stage(&mut self) -> bool {
        let has_one = !self.is_sending;
        self.is_sending = true;
        has_one
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let standing = self.opened - self.ended;
        vec![
            ("connections", self.opened),
            ("closed by the broker", self.ended),
            ("still open", standing),
            ("stayed away", self.stayed_away),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_garbage_comes_and_a_seed_repeats_it() {
        let all = |seed| {
            let mut garbage = Garbage::new(Version::V311, 1, seed);
            (0..6)
                .map(|number| {
                    garbage.opened = number;
                    garbage.next_bytes()
                })
                .collect::<Vec<_>>()
        };
        let first = all(7);
        assert_eq!(first, all(7));
        assert_ne!(first[0], all(8)[0]);
        assert!(first.iter().enumerate().all(|(at, bytes)| !bytes.is_empty() && !first[..at].contains(bytes)));
    }
}
