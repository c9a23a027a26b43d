//! The endpoint as a process of its own, and its control port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The key of every endpoint here.
pub(crate) const KEY: &str = "c2VjcmV0";

/// A running endpoint with the hub `plant` of four partitions. Ends when dropped.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) ready: Value,
}

impl Process {
    /// Starts it with further options.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench-eventhubs"))
            .args(["--listen", "127.0.0.1:0", "--hub", "plant:4", "--key", KEY])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self { child, output, ready }
    }

    /// The address that the first line calls `name`.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.ready[name].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn amqp(&self) -> SocketAddr {
        self.address("amqp")
    }

    /// Asks the control port; returns the answer, whatever it is.
    pub(crate) fn ask(&self, request: &Value) -> Value {
        let mut stream = TcpStream::connect(self.address("control")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Asks the control port for what must be done.
    pub(crate) fn control(&self, request: &Value) {
        let answer = self.ask(request);
        assert_eq!(answer["ok"], true, "{request}: {answer}");
    }

    /// What was counted.
    pub(crate) fn stats(&self) -> Value {
        self.ask(&serde_json::json!({ "cmd": "stats" }))["stats"].clone()
    }

    /// Ends it by a signal; the totals of its last line.
    pub(crate) fn stop(mut self) -> Value {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(self.child.wait().unwrap().success());
        let stopped: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(stopped["event"], "stopped");
        stopped["stats"].clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
