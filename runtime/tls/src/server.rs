//! What is in force at a listener, and its replacement.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::TlsConfig;
use crate::error::TlsError;
use crate::loaded::Loaded;

/// The TLS of one listener, shared by all who begin handshakes.
#[derive(Debug)]
pub struct ServerTls {
    config: TlsConfig,
    /// Locked for one clone of the `Arc` a handshake, and to replace it.
    current: Mutex<Arc<Loaded>>,
    watch: Mutex<Watch>,
}

/// What the files looked like when they were read last.
#[derive(Debug)]
struct Watch {
    stamps: Vec<Stamp>,
    /// The last reading failed: it is tried again although nothing has changed, since a file may have been caught half written.
    failure: Option<String>,
}

/// What tells that a file is another: device, inode, size and time of modification. `None` where it cannot be seen.
type Stamp = Option<(u64, u64, u64, SystemTime)>;

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], with the file and what to do.
    pub fn load(config: TlsConfig) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(&config);
        let loaded = Loaded::read(&config)?;
        Ok(Arc::new(Self {
            config,
            current: Mutex::new(Arc::new(loaded)),
            watch: Mutex::new(Watch { stamps, failure: None }),
        }))
    }

    /// The files.
    pub fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again; handshakes that begin later use them. Connections, and handshakes under way, go on.
    ///
    /// # Errors
    /// [`TlsError`]; what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload_watched(&mut watch)
    }

    /// Reads the files again if one of them has changed since they were read, or if they could not be read then. Returns whether
    /// what is in force has changed. Costs a `stat` for each file.
    ///
    /// # Errors
    /// [`TlsError`], once for each new text; what was in force stays.
    pub fn check_files(&self) -> Result<bool, TlsError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.failure.is_none() && watch.stamps == stamps(&self.config) {
            return Ok(false);
        }
        let told = watch.failure.clone();
        match self.reload_watched(&mut watch) {
            Ok(()) => Ok(true),
            Err(_) if told.is_some() && told == watch.failure => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn reload_watched(&self, watch: &mut Watch) -> Result<(), TlsError> {
        // Before they are read: a change in between is then seen by the next check.
        watch.stamps = stamps(&self.config);
        match Loaded::read(&self.config) {
            Ok(loaded) => {
                watch.failure = None;
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                Ok(())
            }
            Err(error) => {
                watch.failure = Some(error.to_string());
                Err(error)
            }
        }
    }
}

fn stamps(config: &TlsConfig) -> Vec<Stamp> {
    config.files().iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
}
