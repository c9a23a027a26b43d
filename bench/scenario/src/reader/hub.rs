//! Every event of the hub, read by the endpoint's own client: independent of the SDK under test.

use anyhow::Context as _;
use bench_eventhubs::codec::value::Value;
use bench_eventhubs::reader::{ReadEvent, Reader, ReaderOptions};
use bench_eventhubs::selector::Start;
use bench_eventhubs::token::AccessKey;
use tokio::sync::mpsc;

use crate::harness::{HUB, LOCAL_KEY, LOCAL_KEY_NAME};

/// Events that may wait for the account; then the hub's credit is withheld.
pub(crate) const EVENTS_MAX: usize = 1_024;

/// Connects to the hub at `amqp`; starts before the oldest event.
///
/// # Errors
/// If it cannot be reached, or refuses.
pub(crate) async fn connect(amqp: &str) -> anyhow::Result<Reader> {
    let options = ReaderOptions {
        address: amqp.to_owned(),
        hub: HUB.to_owned(),
        consumer_group: "$Default".to_owned(),
        start: Start::Earliest,
        access_key: Some(AccessKey { name: LOCAL_KEY_NAME.to_owned(), key: LOCAL_KEY.to_owned() }),
    };
    Reader::connect(&options).await.with_context(|| format!("cannot read from the hub at {amqp}"))
}

/// Passes events on for ever. When `events` is full it waits, and the hub with it.
///
/// # Errors
/// If the hub ends the connection, or sends what is no event.
pub(crate) async fn read_all(mut reader: Reader, events: mpsc::Sender<ReadEvent>) -> anyhow::Result<()> {
    loop {
        let event = reader.next().await.context("reading from the hub")?;
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

/// The event's `message-id` as bytes; empty where it has none or its properties are malformed.
pub(crate) fn id_of(event: &ReadEvent) -> Vec<u8> {
    match event.message_id() {
        Ok(Value::Null) | Err(_) => Vec::new(),
        Ok(id) => id.as_text().map_or_else(|| format!("{id:?}").into_bytes(), |text| text.as_bytes().to_vec()),
    }
}
