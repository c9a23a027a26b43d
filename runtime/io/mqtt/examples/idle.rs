//! What connections cost: memory of idle ones, and processor time of an echo.
//!
//! `cargo run --release -p mqtt-listener --example idle [CONNECTIONS [KIND]]` (1000 by default; the limit of open files must be
//! above; KIND is `plain`, `tls`, `websocket` or `websocket-tls`). The clients are a process of their own, started by this one, so
//! that their memory does not count. The kernel's memory for the sockets is not in the figures.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant as StdInstant, SystemTime};

use contract::{ConnectionAddress, CoreIndex, Instant};
use executor::{
    Core, CoreFactory, Decision, ExecutorSpec, ExecutorStats, Executors, Supervisor, Turn, allowed_cpus, preflight,
};
use mqtt_listener::{
    Event, Frontend, FrontendConfig, HandshakeLane, HandshakeSpec, ListenerConfig, ListenerLayers, TlsListener,
    WebSocketConfig, bind,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tls_server::{ServerTls, TlsConfig, ensure_self_made};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// Messages that each echoing client has under way, and their size.
const PIPELINED: usize = 16;
const MESSAGE_BYTES: usize = 200;
/// The name of the handshake lane.
const LANE: &str = "handshakes";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, address, count, kind, ca_file] = arguments.as_slice()
        && role == "clients"
    {
        return clients(address.parse()?, count.parse()?, kind, ca_file);
    }
    let connection_count: usize = arguments.first().map_or(Ok(1_000), |text| text.parse())?;
    let spec = ExecutorSpec { ring_depth: 128, ..ExecutorSpec::new("idle", allowed_cpus()?.pop()) };
    preflight(std::slice::from_ref(&spec))?;
    let kind = arguments.get(1).map_or("plain", String::as_str);
    let directory = tempfile::tempdir()?;
    let layers = layers(kind, directory.path())?;
    let lane = layers.tls.as_ref().map(|tls| tls.lane.clone());
    let bound = bind(&ListenerConfig { layers, ..ListenerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0))) })?;
    let (address, ca_file) = (bound.address(), directory.path().join("ca.pem"));
    let server = Server { address, kind, ca_file: &ca_file };
    let listeners = bound.into_cores();
    let live = Arc::new(AtomicU64::new(0));
    let received = Arc::new(AtomicU64::new(0));
    let (live_seen, received_seen) = (Arc::clone(&live), Arc::clone(&received));
    let factory: CoreFactory = Box::new(move |context| {
        Box::pin(async move {
            let frontend = Frontend::start(&context, FrontendConfig::new(CoreIndex(0)), listeners)?;
            let core = Echo { frontend, events: VecDeque::new(), live, received, stopping: false };
            Ok(Box::new(core) as Box<dyn Core>)
        })
    });
    let supervisor = Supervisor::new(Duration::from_secs(5), |_| Decision::EndProcess);
    let executors = Executors::start(&supervisor, vec![(spec, factory)])?;
    let stats = Arc::clone(&executors.stats()[0]);
    // The first connection pays for what is made once.
    let mut first = Clients::start(&server, 1)?;
    first.command("echo 200")?;
    let before = resident_bytes()?;
    let lane_cpu = lane_nanos()?;
    let start = StdInstant::now();
    let mut clients = Clients::start(&server, connection_count)?;
    wait_until(|| live_seen.load(Ordering::Relaxed) == connection_count as u64 + 1)?;
    if let Some(lane) = &lane {
        let count = connection_count as u64;
        println!(
            "{:.0} us of the lane's processor time for a handshake, {:.0} handshakes/s with one client thread ({:?})",
            per(lane_nanos()? - lane_cpu, count * 1_000),
            per(count * 1_000, u64::try_from(start.elapsed().as_millis())?.max(1)),
            lane.counts()
        );
    }
    report_memory("idle, never sent a byte", before, connection_count)?;
    clients.command("touch 1")?;
    report_memory("idle, after one echo each", before, connection_count)?;
    let idle_cpu = cpu_nanos(&stats)?;
    std::thread::sleep(Duration::from_secs(2));
    println!("{connection_count} idle connections: {:.2} millicores", per(cpu_nanos(&stats)? - idle_cpu, 2_000_000));
    for (name, command) in [
        ("one message at a time, one client", "ping 3000"),
        ("one message at a time, all clients", "round 3000"),
        ("pipelined, all clients", "echo 3000"),
    ] {
        let (cpu, messages, start) = (cpu_nanos(&stats)?, received_seen.load(Ordering::Relaxed), StdInstant::now());
        clients.command(command)?;
        let elapsed = u64::try_from(start.elapsed().as_nanos())?;
        let messages = (received_seen.load(Ordering::Relaxed) - messages) / MESSAGE_BYTES as u64;
        let cpu = cpu_nanos(&stats)? - cpu;
        println!(
            "{name}: {:.0} messages/s, {:.2} us of processor time each",
            per(messages * 1_000_000_000, elapsed),
            per(cpu, messages.max(1) * 1_000)
        );
    }
    drop((first, clients));
    supervisor.stop_handle().stop(Duration::from_secs(5));
    executors.join()?;
    Ok(())
}

