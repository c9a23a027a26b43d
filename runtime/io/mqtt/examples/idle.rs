//! What connections cost: memory of idle ones, and processor time of an echo.
//!
//! `cargo run --release -p mqtt-listener --example idle [CONNECTIONS]` (1000 by default; the limit of open files must be
//! above). The clients are a process of their own, started by this one, so that their memory does not count. The
//! kernel's memory for the sockets is not in the figures.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant as StdInstant};

use contract::{ConnectionAddress, CoreIndex, Instant};
use executor::{
    Core, CoreFactory, Decision, ExecutorSpec, ExecutorStats, Executors, Supervisor, Turn, allowed_cpus, preflight,
};
use mqtt_listener::{Event, Frontend, FrontendConfig, ListenerConfig, bind};

/// Messages that each echoing client has under way, and their size.
const PIPELINED: usize = 16;
const MESSAGE_BYTES: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, address, count] = arguments.as_slice()
        && role == "clients"
    {
        return clients(address.parse()?, count.parse()?);
    }
    let connection_count: usize = arguments.first().map_or(Ok(1_000), |text| text.parse())?;
    let spec = ExecutorSpec { ring_depth: 128, ..ExecutorSpec::new("idle", allowed_cpus()?.pop()) };
    preflight(std::slice::from_ref(&spec))?;
    let bound = bind(&ListenerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let address = bound.address();
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
    let mut first = Clients::start(address, 1)?;
    first.command("echo 200")?;
    let before = resident_bytes()?;
    let mut clients = Clients::start(address, connection_count)?;
    wait_until(|| live_seen.load(Ordering::Relaxed) == connection_count as u64 + 1)?;
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
    fn start(address: SocketAddr, count: usize) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["clients".to_owned(), address.to_string(), count.to_string()])
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

/// The other process's main: connects, then obeys each line of its input, and answers each.
fn clients(address: SocketAddr, count: usize) -> Result<(), Box<dyn Error>> {
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(TcpStream::connect(address)?);
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
fn echo(peers: &mut [TcpStream], pipelined: usize) -> std::io::Result<()> {
    let mut buffer = vec![1; pipelined * MESSAGE_BYTES];
    for peer in &mut *peers {
        peer.write_all(&buffer)?;
    }
    peers.iter_mut().try_for_each(|peer| peer.read_exact(&mut buffer))
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
        Turn { next_timeout: self.frontend.next_timeout(now), more }
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
