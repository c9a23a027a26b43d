//! The sockets between clients and connections: bytes in order, cut anywhere, held back where nobody reads.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use contract::{ConnectionAddress, Instant};

/// One socket.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own: reading, peer, close, content")]
pub(crate) struct Socket {
    /// Its client.
    pub(crate) client: usize,
    /// The connection's side reads.
    pub(crate) is_read: bool,
    /// What came while nobody read.
    pub(crate) held: VecDeque<Bytes>,
    /// When the last bytes arrive, in each direction.
    pub(crate) last_to_server: Instant,
    pub(crate) last_to_client: Instant,
    /// The connection's side was told that it is closed, or will be.
    pub(crate) is_closed: bool,
    /// Nothing more reaches the connection's side.
    pub(crate) is_deaf: bool,
    /// Bytes that are no MQTT were written to it.
    pub(crate) is_sullied: bool,
}

/// All sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<ConnectionAddress, Socket>,
    given_count: u32,
}

impl Sockets {
    /// An address that nobody had before.
    pub(crate) fn give(&mut self, core: contract::CoreIndex, client: usize) -> ConnectionAddress {
        let address = ConnectionAddress { core, slot: self.given_count, generation: 0 };
        self.given_count += 1;
        let socket = Socket {
            client,
            is_read: true,
            held: VecDeque::new(),
            last_to_server: Instant::ZERO,
            last_to_client: Instant::ZERO,
            is_closed: false,
            is_deaf: false,
            is_sullied: false,
        };
        self.open.insert(address, socket);
        address
    }

    pub(crate) fn get_mut(&mut self, address: ConnectionAddress) -> Option<&mut Socket> {
        self.open.get_mut(&address)
    }

    pub(crate) fn forget(&mut self, address: ConnectionAddress) {
        self.open.remove(&address);
    }

    /// All are gone at once; no address is given twice.
    pub(crate) fn forget_all(&mut self) {
        self.open.clear();
    }
}