/// What listens.
struct Server<'a> {
    address: SocketAddr,
    kind: &'a str,
    ca_file: &'a Path,
}

/// The layers of a kind of listener.
fn layers(kind: &str, directory: &Path) -> Result<ListenerLayers, Box<dyn Error>> {
    let mut layers = ListenerLayers::default();
    if kind.ends_with("tls") {
        let made = ensure_self_made(directory, &[], SystemTime::now())?;
        let server = ServerTls::load(TlsConfig::new(made.certificate_file, made.key_file))?;
        layers.tls = Some(TlsListener { server, lane: HandshakeLane::start(&HandshakeSpec::new(LANE, None))? });
    }
    if kind.starts_with("websocket") {
        layers.websocket = Some(Arc::new(WebSocketConfig::default()));
    }
    Ok(layers)
}

/// Processor time of the handshake lane; 0 where there is none.
fn lane_nanos() -> Result<u64, Box<dyn Error>> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.starts_with(LANE) {
            let text = std::fs::read_to_string(task.join("schedstat"))?;
            nanos += text.split_whitespace().next().ok_or("schedstat is empty")?.parse::<u64>()?;
        }
    }
    Ok(nanos)
}

fn report_memory(what: &str, before: u64, connection_count: usize) -> Result<(), Box<dyn Error>> {
    let more = resident_bytes()?.saturating_sub(before);
    println!("{what}: {:.0} bytes of resident memory a connection", per(more, connection_count as u64));
    Ok(())
}

/// The process's resident memory in bytes (`VmRSS` of proc(5)).
fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

