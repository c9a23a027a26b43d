//! The process's end of the control socket, on the control lane.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use telemetry::{CONTROL_LINE_BYTES_MAX, ControlAnswer, ControlRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Conversations at once; another one waits.
const CONVERSATIONS_MAX: usize = 8;

/// How long a conversation may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Who answers.
pub(crate) trait ControlService: 'static {
    /// Answers one request. Called on the control lane; may await the cores.
    fn answer(&self, request: ControlRequest) -> impl Future<Output = ControlAnswer>;
}

/// The bound socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocketFile {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocketFile {
    /// Binds `path` with mode 0600. A file that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// Another process listens there, something else lies there, or the folder cannot be written.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            anyhow::bail!(
                "another millicore listens at {}: stop it, or give [control] socket another path in the site's file",
                path.display()
            );
        }
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                anyhow::bail!(
                    "{} is no socket: give [control] socket a path of its own in the site's file",
                    path.display()
                );
            }
            std::fs::remove_file(path).with_context(|| format!("cannot replace the stale {}", path.display()))?;
        }
        let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
        let socket = Self { path: path.to_owned(), listener };
        // Until here only those who may write to it could connect, and nobody is answered yet.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot keep {} to its owner", path.display()))?;
        Ok(socket)
    }

    /// Serves until the lane stops; runs inside a `LocalSet`.
    pub(crate) async fn serve<S: ControlService>(&self, service: Rc<S>) {
        let room = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let service = service.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = converse(stream, &*service).await {
                    tracing::debug!(%error, "a conversation on the control socket ended");
                }
                drop(permit);
            });
        }
    }
}

impl Drop for ControlSocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket's file is gone already");
        }
    }
}

async fn converse<S: ControlService>(stream: UnixStream, service: &S) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(CONTROL_LINE_BYTES_MAX as u64);
        let read = tokio::time::timeout(IDLE_TIMEOUT, limited.read_line(&mut line)).await??;
        if read == 0 {
            return Ok(());
        }
        anyhow::ensure!(line.ends_with('\n'), "a line longer than {CONTROL_LINE_BYTES_MAX} bytes");
        let answer = match ControlRequest::parse(line.trim_end()) {
            Ok(request) => service.answer(request).await,
            Err(error) => ControlAnswer::Error(error.to_string()),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        tokio::time::timeout(IDLE_TIMEOUT, writer.write_all(text.as_bytes())).await??;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Write};

    use telemetry::Verb;

    use super::*;
    use crate::control_client::ControlClient;

    struct Fixed;

    impl ControlService for Fixed {
        async fn answer(&self, request: ControlRequest) -> ControlAnswer {
            match request.verb {
                Verb::Plan => ControlAnswer::Plan("a table".into()),
                Verb::Status | Verb::LogLevel { .. } | Verb::Reload => ControlAnswer::Error("not here".into()),
            }
        }
    }

    fn serving(path: &Path, client: impl FnOnce() + Send + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let socket = ControlSocketFile::bind(path).unwrap();
            let client = tokio::task::spawn_blocking(client);
            tokio::select! {
                () = socket.serve(Rc::new(Fixed)) => unreachable!("serves for ever"),
                joined = client => joined.unwrap(),
            }
        });
    }

    #[test]
    fn a_request_is_answered_and_a_refusal_becomes_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let at = path.clone();
        serving(&path, move || {
            let mut client = ControlClient::connect(&at).unwrap();
            assert_eq!(client.ask(Verb::Plan).unwrap(), ControlAnswer::Plan("a table".into()));
            assert_eq!(client.status().unwrap_err().to_string(), "not here");
        });
        assert!(!path.exists(), "the file goes with the listener");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.toml");
        std::fs::write(&path, "name = \"plant\"").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(async { ControlSocketFile::bind(&path).unwrap_err().to_string() });
        assert!(refused.contains("no socket") && path.exists(), "{refused}");
    }

    #[test]
    fn garbage_and_endless_lines_do_not_end_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let at = path.clone();
        serving(&path, move || {
            let mut stream = std::os::unix::net::UnixStream::connect(&at).unwrap();
            stream.write_all(b"what?\n").unwrap();
            let mut answer = String::new();
            std::io::BufReader::new(&stream).read_line(&mut answer).unwrap();
            assert!(answer.contains("error"), "{answer}");
            let endless = vec![b'x'; CONTROL_LINE_BYTES_MAX * 2];
            let mut stream = std::os::unix::net::UnixStream::connect(&at).unwrap();
            let _ = stream.write_all(&endless);
            assert!(ControlClient::connect(&at).unwrap().ask(Verb::Plan).is_ok());
        });
    }

    #[test]
    fn only_the_owner_may_speak_to_it_and_a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let at = path.clone();
        serving(&path, move || {
            assert_eq!(std::fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0o600);
            let refused = ControlSocketFile::bind(&at).unwrap_err().to_string();
            assert!(refused.contains("another millicore"), "{refused}");
        });
    }
}
