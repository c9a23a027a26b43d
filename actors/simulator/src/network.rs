//! Clients and their sockets.

use bytes::Bytes;
use contract::{ConnectionAddress, CoreIndex, Instant};
use wiring::{Envelope, ListenerIndex, SocketRequest};

use crate::Simulator;
use crate::client::{Loss, Role};
use crate::cut::PacketKind;
use crate::happening::Event;
use crate::will::End;

impl Simulator {
    pub(crate) fn tell(&mut self, address: ConnectionAddress, message: mqtt_connection::Message) {
        self.deliver(address.core, Envelope::Connection(address, message));
    }

    pub(crate) fn dial(&mut self, client: usize) {
        let is_guest = self.clients[client].role == Role::Guest;
        if self.clients[client].connection.is_some() || self.is_stopping || (self.is_healing && is_guest) {
            return;
        }
        if self.now < self.clients[client].away_until {
            self.calendar.enter(self.clients[client].away_until, Event::Dial(client));
            return;
        }
        let core = CoreIndex(u16::try_from(self.dice.index(self.cores.len())).expect("small"));
        let address = self.sockets.give(core, client);
        let listener = ListenerIndex(u16::try_from(self.dice.index(self.plan.listeners.len())).expect("small"));
        let config = std::sync::Arc::clone(&self.plan.listeners[usize::from(listener.0)]);
        self.cores[usize::from(core.0)].host.accept(address, listener, config, self.now);
        self.cores[usize::from(core.0)].next_at = Some(self.now);
        let hello = self.clients[client].opened(address, self.now, &mut self.dice);
        self.write_to_server(address, &hello);
    }

