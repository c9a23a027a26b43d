//! Clients and their sockets.

use bytes::Bytes;
use contract::{ConnectionAddress, CoreIndex, Instant};
use wiring::{Envelope, SocketRequest};

use crate::Simulator;
use crate::client::Role;
use crate::happening::Event;

impl Simulator {
    pub(crate) fn tell(&mut self, address: ConnectionAddress, message: mqtt_connection::Message) {
        self.deliver(address.core, Envelope::Connection(address, message));
    }

    pub(crate) fn dial(&mut self, client: usize) {
        if self.clients[client].connection.is_some() || self.is_stopping {
            return;
        }
        let core = CoreIndex(u16::try_from(self.dice.index(self.cores.len())).expect("small"));
        let address = self.sockets.give(core, client);
        self.cores[usize::from(core.0)].host.accept(address, self.now);
        self.cores[usize::from(core.0)].next_at = Some(self.now);
        let hello = self.clients[client].opened(address);
        self.write_to_server(address, &hello);
    }

    /// Cuts bytes anywhere, and has the pieces arrive one after the other.
    pub(crate) fn write_to_server(&mut self, address: ConnectionAddress, bytes: &[u8]) {
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
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_closed) else { return };
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
        let answer = self.clients[client].receive(bytes, self.now);
        self.write_to_server(address, &answer);
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
            SocketRequest::Close => {
                let at = socket.last_to_client.max(self.now);
                self.close_at(address, at);
            }
            SocketRequest::Forget => self.sockets.forget(address),
        }
    }

    /// The socket closes: the connection hears of it once, and the client comes again.
    pub(crate) fn close_at(&mut self, address: ConnectionAddress, at: Instant) {
        let Some(socket) = self.sockets.get_mut(address).filter(|socket| !socket.is_closed) else { return };
        socket.is_closed = true;
        let client = socket.client;
        self.calendar.enter(at, Event::Closed(address));
        if self.clients[client].connection == Some(address) {
            self.clients[client].lost();
            let again = at + self.dice.micros(10_000..400_000);
            self.calendar.enter(again, Event::Dial(client));
        }
    }

    pub(crate) fn tick(&mut self, client: usize) {
        let (count, topic) = (self.dice.within(1..5), self.dice.index(3));
        let bytes = self.clients[client].publish(count, topic, self.now);
        if let Some(address) = self.clients[client].connection
            && !bytes.is_empty()
        {
            self.write_to_server(address, &bytes);
        }
        let range = match self.clients[client].role {
            Role::Publisher { .. } => 5_000..60_000,
            Role::Subscriber { .. } => 500_000..2_000_000,
        };
        if self.clients[client].is_at_rest {
            return;
        }
        let at = self.after(range);
        self.calendar.enter(at, Event::Tick(client));
    }
}
