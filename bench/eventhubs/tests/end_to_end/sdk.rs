//! The official SDK, as these tests use it: clients, batches, and events read back.

use std::net::SocketAddr;
use std::time::Duration;

use azure_messaging_eventhubs::error::Result;
use azure_messaging_eventhubs::models::EventData;
use azure_messaging_eventhubs::models::ReceivedEventData;
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, OpenReceiverOptions, ProducerClient, StartLocation, StartPosition,
};
use futures_util::StreamExt as _;

use crate::process::KEY;

/// Longer than any step takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) fn connection_string(key: &str) -> String {
    format!("Endpoint=sb://localhost/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={key}")
}

pub(crate) async fn producer_at(endpoint: String, key: &str) -> Result<ProducerClient> {
    let builder = ProducerClient::builder().with_custom_endpoint(endpoint);
    builder.open_with_connection_string(&connection_string(key), Some("plant")).await
}

pub(crate) async fn producer(address: SocketAddr) -> ProducerClient {
    producer_at(format!("amqp://{address}"), KEY).await.unwrap()
}

pub(crate) async fn consumer(address: SocketAddr) -> ConsumerClient {
    let builder = ConsumerClient::builder().with_custom_endpoint(format!("amqp://{address}"));
    builder.open_with_connection_string(&connection_string(KEY), Some("plant")).await.unwrap()
}

pub(crate) fn to_partition(id: &str) -> EventDataBatchOptions {
    EventDataBatchOptions { partition_id: Some(id.to_owned()), ..EventDataBatchOptions::default() }
}

pub(crate) fn with_key(key: &str) -> EventDataBatchOptions {
    EventDataBatchOptions { partition_key: Some(key.to_owned()), ..EventDataBatchOptions::default() }
}

/// Sends one event for each body, in one batch.
pub(crate) async fn send(
    producer: &ProducerClient,
    options: impl Into<Option<EventDataBatchOptions>>,
    bodies: impl IntoIterator<Item = String>,
) -> Result<()> {
    let batch = producer.create_batch(options.into()).await?;
    for body in bodies {
        let event =
            EventData::builder().with_body(body.clone()).with_message_id(format!("id-{}", &body[..body.len().min(40)]));
        let event = event.add_property("kind".to_owned(), "test".to_owned()).build();
        assert!(batch.try_add_event_data(event, None)?);
    }
    producer.send_batch(batch, None).await
}

pub(crate) fn bodies(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

pub(crate) fn body_of(event: &ReceivedEventData) -> String {
    String::from_utf8(event.event_data().body().unwrap().to_vec()).unwrap()
}

/// Reads `count` events of a partition with a client of its own: the SDK reuses a link for another start.
pub(crate) async fn read(
    address: SocketAddr,
    partition: &str,
    location: StartLocation,
    inclusive: bool,
    count: usize,
) -> Vec<ReceivedEventData> {
    let consumer = consumer(address).await;
    let options = OpenReceiverOptions {
        start_position: Some(StartPosition { location, inclusive }),
        ..OpenReceiverOptions::default()
    };
    let receiver = consumer.open_receiver_on_partition(partition.to_owned(), Some(options)).await.unwrap();
    let events = receiver.stream_events().take(count).map(std::result::Result::unwrap).collect::<Vec<_>>();
    let events = tokio::time::timeout(DEADLINE, events).await.unwrap();
    receiver.close().await.unwrap();
    consumer.close().await.unwrap();
    events
}

/// Runs a test on one thread, as the SDK allows.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE * 2, test).await.expect("the test is stuck") })
}
