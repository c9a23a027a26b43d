//! How a connection comes to its slot: at once, or by way of the handshake lane.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant as StdInstant;

use contract::{ConnectionAddress, Instant};
use executor::CoreContext;
use mailbox::{Receiver, Sender};
use mqtt_websocket::{WebSocket, WebSocketConfig};
use tls_server::TlsPeer;

use super::{ACCEPTED_COUNT_MAX, Frontend, join_token};
use crate::acceptor::Accepted;
use crate::bind::{CoreListener, TlsListener};
use crate::event::Event;
use crate::handshake::{Handover, Job};
use crate::layers::{Layers, Received};

/// What connections of a listener are made of.
#[derive(Debug)]
pub(super) struct ListenerFacts {
    number: u16,
    tls: Option<TlsListener>,
    websocket: Option<Arc<WebSocketConfig>>,
}

/// The mailbox of connections whose TLS stands.
#[derive(Debug)]
pub(super) struct Handovers {
    sender: Sender<Box<Handover>>,
    receiver: Receiver<Box<Handover>>,
}

impl ListenerFacts {
    pub(super) fn of(listener: &CoreListener) -> Self {
        let layers = listener.layers().clone();
        Self { number: listener.number(), tls: layers.tls, websocket: layers.websocket }
    }

    /// Handshakes that may be under way for it.
    pub(super) fn under_way_max(&self) -> Option<usize> {
        self.tls.as_ref().map(|tls| tls.lane.under_way_max())
    }
}

impl Handovers {
    pub(super) fn new(capacity: usize, context: &CoreContext) -> Self {
        let (sender, receiver) = mailbox::channel(capacity, context.doorbell());
        Self { sender, receiver }
    }
}

impl Frontend {
    /// Takes connections that wait at the listeners.
    pub(super) fn accept(&mut self, now: Instant, events: &mut VecDeque<(ConnectionAddress, Event)>, count_max: usize) {
        for _ in 0..ACCEPTED_COUNT_MAX {
            if events.len() >= count_max {
                return;
            }
            let Some(accepted) = self.acceptor.accept(now) else { return };
            let Accepted { socket, peer, listener } = accepted;
            // A connection that is gone already is found out by the first read.
            let _peer_is_gone = socket.set_nodelay(true);
            let facts = &self.listeners[listener];
            let (number, websocket) = (facts.number, facts.websocket.clone());
            if facts.tls.is_some() {
                self.begin_handshake(socket, peer, listener);
                continue;
            }
            let layers = websocket.map(|config| Box::new(Layers::new(None, Some(WebSocket::new(config)))));
            if let Some(address) = self.admit(socket, layers) {
                events.push_back((address, Event::Accepted { peer, listener: number, tls: None }));
            }
        }
    }

    /// Gives a socket to the handshake lane.
    fn begin_handshake(&mut self, socket: TcpStream, peer: SocketAddr, listener: usize) {
        let (Some(tls), Some(handovers)) = (&self.listeners[listener].tls, &self.handshakes) else { return };
        if self.slots.is_full() {
            self.counts.refused_full += 1;
            return;
        }
        let (server, core) = (Arc::clone(&tls.server), handovers.sender.clone());
        let job = Job { socket, peer, listener, tls: server, accepted_at: StdInstant::now(), core };
        if tls.lane.begin(job) {
            self.counts.handshakes_begun += 1;
        } else {
            self.counts.handshakes_refused += 1;
        }
    }

    /// Takes connections whose handshake is finished. Returns whether there may be more.
    pub(super) fn take_handovers(
        &mut self,
        events: &mut VecDeque<(ConnectionAddress, Event)>,
        count_max: usize,
    ) -> bool {
        for _ in 0..ACCEPTED_COUNT_MAX {
            let Some(Handovers { receiver, .. }) = &mut self.handshakes else { return false };
            if events.len() >= count_max {
                return !receiver.is_empty();
            }
            let Some(handover) = receiver.receive() else { return false };
            self.adopt(*handover, events);
        }
        true
    }

    fn adopt(&mut self, handover: Handover, events: &mut VecDeque<(ConnectionAddress, Event)>) {
        let Handover { socket, peer, listener, tls, tls_peer, mut plain } = handover;
        let facts = &self.listeners[listener];
        let number = facts.number;
        let websocket = facts.websocket.clone().map(WebSocket::new);
        let mut layers = Box::new(Layers::new(Some(tls), websocket));
        let received = layers.receive_plain(&mut plain, Received::Open);
        let Some(address) = self.admit(socket, Some(layers)) else { return };
        let tls_peer: Option<Box<TlsPeer>> = Some(Box::new(tls_peer));
        events.push_back((address, Event::Accepted { peer, listener: number, tls: tls_peer }));
        if !plain.is_empty() {
            events.push_back((address, Event::Received(plain.into())));
        }
        self.obey_layers(address.slot, &received);
    }

    /// Gives a connection a slot; closes it where there is none.
    fn admit(&mut self, socket: TcpStream, layers: Option<Box<Layers>>) -> Option<ConnectionAddress> {
        match self.insert(socket, layers) {
            Ok(address) => {
                self.counts.accepted += 1;
                self.queue_ready(address.slot);
                Some(address)
            }
            Err(socket) => {
                self.counts.refused_full += 1;
                // Fails only where the peer is gone already.
                let _peer_is_gone = socket.shutdown(Shutdown::Both);
                None
            }
        }
    }

    /// Gives an accepted socket a slot; hands it back where there is none, or the kernel will not watch it.
    fn insert(&mut self, socket: TcpStream, layers: Option<Box<Layers>>) -> Result<ConnectionAddress, TcpStream> {
        let Some((slot, connection)) = self.slots.take() else { return Err(socket) };
        let generation = connection.generation;
        if let Err(error) = self.poller.add(&socket, join_token(slot, generation)) {
            tracing::warn!(%error, "cannot watch a connection; it is closed");
            self.slots.give_back(slot);
            return Err(socket);
        }
        connection.open(socket, layers);
        Ok(ConnectionAddress { core: self.config.core, slot, generation })
    }
}
