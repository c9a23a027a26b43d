//! Processes that a run starts: ready when they say so, ended by their id, and quoted when they die.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::interrupt::Interrupt;

/// Lines that a process may be ahead of us; then it waits.
const LINES_MAX: usize = 1_024;
/// Lines of a log that are quoted.
const LAST_WORDS_MAX: usize = 12;
/// How often a wait looks whether the process has died or somebody wants to leave.
const LOOK: Duration = Duration::from_millis(50);

/// A child that is ended with its handle.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Option<Receiver<String>>,
    log: PathBuf,
}

/// What a process is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// What it is called in reports and errors.
    pub name: &'static str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where what it says goes: standard error, and standard output unless that speaks JSON lines.
    pub log: PathBuf,
    /// Whether it speaks JSON lines.
    pub speaks: bool,
}

impl Process {
    /// Starts a process.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(start: Start<'_>) -> anyhow::Result<Self> {
        let log = std::fs::File::create(&start.log).with_context(|| format!("cannot write {}", start.log.display()))?;
        let stdout = if start.speaks { Stdio::piped() } else { log.try_clone()?.into() };
        let mut child = Command::new(start.program)
            .args(&start.arguments)
            .stdin(if start.speaks { Stdio::piped() } else { Stdio::null() })
            .stdout(stdout)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", start.program.display()))?;
        let lines = child.stdout.take().map(|stdout| {
            let (sender, receiver) = sync_channel(LINES_MAX);
            std::thread::spawn(move || forward(BufReader::new(stdout), &sender));
            receiver
        });
        let stdin = child.stdin.take();
        Ok(Self { name: start.name, child, stdin, lines, log: start.log })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line of JSON to it.
    ///
    /// # Errors
    /// If it has died.
    pub fn tell(&mut self, line: &Value) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().with_context(|| format!("{} does not listen", self.name))?;
        let outcome = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        outcome.map_err(|error| self.last_words(anyhow!(error)))
    }

    /// The lines that it has said since the last call, without waiting.
    pub fn said(&self) -> Vec<Value> {
        let lines = self.lines.iter().flat_map(Receiver::try_iter);
        lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
    }

    /// Waits for a line whose `event` is `event`; others are passed to `other`.
    ///
    /// # Errors
    /// If it dies, `timeout` passes, or somebody wants to leave.
    pub fn wait_for(
        &mut self,
        event: &str,
        timeout: Duration,
        interrupt: &Interrupt,
        mut other: impl FnMut(Value),
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + timeout;
        loop {
            interrupt.check()?;
            let lines = self.lines.as_ref().with_context(|| format!("{} says nothing", self.name))?;
            match lines.recv_timeout(LOOK) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(value) if value["event"] == event => return Ok(value),
                    Ok(value) => other(value),
                    Err(_) => {}
                },
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!(self.last_words(anyhow!("{} did not say {event:?} within {timeout:?}", self.name)));
                }
                Err(RecvTimeoutError::Disconnected) => bail!(self.obituary()),
            }
        }
    }

    /// Complains if it has died.
    ///
    /// # Errors
    /// With its last words, if it has.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            bail!(self.obituary());
        }
        Ok(())
    }

    fn obituary(&mut self) -> anyhow::Error {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        self.last_words(anyhow!("{} ended by itself: {status}", self.name))
    }

    /// Adds the last lines of its log to `error`.
    pub fn last_words(&self, error: anyhow::Error) -> anyhow::Error {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let words = lines[lines.len().saturating_sub(LAST_WORDS_MAX)..].join("\n  ");
        if words.is_empty() { error } else { anyhow!("{error:#}\n{}'s last words:\n  {words}", self.name) }
    }

    /// Ends it with SIGTERM, and with SIGKILL if it is still there after `timeout`.
    ///
    /// # Errors
    /// If it had to be killed, or says that it failed.
    pub fn stop(mut self, timeout: Duration) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let status = self.end(timeout)?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.last_words(anyhow!("{} ended with {status}", self.name))),
            None => Err(self.last_words(anyhow!("{} had to be killed {timeout:?} after SIGTERM", self.name))),
        }
    }

    /// The status with which it ended; `None` if it had to be killed.
    fn end(&mut self, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.end(Duration::from_secs(5)) {
            eprintln!("{} (process {}) could not be ended: {error}", self.name, self.child.id());
        }
    }
}

/// Passes lines on until either side ends.
fn forward(mut from: impl BufRead, to: &SyncSender<String>) {
    let mut line = String::new();
    while matches!(from.read_line(&mut line), Ok(1..)) {
        if to.send(std::mem::take(&mut line)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, speaks: bool) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let start = Start {
            name: "the shell",
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            log: folder.path().join("log"),
            speaks,
        };
        (Process::start(start).unwrap(), folder)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_process_that_speaks_is_heard_and_hears() {
        let script = r#"echo '{"event":"noise"}'; echo '{"event":"ready","n":7}'; read line; echo "$line"; read line"#;
        let (mut process, _folder) = shell(script, true);
        let interrupt = Interrupt::never();
        let mut noises = 0;
        assert_eq!(process.wait_for("ready", LONG, &interrupt, |_| noises += 1).unwrap()["n"], 7);
        assert_eq!(noises, 1);
        process.tell(&serde_json::json!({ "event": "echo" })).unwrap();
        process.wait_for("echo", LONG, &interrupt, |_| {}).unwrap();
        process.check().unwrap();
        assert!(process.stop(LONG).is_err(), "a shell that reads dies of the signal");
    }

    #[test]
    fn one_that_dies_is_quoted() {
        let (mut process, _folder) = shell("echo 'no such plant' >&2; exit 3", true);
        let error = process.wait_for("ready", LONG, &Interrupt::never(), |_| {}).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("no such plant") && text.contains('3'), "{text}");
    }

    #[test]
    fn one_that_ignores_the_signal_is_killed() {
        let (mut process, _folder) =
            shell("trap '' TERM; echo '{\"event\":\"ready\"}'; while :; do read x; done", true);
        process.wait_for("ready", LONG, &Interrupt::never(), |_| {}).unwrap();
        let pid = process.pid();
        // Its standard input stays open as long as this end does.
        let stdin = process.stdin.take();
        let error = process.stop(Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        drop(stdin);
    }
}
