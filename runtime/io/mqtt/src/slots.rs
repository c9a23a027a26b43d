//! Where the connections of a core live: slots, used again under another generation.

use crate::connection::Connection;

/// The connections by slot; at most as many as given at the start.
#[derive(Debug)]
pub(crate) struct Slots {
    connections: Vec<Connection>,
    /// Slots that were used and are free.
    free: Vec<u32>,
    count_max: usize,
}

impl Slots {
    /// Reserves the memory of all slots, which the kernel commits as they are used.
    pub(crate) fn new(count_max: u32) -> Self {
        let count_max = count_max as usize;
        Self { connections: Vec::with_capacity(count_max), free: Vec::with_capacity(count_max), count_max }
    }

    /// Connections whose slot is taken.
    pub(crate) fn taken_count(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Whether no slot is free.
    pub(crate) fn is_full(&self) -> bool {
        self.taken_count() >= self.count_max
    }

    /// Takes a free slot; `None` when there is none. The connection in it is closed.
    pub(crate) fn take(&mut self) -> Option<(u32, &mut Connection)> {
        if self.is_full() {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::new());
            u32::try_from(self.connections.len() - 1).expect("the limit is a u32")
        });
        Some((slot, &mut self.connections[slot as usize]))
    }

    /// Gives a slot back; addresses of its last connection are void from here on.
    pub(crate) fn give_back(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        connection.generation = connection.generation.wrapping_add(1);
        self.free.push(slot);
    }

    /// The connection in `slot`, whatever its generation.
    pub(crate) fn in_slot(&mut self, slot: u32) -> &mut Connection {
        &mut self.connections[slot as usize]
    }

    /// The connection of this slot and generation; `None` when it is gone.
    pub(crate) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut Connection> {
        self.connections.get_mut(slot as usize).filter(|connection| connection.generation == generation)
    }

    /// The slots that were ever used, with their connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0..).zip(&self.connections)
    }
}
