//! The MQTT connections of one core, by slot.

use std::collections::BTreeMap;

use contract::{ConnectionAddress, CoreIndex, Counters};
use mqtt_connection::{Connection, EndReason};

use crate::ListenerIndex;

/// The connections, each in the slot of its address, from its socket to [`mqtt_connection::Effect::Gone`]: one whose socket has closed
/// stays until its session is released. Slots are given by the listener's shell, which bounds their number.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Held>>,
    counts: ConnectionCounts,
    /// The sum of [`Held::buffered_bytes`].
    buffered_bytes: usize,
}

#[derive(Debug)]
struct Held {
    generation: u32,
    listener: ListenerIndex,
    connection: Connection,
    /// What it held after its last step.
    buffered_bytes: usize,
}

/// What became of the connections of one core since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Accepted.
    pub opened: u64,
    /// Alive.
    pub live: u64,
    /// Ended, by reason. One key for each reason and Reason Code, so their number is bounded.
    pub ended: BTreeMap<EndReason, u64>,
    /// Lost to a panic of ours.
    pub panicked: u64,
    /// Publications that clients sent.
    pub publishes_received: u64,
    /// Those of them that partitions refused.
    pub publishes_refused: u64,
    /// Those of them that the access rules denied.
    pub publishes_denied: u64,
    /// Deliveries to clients, each sending counted.
    pub deliveries_sent: u64,
}

impl ConnectionCounts {
    fn add_traffic(&mut self, connection: &Connection) {
        connection.visit_counters(&mut |name, value| match name {
            "publishes_received" => self.publishes_received += value,
            "publishes_refused" => self.publishes_refused += value,
            "publishes_denied" => self.publishes_denied += value,
            "deliveries_sent" => self.deliveries_sent += value,
            _ => {}
        });
    }
}

impl Connections {
    pub(crate) fn insert(&mut self, address: ConnectionAddress, listener: ListenerIndex, connection: Connection) {
        let slot = address.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let before =
            self.slots[slot].replace(Held { generation: address.generation, listener, connection, buffered_bytes: 0 });
        assert!(before.is_none(), "a slot is given again after its connection is gone");
        self.counts.opened += 1;
        self.counts.live += 1;
    }

    /// The connection at this address; `None` when it is gone, or the slot has another one.
    pub(crate) fn get_mut(&mut self, address: ConnectionAddress) -> Option<&mut Connection> {
        let held = self.slots.get_mut(address.slot as usize)?.as_mut();
        held.filter(|held| held.generation == address.generation).map(|held| &mut held.connection)
    }

    /// Takes a connection out; whether it was there.
    pub(crate) fn remove(&mut self, address: ConnectionAddress) -> bool {
        let is_there = self.get_mut(address).is_some();
        if is_there {
            let held = self.slots[address.slot as usize].take();
            self.counts.live -= 1;
            if let Some(held) = held {
                self.counts.add_traffic(&held.connection);
                self.buffered_bytes -= held.buffered_bytes;
            }
        }
        is_there
    }

    /// Notes what a connection holds after its step.
    pub(crate) fn measure(&mut self, address: ConnectionAddress) {
        let Some(Some(held)) = self.slots.get_mut(address.slot as usize) else { return };
        let bytes = held.connection.buffered_bytes();
        self.buffered_bytes = self.buffered_bytes - held.buffered_bytes + bytes;
        held.buffered_bytes = bytes;
    }

    /// What all of them hold.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Those of the host of `core` that hold anything, the one with most first.
    pub(crate) fn by_buffered_bytes(&self, core: CoreIndex) -> Vec<(ConnectionAddress, usize)> {
        let holders = self.held(core).filter(|(_, held)| held.buffered_bytes > 0);
        let mut holders: Vec<_> = holders.map(|(address, held)| (address, held.buffered_bytes)).collect();
        holders.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        holders
    }

    pub(crate) fn count_end(&mut self, reason: EndReason) {
        *self.counts.ended.entry(reason).or_default() += 1;
    }

    pub(crate) fn count_panic(&mut self) {
        self.counts.panicked += 1;
    }

    /// What is counted, with what those alive have done so far: its cost grows with their number.
    pub(crate) fn counts(&self) -> ConnectionCounts {
        let mut counts = self.counts.clone();
        for held in self.slots.iter().flatten() {
            counts.add_traffic(&held.connection);
        }
        counts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.live == 0
    }

    /// The addresses of those alive, of the host of `core`, by slot; with `listener` those of that one alone.
    pub(crate) fn addresses(&self, core: CoreIndex, listener: Option<ListenerIndex>) -> Vec<ConnectionAddress> {
        let wanted = self.held(core).filter(|(_, held)| listener.is_none_or(|listener| held.listener == listener));
        wanted.map(|(address, _)| address).collect()
    }

    fn held(&self, core: CoreIndex) -> impl Iterator<Item = (ConnectionAddress, &Held)> {
        (0_u32..).zip(&self.slots).filter_map(move |(slot, held)| {
            let held = held.as_ref()?;
            Some((ConnectionAddress { core, slot, generation: held.generation }, held))
        })
    }
}

impl Counters for ConnectionCounts {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        let ended = |wanted: &dyn Fn(&EndReason) -> bool| -> u64 {
            self.ended.iter().filter(|(reason, _)| wanted(reason)).map(|(_, count)| count).sum()
        };
        visit("connections_opened", self.opened);
        visit("connections_live", self.live);
        visit("connections_panicked", self.panicked);
        visit("publishes_received", self.publishes_received);
        visit("publishes_refused", self.publishes_refused);
        visit("publishes_denied", self.publishes_denied);
        visit("deliveries_sent", self.deliveries_sent);
        visit("ended_by_client", ended(&|reason| *reason == EndReason::ClientDisconnected));
        visit("ended_socket_closed", ended(&|reason| *reason == EndReason::SocketClosed));
        visit("ended_keep_alive", ended(&|reason| *reason == EndReason::KeepAliveTimeout));
        visit("ended_connect_timeout", ended(&|reason| *reason == EndReason::ConnectTimeout));
        visit("ended_protocol_error", ended(&|reason| matches!(reason, EndReason::ProtocolError(_))));
        visit("ended_refused", ended(&|reason| matches!(reason, EndReason::ConnectRefused(_))));
        visit("ended_reauthentication", ended(&|reason| matches!(reason, EndReason::ReauthenticationFailed(_))));
        visit("ended_publication_refused", ended(&|reason| *reason == EndReason::PublicationRefused));
        visit("ended_access_lost", ended(&|reason| *reason == EndReason::AccessLost));
        visit("ended_taken_over", ended(&|reason| *reason == EndReason::TakenOver));
        visit("ended_unread", ended(&|reason| *reason == EndReason::UnreadTooLong));
        visit("ended_stopping", ended(&|reason| *reason == EndReason::ServerStopping));
    }
}
