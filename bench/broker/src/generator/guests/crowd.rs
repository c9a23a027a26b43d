//! Many connections that say nothing once they stand; with Topic Filters, if asked, that nobody publishes to.

use anyhow::bail;

use super::Guests;
use crate::generator::engine::{Engine, Opening};
use crate::generator::frame::Packet;
use crate::generator::load::OPENING_MAX;
use crate::generator::packet::{QoS, Version, connect, subscribe};

/// Topic Filters of one SUBSCRIBE.
const FILTERS_PER_PACKET: u32 = 100;
/// SUBSCRIBEs on their way at once, over all connections.
const SUBSCRIBES_MAX: u32 = 20;

/// A crowd, in two stages: they connect; they subscribe.
#[derive(Debug)]
pub(crate) struct Crowd {
    version: Version,
    count: u32,
    filters_each: u32,
    tokens: Vec<usize>,
    opened: u32,
    connected: u32,
    is_subscribing: bool,
    /// SUBSCRIBEs sent and answered, of all connections together.
    subscribes: (u32, u32),
    trouble: Option<String>,
}

impl Crowd {
    /// `count` connections with `filters_each` Topic Filters, which is rounded up to whole packets of 100.
    pub(crate) fn new(version: Version, count: u32, filters_each: u32) -> Self {
        Self {
            version,
            count,
            filters_each,
            tokens: Vec::new(),
            opened: 0,
            connected: 0,
            is_subscribing: false,
            subscribes: (0, 0),
            trouble: None,
        }
    }

    fn packets_each(&self) -> u32 {
        self.filters_each.div_ceil(FILTERS_PER_PACKET)
    }

    fn subscribe_some(&mut self, engine: &mut Engine) {
        let all = self.count * self.packets_each();
        while self.subscribes.0 < all && self.subscribes.0 - self.subscribes.1 < SUBSCRIBES_MAX {
            let (packet, client) = (self.subscribes.0 / self.count, self.subscribes.0 % self.count);
            let first = packet * FILTERS_PER_PACKET;
            let filters: Vec<String> =
                (first..first + FILTERS_PER_PACKET).map(|number| topic_filter(client, number)).collect();
            let identifier = u16::try_from(packet % 65_535 + 1).expect("the remainder is below 65,535");
            let bytes = subscribe(self.version, identifier, filters.iter().map(String::as_str), QoS::AtMostOnce);
            engine.send(self.tokens[client as usize], |output| output.extend(bytes));
            self.subscribes.0 += 1;
        }
    }
}

/// The `number`-th Topic Filter of a client: half of them name a topic, half have a wildcard.
fn topic_filter(client: u32, number: u32) -> String {
    if number.is_multiple_of(2) {
        format!("site/line{client}/cell{number}/temperature")
    } else {
        format!("site/line{client}/cell{number}/+")
    }
}

impl Guests for Crowd {
    fn turn(&mut self, engine: &mut Engine, _now_ns: u64) -> anyhow::Result<Option<u64>> {
        if let Some(trouble) = self.trouble.take() {
            bail!(trouble);
        }
        while self.opened < self.count && ((self.opened - self.connected) as usize) < OPENING_MAX {
            let name = format!("bench-c{}", self.opened);
            self.tokens.push(engine.open(connect(self.version, &name), Opening::default())?);
            self.opened += 1;
        }
        if self.is_subscribing {
            self.subscribe_some(engine);
        }
        Ok(None)
    }

    fn packet(&mut self, _token: usize, packet: Packet<'_>, _output: &mut Vec<u8>) {
        match packet {
            Packet::ConnectAck { reason_code: 0, .. } => self.connected += 1,
            Packet::SubscribeAck { refused_count: 0 } => self.subscribes.1 += 1,
            Packet::ConnectAck { .. }
            | Packet::SubscribeAck { .. }
            | Packet::Publish { .. }
            | Packet::PublishAck { .. }
            | Packet::Other(_) => self.trouble = Some(format!("the broker sent {packet:?} to one of a crowd")),
        }
    }

    fn ended(&mut self, _token: usize) {
        self.trouble = Some(format!("the broker closed a connection of a crowd of {}", self.connected));
    }

    fn is_settled(&self) -> bool {
        let all = self.count * self.packets_each();
        self.connected == self.count && (!self.is_subscribing || self.subscribes.1 == all)
    }

    fn begin_stage(&mut self) -> bool {
        let has_one = self.filters_each > 0 && !self.is_subscribing;
        self.is_subscribing |= has_one;
        has_one
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let filters = u64::from(self.subscribes.1) * u64::from(FILTERS_PER_PACKET);
        vec![("idle connections", self.connected.into()), ("topic filters", filters)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_filters_are_alike() {
        let all = (0..10).flat_map(|client| (0..1_000).map(move |number| topic_filter(client, number)));
        assert_eq!(all.collect::<BTreeSet<_>>().len(), 10_000);
    }
}