    /// Writes what a client says, up to where its connection is to break.
    pub(crate) fn write_to_server(&mut self, address: ConnectionAddress, bytes: &[u8]) {
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_closed) else { return };
        let client = socket.client;
        let is_its = self.clients[client].connection == Some(address);
        let cut = self.clients[client].cut.filter(|_| is_its);
        let Some((cut, length)) = cut.and_then(|cut| Some((cut, cut.of_bytes_to_server(bytes)?))) else {
            self.write_pieces(address, bytes);
            return;
        };
        self.write_pieces(address, &bytes[..length]);
        self.clients[client].cut = None;
        self.outcome.cuts.count(cut);
        if cut.packet == PacketKind::Disconnect && !cut.arrives {
            self.clients[client].doubt_leaving(End::Abrupt);
        }
        self.break_behind_what_was_written(address);
    }

    /// Cuts bytes anywhere, and has the pieces arrive one after the other.
    fn write_pieces(&mut self, address: ConnectionAddress, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = if self.dice.one_in(3) { 1 + self.dice.index(rest.len()) } else { rest.len() };
            let latency = self.dice.micros(50..800);
            let Some(socket) = self.sockets.get_mut(address) else { return };
            socket.last_to_server = socket.last_to_server.max(self.now + latency);
            let (piece, after) = rest.split_at(length);
            self.calendar.enter(socket.last_to_server, Event::ToServer(address, Bytes::copy_from_slice(piece)));
            rest = after;
        }
    }

    pub(crate) fn arrive_at_server(&mut self, address: ConnectionAddress, bytes: Bytes) {
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_deaf) else { return };
        if socket.is_read {
            self.tell(address, mqtt_connection::Message::Received(bytes));
        } else {
            socket.held.push_back(bytes);
        }
    }

    pub(crate) fn arrive_at_client(&mut self, address: ConnectionAddress, bytes: &Bytes) {
        let Some(socket) = self.sockets.get_mut(address) else { return };
        let client = socket.client;
        if self.clients[client].connection != Some(address) {
            return;
        }
        let (answer, cut) = self.clients[client].receive(bytes, self.now);
        self.write_to_server(address, &answer);
        if let Some(cut) = cut.filter(|_| self.clients[client].connection == Some(address)) {
            self.clients[client].cut = None;
            self.outcome.cuts.count(cut);
            self.break_behind_what_was_written(address);
        }
    }

    pub(crate) fn request_socket(&mut self, address: ConnectionAddress, request: SocketRequest) {
        let Some(socket) = self.sockets.get_mut(address) else { return };
        let client = socket.client;
        match request {
            SocketRequest::Write(bytes) => {
                let stalled_until = self.clients[client].stalled_until;
                let latency = self.dice.micros(50..800);
                let at = socket.last_to_client.max(self.now + latency).max(stalled_until);
                socket.last_to_client = at;
                // The send buffer takes it at once where the client reads, and when it reads again where it does not.
                let written_at = if stalled_until > self.now { at } else { self.now };
                self.calendar.enter(written_at, Event::Written(address, bytes.len()));
                self.calendar.enter(at, Event::ToClient(address, bytes));
            }
            SocketRequest::PauseReading => socket.is_read = false,
            SocketRequest::ResumeReading => {
                socket.is_read = true;
                for bytes in std::mem::take(&mut socket.held) {
                    self.calendar.enter(self.now, Event::ToServer(address, bytes));
                }
            }
            SocketRequest::Close => self.close_from_the_server(address),
            SocketRequest::Forget => self.sockets.forget(address),
        }
    }

    /// The client's side is gone; the connection hears of it once it has read what came before.
    pub(crate) fn break_behind_what_was_written(&mut self, address: ConnectionAddress) {
        let Some(socket) = self.sockets.get_mut(address) else { return };
        let at = socket.last_to_server.max(self.now);
        self.close_at(address, at);
    }

    /// The client's side closes: the connection hears of it once, and the client comes again.
    pub(crate) fn close_at(&mut self, address: ConnectionAddress, at: Instant) {
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_closed) else { return };
        socket.is_closed = true;
        let client = socket.client;
        self.calendar.enter(at, Event::Closed(address));
        self.lose(client, address, self.now, true);
    }

    /// The connection's side closes: the client hears of it behind what was written.
    fn close_from_the_server(&mut self, address: ConnectionAddress) {
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_closed) else { return };
        (socket.is_closed, socket.is_deaf) = (true, true);
        let client = socket.client;
        let at = socket.last_to_client.max(self.now);
        self.calendar.enter(at, Event::Closed(address));
        self.calendar.enter(at, Event::HungUp { client, address, since: self.now });
    }

    /// A client notices that its connection is gone, and comes again. The server knew `since` then, if `is_known`.
    pub(crate) fn lose(&mut self, client: usize, address: ConnectionAddress, since: Instant, is_known: bool) {
        if self.clients[client].connection != Some(address) {
            return;
        }
        // What a stop makes of a Will is judged by nobody: the process ends.
        let end = if self.is_stopping { End::Doubtful } else { End::Abrupt };
        self.clients[client].lost(Loss { since, is_known, end });
        let again = self.after(10_000..400_000);
        self.calendar.enter(again, Event::Dial(client));
    }

    pub(crate) fn closed(&mut self, address: ConnectionAddress) {
        if let Some(socket) = self.sockets.get_mut(address) {
            socket.is_deaf = true;
        }
        self.tell(address, mqtt_connection::Message::SocketClosed);
    }

    pub(crate) fn tick(&mut self, client: usize) {
        let bytes = self.clients[client].tick(self.now, &mut self.dice);
        let address = self.clients[client].connection;
        if let Some(address) = address.filter(|_| !bytes.is_empty()) {
            self.write_to_server(address, &bytes);
        }
        let range = match self.clients[client].role {
            Role::Publisher | Role::Guest if self.clients[client].is_at_rest => return,
            Role::Publisher => 5_000..60_000,
            Role::Subscriber { .. } => 100_000..800_000,
            Role::Guest => {
                match address {
                    Some(address) if self.dice.one_in(2) => self.break_behind_what_was_written(address),
                    Some(_) => {
                        self.leave(client);
                    }
                    None => {}
                }
                100_000..600_000
            }
        };
        let at = self.after(range);
        self.calendar.enter(at, Event::Tick(client));
    }

    /// A client says DISCONNECT and closes its socket; whether there was an occasion.
    pub(crate) fn leave(&mut self, client: usize) -> bool {
        let Some(address) = self.clients[client].connection else { return false };
        let is_read = self
            .sockets
            .get_mut(address)
            .is_some_and(|socket| socket.is_read && socket.held.is_empty() && !socket.is_sullied && !socket.is_closed);
        let bytes = self.clients[client].leave(self.now, is_read, &mut self.dice);
        if bytes.is_empty() {
            return false;
        }
        self.write_to_server(address, &bytes);
        self.break_behind_what_was_written(address);
        true
    }
}
