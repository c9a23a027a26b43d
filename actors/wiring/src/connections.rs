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
}

#[derive(Debug)]
struct Held {
    generation: u32,
    listener: ListenerIndex,
    connection: Connection,
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
}

impl Connections {
    pub(crate) fn insert(&mut self, address: ConnectionAddress, listener: ListenerIndex, connection: Connection) {
        let slot = address.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let before = self.slots[slot].replace(Held { generation: address.generation, listener, connection });
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
            self.slots[address.slot as usize] = None;
            self.counts.live -= 1;
        }
        is_there
    }

    pub(crate) fn count_end(&mut self, reason: EndReason) {
        *self.counts.ended.entry(reason).or_default() += 1;
    }

    pub(crate) fn count_panic(&mut self) {
        self.counts.panicked += 1;
    }

    pub(crate) fn counts(&self) -> &ConnectionCounts {
        &self.counts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.live == 0
    }

    /// The addresses of those alive, of the host of `core`, by slot; with `listener` those of that one alone.
    pub(crate) fn addresses(&self, core: CoreIndex, listener: Option<ListenerIndex>) -> Vec<ConnectionAddress> {
        let held = (0_u32..).zip(&self.slots).filter_map(|(slot, held)| Some((slot, held.as_ref()?)));
        let wanted = held.filter(|(_, held)| listener.is_none_or(|listener| held.listener == listener));
        wanted.map(|(slot, held)| ConnectionAddress { core, slot, generation: held.generation }).collect()
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
