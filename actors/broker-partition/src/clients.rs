//! Which connection a Client Identifier is at: the take-over of its home partition (MQTT-3.1.4-3).

use std::collections::BTreeMap;

use contract::ConnectionAddress;

/// Clients whose home this partition is. Their sessions end with their connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_identifier: BTreeMap<Box<str>, ConnectionAddress>,
    by_connection: BTreeMap<ConnectionAddress, Box<str>>,
}

/// What an arrival found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nobody had the identifier.
    New,
    /// This connection has it no longer.
    TakesOver(ConnectionAddress),
    /// No room: nobody will know that this client is there.
    NotKept,
}

impl Clients {
    /// A client arrives; at most `count_max` are kept.
    pub(crate) fn arrive(&mut self, connection: ConnectionAddress, identifier: Box<str>, count_max: u32) -> Arrival {
        self.leave(connection);
        let is_known = self.by_identifier.contains_key(&identifier);
        if !is_known && self.by_identifier.len() >= count_max as usize {
            return Arrival::NotKept;
        }
        self.by_connection.insert(connection, identifier.clone());
        let Some(older) = self.by_identifier.insert(identifier, connection) else { return Arrival::New };
        self.by_connection.remove(&older);
        Arrival::TakesOver(older)
    }

    /// A connection is gone.
    pub(crate) fn leave(&mut self, connection: ConnectionAddress) {
        if let Some(identifier) = self.by_connection.remove(&connection) {
            self.by_identifier.remove(&identifier);
        }
    }

    /// Clients that are here.
    pub(crate) fn count(&self) -> usize {
        self.by_identifier.len()
    }
}
