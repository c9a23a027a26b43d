//! The endpoint as it runs: listeners, and a task for each connection, all on one thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::Connection;
use crate::control;
use crate::event_file::EventFile;
use crate::namespace::{Mailbox, Namespace, Stats};
use crate::options::Options;
use crate::tls;

const BACKLOG: i32 = 256;
/// Python's client sets it on its own side, and fails where the kernel would choose more.
const SEGMENT_BYTES_MAX: u32 = 16_384;
const READ_BYTES: usize = 64 << 10;
/// How long a peer may take to read what we said last, and to go.
const FAREWELL: Duration = Duration::from_secs(1);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const FLUSH_PERIOD: Duration = Duration::from_secs(1);

/// What all tasks share.
pub(crate) struct Shared {
    pub(crate) namespace: Rc<RefCell<Namespace>>,
    /// New connections are closed until then.
    pub(crate) refuse_until: Cell<Option<Instant>>,
    pub(crate) stop: Notify,
}

/// The first line of output.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    event: &'static str,
    /// Where AMQP is spoken.
    pub amqp: SocketAddr,
    /// Where AMQP is spoken over TLS.
    pub amqps: Option<SocketAddr>,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// The hubs' names.
    pub hubs: Vec<String>,
    /// What producers and consumers take; the port goes beside it where their setting has one.
    pub connection_string: String,
    /// PEM file of the authority that signed the certificate, where it was made at start.
    pub ca_file: Option<std::path::PathBuf>,
}

/// A running endpoint. Lives inside a `LocalSet`.
pub struct Endpoint {
    shared: Rc<Shared>,
    ready: Ready,
    tasks: Vec<JoinHandle<()>>,
}

impl Endpoint {
    /// Listens, and serves from then on. Call it inside a tokio `LocalSet`.
    ///
    /// # Errors
    /// An address is taken, a certificate or the file of events cannot be used.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let file = match &options.file {
            Some(path) => Some(EventFile::open(path).with_context(|| format!("cannot open {}", path.display()))?),
            None => None,
        };
        let plain = listen(options.listen).context("the AMQP listener")?;
        let tls = match &options.tls {
            Some(tls) => {
                Some((listen(tls.listen).context("the AMQPS listener")?, tls::acceptor(&tls.certificate, tls.listen)?))
            }
            None => None,
        };
        let control = TcpListener::bind(options.control).await.context("the control port")?;
        let ready = Ready {
            event: "ready",
            amqp: plain.local_addr()?,
            amqps: tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
            control: control.local_addr()?,
            hubs: options.hubs.iter().map(|hub| hub.name.clone()).collect(),
            connection_string: format!(
                "Endpoint=sb://localhost/;SharedAccessKeyName={};SharedAccessKey={}",
                options.access_key.name, options.access_key.key
            ),
            ca_file: options.tls.as_ref().and_then(|tls| tls.certificate.ca_file()),
        };
        let namespace = Rc::new(RefCell::new(Namespace::new(options, file)));
        let shared = Rc::new(Shared { namespace, refuse_until: Cell::new(None), stop: Notify::new() });
        let mut tasks = vec![
            tokio::task::spawn_local(accept(plain, None, Rc::clone(&shared))),
            tokio::task::spawn_local(control::accept(control, Rc::clone(&shared))),
            tokio::task::spawn_local(flush(Rc::clone(&shared))),
        ];
        if let Some((listener, acceptor)) = tls {
            tasks.push(tokio::task::spawn_local(accept(listener, Some(acceptor), Rc::clone(&shared))));
        }
        Ok(Self { shared, ready, tasks })
    }

    /// Where everything listens.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Returns when the control port is asked to stop.
    pub async fn stop_asked(&self) {
        self.shared.stop.notified().await;
    }

    /// Stops listening and writes out the file of events. Returns the totals.
    pub fn stop(self) -> Stats {
        for task in &self.tasks {
            task.abort();
        }
        let mut namespace = self.shared.namespace.borrow_mut();
        namespace.flush_file();
        namespace.stats()
    }
}

/// Listens; connections accepted from it inherit the options.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_mss(SEGMENT_BYTES_MAX)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG).with_context(|| format!("cannot listen on {address}"))?;
    Ok(TcpListener::from_std(socket.into())?)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Rc<Shared>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(reason) => {
                // Out of file descriptors, mostly: some connection must end before another can come.
                tracing::warn!(%reason, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let mut namespace = shared.namespace.borrow_mut();
        let is_refusing = shared.refuse_until.get().is_some_and(|until| Instant::now() < until);
        if is_refusing || namespace.connections >= namespace.options.connections_count_max {
            namespace.counters.connections_refused += 1;
            continue;
        }
        namespace.counters.connections_total += 1;
        namespace.connections += 1;
        drop(namespace);
        tokio::task::spawn_local(serve(stream, acceptor.clone(), Rc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Rc<Shared>) {
    match acceptor {
        None => talk(stream, &shared).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, &shared).await,
            Ok(Err(reason)) => tracing::debug!(%reason, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
    shared.namespace.borrow_mut().connections -= 1;
}

/// Moves bytes between a socket and its connection until either ends.
async fn talk(stream: impl AsyncRead + AsyncWrite, shared: &Shared) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mailbox = Rc::new(Mailbox::default());
    let mut connection = Connection::new(Rc::clone(&shared.namespace), Rc::clone(&mailbox), Instant::now());
    let mut input = BytesMut::new();
    loop {
        connection.poll(Instant::now());
        if connection.is_cut() {
            return;
        }
        if connection.is_finished() {
            break;
        }
        input.reserve(READ_BYTES);
        let due = connection.poll_timeout();
        let output = connection.output();
        tokio::select! {
            biased;
            written = writer.write_buf(output), if !output.is_empty() => match written {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            },
            read = reader.read_buf(&mut input) => match read {
                Ok(1..) => connection.receive(&mut input, Instant::now()),
                Ok(0) | Err(_) => return,
            },
            () = mailbox.notify.notified() => {}
            () = sleep_until(due.into()) => {}
        }
    }
    let farewell = async {
        writer.write_all_buf(connection.output()).await?;
        writer.shutdown().await?;
        // Closing with input unread would reset the connection, and the peer would not hear why.
        while reader.read_buf(&mut input).await? > 0 {
            input.clear();
        }
        std::io::Result::Ok(())
    };
    // A peer that is gone already needs no farewell.
    let _ = timeout(FAREWELL, farewell).await;
}

async fn flush(shared: Rc<Shared>) {
    let mut ticks = tokio::time::interval(FLUSH_PERIOD);
    if shared.namespace.borrow().options.file.is_none() {
        return;
    }
    loop {
        ticks.tick().await;
        shared.namespace.borrow_mut().flush_file();
    }
}