fn cpu_nanos(stats: &ExecutorStats) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", stats.thread_id()))?;
    Ok(text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn per(count: u64, of: u64) -> f64 {
    count as f64 / of as f64
}

fn wait_until(done: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let deadline = StdInstant::now() + Duration::from_secs(30);
    while !done() {
        if StdInstant::now() > deadline {
            return Err("the connections did not come".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The other process.
struct Clients {
    process: Child,
    answers: mpsc::Receiver<String>,
}

impl Clients {
    fn start(server: &Server<'_>, count: usize) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["clients".to_owned(), server.address.to_string(), count.to_string(), server.kind.to_owned()])
            .arg(server.ca_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        answers.recv_timeout(Duration::from_secs(30))?;
        Ok(Self { process, answers })
    }

    /// Has the clients do something, and waits until it is done.
    fn command(&mut self, command: &str) -> Result<(), Box<dyn Error>> {
        let input = self.process.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{command}")?;
        self.answers.recv_timeout(Duration::from_mins(1))?;
        Ok(())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It ends with its input; nothing is to be done about one that cannot be awaited.
        let _status = self.process.wait();
    }
}

/// What a client speaks through.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One client.
enum Peer {
    Stream(Box<dyn Stream>),
    WebSocket(Box<WebSocket<Box<dyn Stream>>>),
}

impl Peer {
    fn connect(address: SocketAddr, kind: &str, tls: &Arc<ClientConfig>) -> Result<Self, Box<dyn Error>> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut stream: Box<dyn Stream> = Box::new(socket.try_clone()?);
        if kind.ends_with("tls") {
            let mut connection = ClientConnection::new(Arc::clone(tls), ServerName::try_from("localhost")?)?;
            let mut socket = socket;
            while connection.is_handshaking() {
                connection.complete_io(&mut socket)?;
            }
            stream = Box::new(StreamOwned::new(connection, socket));
        }
        if !kind.starts_with("websocket") {
            return Ok(Self::Stream(stream));
        }
        let mut request = "ws://localhost/mqtt".into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse()?);
        let (socket, _) = tungstenite::client(request, stream).map_err(|error| error.to_string())?;
        Ok(Self::WebSocket(Box::new(socket)))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush())?,
            Self::WebSocket(socket) => socket.send(Message::binary(bytes.to_vec()))?,
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Stream(stream) => stream.read_exact(buffer)?,
            Self::WebSocket(socket) => {
                let mut count = 0;
                while count < buffer.len() {
                    count += socket.read()?.len();
                }
            }
        }
        Ok(())
    }
}

/// The other process's main: connects, then obeys each line of its input, and answers each.
fn clients(address: SocketAddr, count: usize, kind: &str, ca_file: &str) -> Result<(), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    if kind.ends_with("tls") {
        roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Arc::new(tls);
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(Peer::connect(address, kind, &tls)?);
    }
    println!("connected");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (verb, number) = line.split_once(' ').ok_or("a verb and a number")?;
        let deadline = StdInstant::now() + Duration::from_millis(number.parse()?);
        match verb {
            "touch" => echo(&mut peers, 1)?,
            "ping" => {
                while StdInstant::now() < deadline {
                    echo(&mut peers[..1], 1)?;
                }
            }
            "round" => {
                while StdInstant::now() < deadline {
                    echo(&mut peers, 1)?;
                }
            }
            _ => {
                while StdInstant::now() < deadline {
                    echo(&mut peers, PIPELINED)?;
                }
            }
        }
        println!("done");
    }
    Ok(())
}

/// Sends `pipelined` messages over each, and reads them back.
fn echo(peers: &mut [Peer], pipelined: usize) -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![1; pipelined * MESSAGE_BYTES];
    for peer in &mut *peers {
        peer.send(&buffer)?;
    }
    peers.iter_mut().try_for_each(|peer| peer.receive(&mut buffer))
}

struct Echo {
    frontend: Frontend,
    events: VecDeque<(ConnectionAddress, Event)>,
    live: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    stopping: bool,
}

impl Core for Echo {
    fn turn(&mut self, now: Instant) -> Turn {
        let mut more = false;
        for _ in 0..8 {
            more = self.frontend.poll_events(now, &mut self.events, 256);
            for (address, event) in self.events.drain(..) {
                match event {
                    Event::Received(bytes) => {
                        self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        self.frontend.write(address, bytes);
                    }
                    Event::SocketClosed => self.frontend.forget(address),
                    Event::Accepted { .. } | Event::Written { .. } => (),
                }
            }
            more |= self.frontend.flush(now);
            if !more {
                break;
            }
        }
        self.live.store(self.frontend.connection_count() as u64, Ordering::Relaxed);
        Turn { next_timeout: self.frontend.next_timeout(now), more, ..Turn::default() }
    }

    fn stop(&mut self, _now: Instant) {
        self.stopping = true;
        self.frontend.shutdown();
    }

    fn stopped(&self) -> bool {
        self.stopping
    }

    fn stall_culprit(&self) -> &'static str {
        "echo"
    }

    fn panic_culprit(&self) -> &'static str {
        "echo"
    }

    fn restart(&mut self, _now: Instant) {}
}
