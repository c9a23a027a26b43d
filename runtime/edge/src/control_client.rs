//! The command line's end of the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use telemetry::{ControlAnswer, ControlRequest, NodeSnapshot, Verb};

/// How long an answer may take before the process counts as stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read: snapshots of many cores with many sessions stay far below.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where the control socket is when nobody says otherwise: the user's runtime folder, else the temporary one.
pub(crate) fn default_socket() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder).join("millicore.sock"),
        _ => std::env::temp_dir().join(format!("millicore-{}.sock", rustix::process::getuid().as_raw())),
    }
}

/// A conversation with the running process.
#[derive(Debug)]
pub(crate) struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to `socket`.
    ///
    /// # Errors
    /// Nobody listens there; the message says how to name another socket.
    pub(crate) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| {
            format!(
                "no millicore answers at {}: start it with `millicore run`, or name its socket with --control",
                socket.display()
            )
        })?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks for the whole snapshot.
    ///
    /// # Errors
    /// The process went away, is stuck, or refused.
    pub(crate) fn status(&mut self) -> anyhow::Result<NodeSnapshot> {
        match self.ask(Verb::Status)? {
            ControlAnswer::Status(snapshot) => Ok(*snapshot),
            ControlAnswer::Plan(_) | ControlAnswer::Reloaded(_) | ControlAnswer::Done | ControlAnswer::Error(_) => {
                bail!("not an answer to `status`")
            }
        }
    }

    /// Asks anything; an error of the other side becomes ours.
    ///
    /// # Errors
    /// The process went away, is stuck, or refused.
    pub(crate) fn ask(&mut self, verb: Verb) -> anyhow::Result<ControlAnswer> {
        let mut line = serde_json::to_string(&ControlRequest::new(verb))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).context("the process went away")?;
        let mut answer = String::new();
        let read = self.stream.by_ref().take(ANSWER_BYTES_MAX).read_line(&mut answer);
        if read.context("no answer within 5 s: the process is stuck or was stopped")? == 0 {
            bail!("the process went away");
        }
        match serde_json::from_str(&answer).context("the answer is of another version")? {
            ControlAnswer::Error(problem) => bail!(problem),
            answer @ (ControlAnswer::Status(_)
            | ControlAnswer::Plan(_)
            | ControlAnswer::Reloaded(_)
            | ControlAnswer::Done) => Ok(answer),
        }
    }
}
