//! Guests: connections beside the load, idle or hostile.
//!
//! | File | Its idea |
//! |---|---|
//! | `crowd.rs` | many idle connections, with or without many Topic Filters |
//! | `stalled.rs` | a subscriber that stops reading |
//! | `storm.rs` | clients that come and leave at a fixed rate |
//! | `garbage.rs` | connections that send what is no MQTT |
//! | `drip.rs` | clients that send one byte a second |

mod crowd;
mod drip;
mod garbage;
mod stalled;
mod storm;

pub(crate) use crowd::Crowd;
pub(crate) use drip::Drips;
pub(crate) use garbage::Garbage;
pub(crate) use stalled::Stalled;
pub(crate) use storm::Storm;

use super::engine::Engine;
use super::frame::Packet;

/// Connections beside the load. They prepare in stages, before the window; then they go on beside it.
pub(crate) trait Guests {
    /// Does what is due at `now_ns`; gives when to be asked again, `None` if only their packets matter.
    ///
    /// # Errors
    /// If there are no more sockets, or the broker refuses what it must not.
    fn turn(&mut self, engine: &mut Engine, now_ns: u64) -> anyhow::Result<Option<u64>>;

    /// A packet came for one of them.
    fn packet(&mut self, token: usize, packet: Packet<'_>, output: &mut Vec<u8>);

    /// The broker closed the connection of one of them.
    fn ended(&mut self, token: usize);

    /// Whether the current stage of preparations is done.
    fn is_settled(&self) -> bool;

    /// Begins the next stage; `false` where there is none.
    fn begin_stage(&mut self) -> bool;

    /// What happened to them, by name.
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

/// Nobody.
#[derive(Debug)]
pub(crate) struct Nobody;

impl Guests for Nobody {
    fn turn(&mut self, _engine: &mut Engine, _now_ns: u64) -> anyhow::Result<Option<u64>> {
        Ok(None)
    }

    fn packet(&mut self, _token: usize, _packet: Packet<'_>, _output: &mut Vec<u8>) {}

    fn ended(&mut self, _token: usize) {}

    fn is_settled(&self) -> bool {
        true
    }

    fn begin_stage(&mut self) -> bool {
        false
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Things that happen at a fixed rate: gives how many are due, `backlog_max` at most, so that a pause is no burst.
#[derive(Debug)]
struct Ticker {
    period_ns: u64,
    next_ns: Option<u64>,
}

impl Ticker {
    fn per_second(rate: u32) -> Self {
        Self { period_ns: 1_000_000_000 / u64::from(rate.max(1)), next_ns: None }
    }

    /// How many are due at `now_ns`, and when the next one is.
    fn due(&mut self, now_ns: u64, backlog_max: u64) -> (u64, u64) {
        let next_ns = self.next_ns.get_or_insert(now_ns);
        if *next_ns > now_ns {
            return (0, *next_ns);
        }
        let due = (now_ns - *next_ns) / self.period_ns + 1;
        *next_ns += due * self.period_ns;
        (due.min(backlog_max), *next_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticker_keeps_its_rate_and_a_pause_is_no_burst() {
        let mut ticker = Ticker::per_second(1_000);
        assert_eq!(ticker.due(500, 10), (1, 1_000_500));
        assert_eq!(ticker.due(600, 10), (0, 1_000_500));
        assert_eq!(ticker.due(3_000_500, 10), (3, 4_000_500));
        assert_eq!(ticker.due(104_000_500, 10), (10, 105_000_500));
    }
}
