//! What the connections of one core may hold together: past it, those that hold most are closed.

use contract::ConnectionAddress;
use wiring::Host;

use super::world::World;

/// The limit, and how often it took a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryLimit {
    bytes_max: usize,
    /// Connections that were closed for it.
    pub(super) closed_count: u64,
}

impl MemoryLimit {
    /// `bytes_max` for all connections of the core together.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, closed_count: 0 }
    }

    /// Cuts connections until what is held is within seven eighths of the limit, where it is above it.
    pub(super) fn hold(&mut self, host: &Host, world: &mut World) {
        if host.buffered_bytes() <= self.bytes_max {
            return;
        }
        let Some(frontend) = &mut world.frontend else { return };
        for (connection, bytes) in self.chosen(host.buffered_bytes(), host.connections_by_buffered_bytes()) {
            // One that was cut before holds what it held until its session is released.
            if !frontend.cut(connection) {
                continue;
            }
            self.closed_count += 1;
            tracing::warn!(%connection, bytes, "a connection is closed: all of its core hold more than broker.frontend_bytes_max");
        }
    }

    /// Which of `holders`, the one with most first, must go so that the rest of `held_bytes` is within bounds.
    fn chosen(
        self,
        mut held_bytes: usize,
        holders: Vec<(ConnectionAddress, usize)>,
    ) -> impl Iterator<Item = (ConnectionAddress, usize)> {
        let wanted_bytes = self.bytes_max - self.bytes_max / 8;
        holders.into_iter().take_while(move |(_, bytes)| {
            let goes = held_bytes > wanted_bytes;
            held_bytes = held_bytes.saturating_sub(*bytes);
            goes
        })
    }
}

#[cfg(test)]
mod tests {
    use contract::CoreIndex;

    use super::*;

    #[test]
    fn those_that_hold_most_go_until_an_eighth_is_free() {
        let holder = |slot: u32, bytes| (ConnectionAddress { core: CoreIndex(0), slot, generation: 0 }, bytes);
        let holders = vec![holder(7, 50), holder(3, 30), holder(9, 30), holder(1, 1)];
        let limit = MemoryLimit::new(80);
        let gone: Vec<u32> = limit.chosen(111, holders.clone()).map(|(connection, _)| connection.slot).collect();
        assert_eq!(gone, [7], "61 are within 70");
        let gone: Vec<u32> = MemoryLimit::new(40).chosen(111, holders).map(|(connection, _)| connection.slot).collect();
        assert_eq!(gone, [7, 3], "31 are within 35");
    }
}
