//! Copies of accepted events, one JSON object a line: in a file with the message in base64, or for a person who looks on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::codec::message::Sections;
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

/// An event for a person who looks on: where it went, and its body, as JSON where it is JSON, else as text.
/// `batch_key` is the partition key of its batch.
pub fn printed(hub: &str, partition: usize, batch_key: Option<&str>, event: &Prepared) -> Value {
    let mut body = Vec::new();
    // Was found well-formed when it was prepared.
    let _checked = Sections::find(event.raw(), |data| body.extend_from_slice(&data));
    let body: Value =
        serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
    json!({
        "event": "accepted",
        "hub": hub,
        "partition": partition,
        "partition_key": event.partition_key().or(batch_key),
        "body": body,
    })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};

    use super::*;
    use crate::codec::encoder as put;

    fn event(body: &[u8]) -> Prepared {
        let mut message = BytesMut::new();
        message.put_slice(&[0x00, 0x53, 0x75]);
        put::binary(&mut message, body);
        Prepared::new(message.freeze()).unwrap()
    }

    #[test]
    fn a_body_of_json_is_printed_as_such_and_another_as_text() {
        let line = printed("telemetry", 1, Some("plant/data/press"), &event(br#"{"t":{"Value":21.5}}"#));
        assert_eq!(line["body"]["t"]["Value"], 21.5);
        assert_eq!((&line["partition"], &line["partition_key"]), (&json!(1), &json!("plant/data/press")));
        assert_eq!(printed("telemetry", 0, None, &event(b"21.5 C"))["body"], "21.5 C");
    }
}
