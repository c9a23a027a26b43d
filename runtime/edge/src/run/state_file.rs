//! A Session's saved state on disk: the newest one, whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use executor::{Blocking, CoreContext, LocalReceiver, LocalSender, ShellLimit, local_channel};
use opcua_subscription::SessionState;

/// States that may wait to be written; a newer one replaces those that wait.
const WAITING_MAX: usize = 4;

/// Writes the states of one Session, one after the other, off the core.
#[derive(Debug)]
pub(super) struct StateFile {
    states: LocalSender<SessionState>,
    /// A state that found no room; it is the newest.
    newest: Option<SessionState>,
}

impl StateFile {
    /// Starts the shell that writes `file`. Its folder exists.
    ///
    /// # Errors
    /// The core has no room for another shell.
    pub(super) fn start(context: &CoreContext, file: PathBuf, blocking: Blocking) -> Result<Self, ShellLimit> {
        let (states, waiting) = local_channel(WAITING_MAX, None);
        context.spawn_shell("state-file", write_all(waiting, file, blocking))?;
        Ok(Self { states, newest: None })
    }

    /// Keeps `state` on disk soon.
    pub(super) fn save(&mut self, state: SessionState) {
        self.newest = Some(state);
        self.retry();
    }

    /// Whether its shell has every state that was to be saved.
    pub(super) fn is_idle(&self) -> bool {
        self.newest.is_none()
    }

    /// Tries again what found no room. Call it once a turn.
    pub(super) fn retry(&mut self) {
        if let Some(state) = self.newest.take() {
            self.newest = self.states.try_send(state).err();
        }
    }
}

async fn write_all(mut states: LocalReceiver<SessionState>, file: PathBuf, blocking: Blocking) {
    while let Some(mut state) = states.receive().await {
        while let Some(newer) = states.try_receive() {
            state = newer;
        }
        let (bytes, to) = (state.to_bytes(), file.clone());
        match blocking.run(move || write(&to, &bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(file = %file.display(), %error, "the session cannot be saved: a restart makes a new one");
            }
            Err(error) => tracing::warn!(file = %file.display(), %error, "the session is not saved"),
        }
    }
}

/// Replaces `file` by `bytes`, readable by its owner only: the state holds the session's secret.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let beside = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_data()?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_state_replaces_the_one_before_and_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("opcua-a.session");
        write(&file, b"first").unwrap();
        write(&file, b"second").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"second");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
