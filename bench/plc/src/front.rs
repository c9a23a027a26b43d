//! A TCP front before one server: it can drop and refuse connections, and reads along where nothing is encrypted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::now_100ns;
use crate::record::Record;
use crate::sniffer::{Seen, Sniffer};
use crate::transport::listen;

const COPY_BYTES: usize = 64 << 10;

/// What was seen, and when, in units of 100 ns since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenAt {
    pub(crate) seen: Seen,
    pub(crate) at_100ns: i64,
}

/// Everything the fronts of one server saw.
pub(crate) struct Sightings {
    /// Publish responses.
    pub(crate) publishes: Record<SeenAt>,
    /// Acknowledgements.
    pub(crate) acknowledgements: Record<SeenAt>,
    /// Messages that should have been readable and were not.
    pub(crate) unread_count: u64,
    /// Publish responses seen since the start.
    pub(crate) publish_count: u64,
    /// Acknowledgements seen since the start.
    pub(crate) acknowledgement_count: u64,
}

impl Sightings {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            publishes: Record::new(count_max),
            acknowledgements: Record::new(count_max),
            unread_count: 0,
            publish_count: 0,
            acknowledgement_count: 0,
        }
    }

    fn add(&mut self, seen: Seen, at_100ns: i64) {
        match seen {
            Seen::Publish { .. } => {
                self.publish_count += 1;
                self.publishes.push(SeenAt { seen, at_100ns });
            }
            Seen::Acknowledgement { .. } => {
                self.acknowledgement_count += 1;
                self.acknowledgements.push(SeenAt { seen, at_100ns });
            }
        }
    }
}

/// What the front does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    /// New ones are refused: nobody listens.
    is_refusing: bool,
    /// Connections of an older generation end at once.
    generation: u64,
}

/// A front that holds its port and lets connections wait.
pub(crate) struct BoundFront {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundFront {
    /// Listens on `address`, port 0 for any.
    ///
    /// # Errors
    /// If `address` cannot be listened on.
    pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr().context("the front's own address")?;
        Ok(Self { listener, address })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards connections to `server` from now on.
    pub(crate) fn run(self, server: SocketAddr, sightings: Arc<Mutex<Sightings>>) -> Front {
        let (mode, watched) = watch::channel(Mode { is_refusing: false, generation: 0 });
        let task = tokio::spawn(accept_for_ever(Some(self.listener), self.address, server, watched, sightings));
        Front { mode, task }
    }
}

/// A running front. Ends with its handle.
pub(crate) struct Front {
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Front {
    /// Ends all connections at once; new ones are welcome.
    pub(crate) fn drop_connections(&self) {
        self.mode.send_modify(|mode| mode.generation += 1);
    }

    /// Refuses new connections from now on, or no longer.
    pub(crate) fn set_refusing(&self, is_refusing: bool) {
        self.mode.send_modify(|mode| mode.is_refusing = is_refusing);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.drop_connections();
        self.task.abort();
    }
}

async fn accept_for_ever(
    mut listener: Option<TcpListener>,
    address: SocketAddr,
    server: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    sightings: Arc<Mutex<Sightings>>,
) {
    loop {
        if mode.borrow_and_update().is_refusing {
            listener = None;
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            match listen(address) {
                Ok(again) => listener = Some(again),
                Err(reason) => {
                    tracing::warn!(%address, %reason, "the front cannot listen again");
                    return;
                }
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((client, _)) => {
                    tokio::spawn(forward(client, server, mode.clone(), Arc::clone(&sightings)));
                }
                Err(reason) => tracing::warn!(%reason, "a connection was not accepted"),
            },
            changed = mode.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn forward(
    client: TcpStream,
    server: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    sightings: Arc<Mutex<Sightings>>,
) {
    let generation = mode.borrow().generation;
    let Ok(server) = TcpStream::connect(server).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, &sightings) => {}
        () = copy(from_server, to_client, &sightings) => {}
        // An error means that the front is gone, and its connections go with it.
        _ = mode.wait_for(|mode| mode.generation != generation) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sightings: &Mutex<Sightings>) {
    let mut sniffer = Sniffer::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut seen = Vec::new();
    let mut unread_count = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        sniffer.push(&buffer[..count], &mut seen);
        if !seen.is_empty() || sniffer.unread_count() != unread_count {
            let mut sightings = sightings.lock().unwrap_or_else(PoisonError::into_inner);
            let now = now_100ns();
            seen.drain(..).for_each(|seen| sightings.add(seen, now));
            sightings.unread_count += sniffer.unread_count() - unread_count;
            unread_count = sniffer.unread_count();
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
