//! The brokers that are compared, and how each is started: fresh for every run, on one core, in memory.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bench_scenario::harness::interrupt::Interrupt;
use bench_scenario::harness::process::{Process, Start};

use crate::cores::Cores;
use crate::generator::engine::{Engine, Handler, Opening};
use crate::generator::frame::Packet;
use crate::generator::packet::{DISCONNECT, Version, connect};
use crate::scenario::{Measure, Scenario};

/// How long a broker may take until it answers.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_millis(200);

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contender {
    /// As it is reported. Names live as long as the program: there are few.
    pub(crate) name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Ours: the program, and the profile of one core.
    Millicore { program: PathBuf, profile: PathBuf },
    /// Debian's, with a configuration of ours.
    Mosquitto,
    /// No broker: it only copies, and so shows what the generator and the kernel reach.
    Wire { program: PathBuf },
    /// Any other, by a command in which `{port}` stands for the port.
    Command(String),
}

/// A broker that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Whether it must end with success when it is asked to: ours must, of others any end will do.
    must_end_well: bool,
}

impl Contender {
    /// Ours.
    pub(crate) fn millicore(program: PathBuf, profile: PathBuf) -> Self {
        Self { name: "millicore", kind: Kind::Millicore { program, profile } }
    }

    /// The peer that `text` names: `mosquitto`, `wire`, or `NAME=COMMAND` with `{port}` in it.
    ///
    /// # Errors
    /// If it is none of these.
    pub(crate) fn peer(text: &str) -> anyhow::Result<Self> {
        match text.split_once('=') {
            None if text == "mosquitto" => Ok(Self { name: "mosquitto", kind: Kind::Mosquitto }),
            None if text == "wire" => {
                Ok(Self { name: "wire", kind: Kind::Wire { program: std::env::current_exe().context("ourselves")? } })
            }
            None => bail!("the peer {text} is not known: name mosquitto, wire, or give NAME=COMMAND"),
            Some((name, command)) => {
                ensure!(!name.is_empty() && name != "millicore", "the peer {text:?} needs a name of its own");
                ensure!(
                    command.contains("{port}"),
                    "the command of {name} has no {{port}}: how would it know its port?"
                );
                Ok(Self { name: name.to_owned().leak(), kind: Kind::Command(command.to_owned()) })
            }
        }
    }

    /// Starts it on its core and waits until it lets a client in. What it writes goes into `folder`.
    ///
    /// # Errors
    /// If it cannot be started, dies or does not answer in time.
    pub(crate) fn start(
        &self,
        scenario: &Scenario,
        folder: &Path,
        cores: Cores,
        version: Version,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Running> {
        let address = free_port()?;
        let (program, arguments) = self.command_line(scenario, folder, address)?;
        let log = folder.join(format!("{}.log", self.name));
        let start = Start { name: self.name, program: &program, arguments, log, speaks: false };
        let mut process = cores.start_broker(|| Process::start(start))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            interrupt.check()?;
            process.check()?;
            if lets_in(address, version) {
                let must_end_well = matches!(self.kind, Kind::Millicore { .. });
                return Ok(Running { process, address, must_end_well });
            }
            if Instant::now() > deadline {
                bail!(process.last_words(anyhow::anyhow!("{} lets no client in within {READY_TIMEOUT:?}", self.name)));
            }
            interrupt.pause_until(Instant::now() + ATTEMPT / 4)?;
        }
    }

