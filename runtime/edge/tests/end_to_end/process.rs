//! Processes of a test: started, waited for, ended by their own pid.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A process whose output is read line by line.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command`; its standard output is for [`Process::line`], its standard error goes to `log` where one is given.
    pub(crate) fn start(name: &str, command: &mut Command, log: Option<&Path>) -> Self {
        let errors = log.map_or_else(Stdio::inherit, |log| {
            std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap().into()
        });
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { name: name.to_owned(), child, lines }
    }

    /// The next line of its output.
    pub(crate) fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{} said nothing for {PATIENCE:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended", self.name),
        }
    }

    /// The next line, if it comes in time.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// The next line, as JSON.
    pub(crate) fn json(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            std::thread::yield_now();
            // Its output ends when it does: nothing to do until then.
            let _line = self.lines.recv_timeout(Duration::from_millis(20));
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Writes a line to its standard input.
    #[expect(dead_code, reason = "for tests that talk to a process")]
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A program of this workspace, in the folder of `millicore`.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_millicore")).parent().unwrap().join(name);
    assert!(path.is_file(), "{} is missing: build it with `cargo build -p {name}` first", path.display());
    path
}

/// A request to a control port that speaks lines of JSON; the answer.
pub(crate) fn control(address: &str, request: &Value) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["ok"], true, "{request}: {answer}");
    answer
}

/// A port that nobody uses at the moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The Python that has the public packages, as `scripts/test` sets it up; `None` where a person runs the tests without it.
pub(crate) fn python() -> Option<PathBuf> {
    from_environment("MILLICORE_PYTHON")
}

/// The folder `node_modules` with the public packages.
pub(crate) fn node_modules() -> Option<PathBuf> {
    from_environment("MILLICORE_NODE_MODULES")
}

fn from_environment(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os(name).map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not set; scripts/test sets it");
    }
    found
}

/// A file of the public clients.
pub(crate) fn client_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("clients").join(name)
}
