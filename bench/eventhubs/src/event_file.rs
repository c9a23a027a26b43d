//! A file that every accepted event is appended to: one JSON object a line, the message in base64.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::event::Prepared;

/// An open file. After an error nothing more is written, and the error is told once.
#[derive(Debug)]
pub struct EventFile {
    writer: Option<BufWriter<File>>,
}

impl EventFile {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { writer: Some(BufWriter::with_capacity(1 << 20, file)) })
    }

    /// Appends one event.
    pub fn append(&mut self, hub: &str, partition: usize, accepted_us: i64, event: &Prepared) {
        let line = json!({
            "hub": hub,
            "partition": partition,
            "accepted_us": accepted_us,
            "message": STANDARD.encode(event.raw()),
        });
        self.attempt(|writer| writeln!(writer, "{line}"));
    }

    /// Hands what is buffered to the kernel.
    pub fn flush(&mut self) {
        self.attempt(BufWriter::flush);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(reason) = write(writer) {
            tracing::error!(%reason, "the file of events failed and gets no more");
            self.writer = None;
        }
    }
}