    fn command_line(
        &self,
        scenario: &Scenario,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<(PathBuf, Vec<String>)> {
        let port = address.port().to_string();
        match &self.kind {
            Kind::Millicore { program, profile } => {
                let site = folder.join("site.toml");
                std::fs::write(&site, site_text(folder, address)).context("the site file")?;
                let (profile, site) = (profile.display().to_string(), site.display().to_string());
                let arguments = ["run", "--profile", &profile, "--config", &site].map(str::to_owned);
                Ok((program.clone(), arguments.to_vec()))
            }
            Kind::Mosquitto => {
                let configuration = folder.join("mosquitto.conf");
                std::fs::write(&configuration, mosquitto_text(scenario.measure, address)).context("mosquitto.conf")?;
                Ok((find_mosquitto()?, vec!["-c".to_owned(), configuration.display().to_string()]))
            }
            Kind::Wire { program } => Ok((program.clone(), vec!["wire".to_owned(), port])),
            Kind::Command(command) => {
                let command = format!("exec {}", command.replace("{port}", &port));
                Ok((PathBuf::from("/bin/sh"), vec!["-c".to_owned(), command]))
            }
        }
    }
}

impl Running {
    /// Ends it; gives what went wrong with that.
    pub(crate) fn stop(self) -> Option<String> {
        let problem = self.process.stop(STOP_TIMEOUT).err()?;
        self.must_end_well.then(|| format!("it did not end well: {problem:#}"))
    }
}

/// The least that `millicore run` takes: a name, and a listener.
fn site_text(folder: &Path, address: SocketAddr) -> String {
    let path = |name: &str| toml::Value::from(folder.join(name).display().to_string());
    format!(
        "name = \"bench\"\nstate_directory = {}\n\n[control]\nsocket = {}\n\n\
         [[listener]]\nbind = \"{address}\"\nallow_anonymous = true\n",
        path("state"),
        path("control.sock")
    )
}

/// The configuration of mosquitto: in memory, silent. Where messages a second count its limits are lifted, for with its own it
/// drops messages; where a disturbance is the point they stay.
fn mosquitto_text(measure: Measure, address: SocketAddr) -> String {
    let mut text = format!(
        "listener {} {}\nallow_anonymous true\npersistence false\nlog_type none\nconnection_messages false\nsys_interval 0\n",
        address.port(),
        address.ip()
    );
    if measure != Measure::Disturbance {
        let _ = writeln!(text, "max_queued_messages 0\nmax_inflight_messages 0");
    }
    text
}

/// Debian puts it where users' paths do not reach.
fn find_mosquitto() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut programs = folders.map(|folder| folder.join("mosquitto"));
    programs.find(|program| program.is_file()).context("mosquitto is not installed: apt-get install mosquitto")
}

/// A port of the loopback interface that is free at the moment.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    Ok(listener.local_addr()?)
}

/// Whether a client that connects gets its CONNACK within an attempt.
fn lets_in(address: SocketAddr, version: Version) -> bool {
    let Ok(mut engine) = Engine::new(address, version) else { return false };
    let mut visitor = Visitor::default();
    let Ok(_) = engine.open(connect(version, "bench-visitor"), Opening::default()) else { return false };
    let deadline = Instant::now() + ATTEMPT;
    while !visitor.is_in && !visitor.is_out && Instant::now() < deadline {
        if engine.turn(ATTEMPT / 10, &mut visitor).is_err() {
            return false;
        }
    }
    visitor.is_in
}

#[derive(Debug, Default)]
struct Visitor {
    is_in: bool,
    is_out: bool,
}

impl Handler for Visitor {
    fn packet(&mut self, _token: usize, packet: Packet<'_>, _now_ns: u64, output: &mut Vec<u8>) {
        if matches!(packet, Packet::ConnectAck { reason_code: 0, .. }) {
            self.is_in = true;
            output.extend(DISCONNECT);
        }
    }

    fn ended(&mut self, _token: usize) {
        self.is_out = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{LIMITS, PEERS};

    #[test]
    fn a_peer_is_a_name_or_a_command_with_a_port() {
        assert_eq!(Contender::peer("mosquitto").unwrap().name, "mosquitto");
        assert_eq!(Contender::peer("wire").unwrap().name, "wire");
        let flashmq = Contender::peer("flashmq=flashmq --port {port} --threads=1").unwrap();
        assert_eq!(flashmq.name, "flashmq");
        let (program, arguments) =
            flashmq.command_line(&PEERS[0], Path::new("f"), "127.0.0.1:77".parse().unwrap()).unwrap();
        assert_eq!((program.to_str(), arguments[1].as_str()), (Some("/bin/sh"), "exec flashmq --port 77 --threads=1"));
        for text in ["emqx", "name=command", "=x {port}", "millicore=x {port}"] {
            assert!(Contender::peer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_limits_of_mosquitto_are_lifted_where_messages_count_and_stay_where_limits_do() {
        let address = "127.0.0.1:77".parse().unwrap();
        let text = |scenario: &Scenario| mosquitto_text(scenario.measure, address);
        assert!(text(&PEERS[0]).contains("listener 77 127.0.0.1") && text(&PEERS[0]).contains("max_queued_messages 0"));
        assert!(!text(&LIMITS[0]).contains("max_queued_messages"));
    }

    #[test]
    fn the_site_has_a_listener_and_nothing_else() {
        let site: toml::Table = site_text(Path::new("folder"), "127.0.0.1:77".parse().unwrap()).parse().unwrap();
        assert_eq!(site["listener"][0]["bind"].as_str(), Some("127.0.0.1:77"));
        assert_eq!(site["control"]["socket"].as_str(), Some("folder/control.sock"));
        assert!(!site.contains_key("opcua") && !site.contains_key("flow"));
    }
}
