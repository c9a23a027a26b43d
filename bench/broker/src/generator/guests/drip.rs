//! Clients that send one byte a second: half of them a CONNECT, half a PUBLISH after a whole CONNECT.

use super::{Guests, Ticker};
use crate::generator::engine::{Engine, Opening};
use crate::generator::frame::Packet;
use crate::generator::packet::{PublishTemplate, QoS, Version, connect};

/// Clients that drip.
#[derive(Debug)]
pub(crate) struct Drips {
    version: Version,
    ticker: Ticker,
    clients: Vec<Drip>,
    next: usize,
    is_dripping: bool,
    bytes: u64,
    ended: u64,
}

#[derive(Debug)]
struct Drip {
    token: Option<usize>,
    text: Vec<u8>,
    sent: usize,
}

impl Drips {
    /// `count` clients, which drip one after the other, each once a second.
    pub(crate) fn new(version: Version, count: u32) -> Self {
        let client = |number: u32| {
            let text = if number.is_multiple_of(2) {
                connect(version, &format!("bench-d{number}"))
            } else {
                let mut text = Vec::new();
                PublishTemplate::new(version, "drip", QoS::AtMostOnce, 20, number).write(&mut text, 0, 0, 0);
                text
            };
            Drip { token: None, text, sent: 0 }
        };
        let clients = (0..count).map(client).collect();
        Self { version, ticker: Ticker::per_second(count), clients, next: 0, is_dripping: false, bytes: 0, ended: 0 }
    }

    /// Opens the connection of a client that has none: at the start, and after the broker closed it.
    fn open(&mut self, engine: &mut Engine, index: usize) -> anyhow::Result<usize> {
        let drip = &mut self.clients[index];
        if let Some(token) = drip.token {
            return Ok(token);
        }
        let has_connect = index % 2 == 1;
        let first = if has_connect { connect(self.version, &format!("bench-d{index}")) } else { Vec::new() };
        let token = engine.open(first, Opening::default())?;
        (drip.token, drip.sent) = (Some(token), 0);
        Ok(token)
    }
}

impl Guests for Drips {
    fn turn(&mut self, engine: &mut Engine, now_ns: u64) -> anyhow::Result<Option<u64>> {
        if !self.is_dripping {
            return Ok(None);
        }
        let (due, next_ns) = self.ticker.due(now_ns, 10);
        for _ in 0..due {
            let index = self.next;
            self.next = (self.next + 1) % self.clients.len();
            let token = self.open(engine, index)?;
            let drip = &mut self.clients[index];
            let byte = drip.text[drip.sent % drip.text.len()];
            drip.sent += 1;
            engine.send(token, |output| output.push(byte));
            self.bytes += 1;
        }
        Ok(Some(next_ns))
    }

    fn packet(&mut self, _token: usize, _packet: Packet<'_>, _output: &mut Vec<u8>) {}

    fn ended(&mut self, token: usize) {
        self.ended += 1;
        for drip in &mut self.clients {
            if drip.token == Some(token) {
                drip.token = None;
            }
        }
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn begin_stage(&mut self) -> bool {
        let has_one = !self.is_dripping;
        self.is_dripping = true;
        has_one
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("clients", self.clients.len() as u64), ("bytes", self.bytes), ("closed by the broker", self.ended)]
    }
}
