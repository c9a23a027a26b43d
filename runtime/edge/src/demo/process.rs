//! The processes of a demo: started beside us, listened to, and ended with it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::control_client::ControlClient;

/// How long a process may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a process may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the stop flag is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Lines of a log that are passed on.
const LAST_LINES: usize = 12;

/// A simulator: says in one line of JSON when and where it is ready.
pub(super) struct Simulator {
    name: &'static str,
    child: Child,
    ready: Value,
}

impl Simulator {
    /// Starts the program `name` that lies beside us; what it logs goes into `folder`.
    pub(super) fn start(
        name: &'static str,
        arguments: &[&str],
        folder: &Path,
        stop: &AtomicBool,
    ) -> anyhow::Result<Self> {
        let program = beside_us(name)?;
        let log = folder.join(format!("{name}.log"));
        let mut child = Command::new(&program)
            .args(arguments)
            // A Ctrl-C of the terminal is for us; they are ended in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stdout.take().expect("its output is piped");
        let mut simulator = Self { name, child, ready: Value::Null };
        let line = first_line(output).and_then(|lines| wait_for(&lines, stop));
        let line = line.map_err(|error| last_words(&log, error.context(format!("{name} did not become ready"))))?;
        simulator.ready = serde_json::from_str(&line).with_context(|| format!("{name} said: {line}"))?;
        Ok(simulator)
    }

    /// A text of its line, by JSON Pointer (RFC 6901).
    pub(super) fn ready(&self, pointer: &str) -> anyhow::Result<String> {
        let text = self.ready.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{} does not tell {pointer}", self.name))?.to_owned())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Err(error) = end(&mut self.child) {
            eprintln!("{} had to be killed: {error}", self.name);
            kill(&mut self.child);
        }
    }
}

/// `millicore run`, started as a person would.
pub(super) struct Pipeline {
    child: RefCell<Child>,
    log: PathBuf,
}

impl Pipeline {
    /// Starts it; what it logs goes into `folder`.
    pub(super) fn start(profile: &str, site: &Path, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("pipeline.log");
        let file = File::create(&log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["run", "--fold", "--profile", profile, "--set", "egress.linger_ms=20", "--config"])
            .arg(site)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start the pipeline")?;
        Ok(Self { child: RefCell::new(child), log })
    }

    /// Connects to its control socket as soon as it is there.
    pub(super) fn connect(&self, socket: &Path, stop: &AtomicBool) -> anyhow::Result<ControlClient> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            match ControlClient::connect(socket) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => return Err(self.last_words(error)),
                Err(_) => {}
            }
            if let Some(status) = self.child.borrow_mut().try_wait()? {
                return Err(self.last_words(anyhow::anyhow!("the pipeline ended: {status}")));
            }
            if stop.load(Ordering::Relaxed) {
                bail!("stopped before the pipeline was ready");
            }
            std::thread::sleep(LOOK_PERIOD);
        }
    }

    /// Adds the end of its log to `error`.
    pub(super) fn last_words(&self, error: anyhow::Error) -> anyhow::Error {
        last_words(&self.log, error)
    }

    /// Ends it in order.
    pub(super) fn stop(&self) -> anyhow::Result<()> {
        let status = end(&mut self.child.borrow_mut()).map_err(|error| self.last_words(error))?;
        if !status.success() {
            return Err(self.last_words(anyhow::anyhow!("the pipeline ended with {status}")));
        }
        Ok(())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let child = &mut *self.child.borrow_mut();
        if matches!(child.try_wait(), Ok(None)) && end(child).is_err() {
            kill(child);
        }
    }
}

/// Reads on a thread of its own, for the wait to have an end; goes on reading, so that the process can go on writing.
fn first_line(output: ChildStdout) -> anyhow::Result<Receiver<std::io::Result<String>>> {
    let (sender, lines) = sync_channel(1);
    let read = move || {
        for line in BufReader::new(output).lines() {
            // Only the first line is waited for.
            let _later_lines = sender.try_send(line);
        }
    };
    std::thread::Builder::new().name("simulator".to_owned()).spawn(read)?;
    Ok(lines)
}

fn wait_for(lines: &Receiver<std::io::Result<String>>, stop: &AtomicBool) -> anyhow::Result<String> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        match lines.recv_timeout(LOOK_PERIOD) {
            Ok(line) => return Ok(line?),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended"),
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => bail!("it says nothing"),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => bail!("stopped"),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn last_words(log: &Path, error: anyhow::Error) -> anyhow::Error {
    let log = std::fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    if last.is_empty() { error } else { anyhow::anyhow!("{error:#}; its last words:\n{last}") }
}

/// Asks a process to end, and waits for it.
fn end(child: &mut Child) -> anyhow::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM)?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    bail!("it did not end within {} s of SIGTERM", STOP_TIMEOUT.as_secs())
}

fn kill(child: &mut Child) {
    // A process that cannot be killed is gone already.
    let _gone = child.kill();
    let _gone = child.wait();
}

/// The program `name` in the folder of our own program: a build leaves all three there.
fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let program = ours.parent().unwrap_or(Path::new(".")).join(name);
    if !program.is_file() {
        bail!("{} is missing: scripts/demo builds it, or `cargo build --release -p {name}`", program.display());
    }
    Ok(program)
}
