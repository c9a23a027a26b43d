//! The sockets between clients and connections: bytes in order, cut anywhere, held back where nobody reads.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use contract::{ConnectionAddress, Instant};

/// One socket.
#[derive(Debug)]
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
    /// The connection's side was told that it is closed.
    pub(crate) is_closed: bool,
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
}
