//! Our reader, which shares no code with the SDK that sends.

use bench_eventhubs::codec::value::Value;
use bench_eventhubs::reader::{Reader, ReaderError, ReaderOptions};
use bench_eventhubs::selector::Start;
use bench_eventhubs::token::AccessKey;
use tokio::time::timeout;

use crate::process::{KEY, Process};
use crate::sdk::{DEADLINE, bodies, producer, run, send, to_partition};

fn options(process: &Process) -> ReaderOptions {
    ReaderOptions {
        address: process.amqp().to_string(),
        hub: "plant".to_owned(),
        consumer_group: "$Default".to_owned(),
        start: Start::Earliest,
        access_key: Some(AccessKey { name: "RootManageSharedAccessKey".to_owned(), key: KEY.to_owned() }),
    }
}

#[test]
fn every_event_of_every_partition_is_read_once_and_in_order() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        let mut reader = Reader::connect(&options(&process)).await.unwrap();
        for batch in 0..12 {
            let partition = (batch % 4).to_string();
            send(&producer, to_partition(&partition), bodies(&format!("{batch}-"), 900)).await.unwrap();
        }
        let large = "y".repeat(500_000);
        send(&producer, to_partition("0"), [large.clone()]).await.unwrap();
        let mut next = [0; 4];
        let mut last_us = [0; 4];
        for _ in 0..=12 * 900 {
            let event = timeout(DEADLINE, reader.next()).await.unwrap().unwrap();
            let partition = usize::from(event.partition);
            assert_eq!(event.sequence_number, next[partition]);
            assert!(event.accepted_us >= last_us[partition]);
            (next[partition], last_us[partition]) = (event.sequence_number + 1, event.accepted_us);
            let body = std::str::from_utf8(&event.body).unwrap();
            let index = event.sequence_number % 900;
            if event.body.len() == large.len() {
                assert_eq!((event.partition, event.sequence_number), (0, 2_700));
            } else {
                let batch = event.sequence_number / 900 * 4 + i64::from(event.partition);
                assert_eq!(body, format!("{batch}-{index}"));
            }
            assert_eq!(event.message_id().unwrap(), Value::String(format!("id-{}", &body[..body.len().min(40)])));
            let properties = event.application_properties().unwrap();
            assert_eq!(properties.get("kind").and_then(Value::as_text), Some("test"));
        }
        assert_eq!(next, [2_701, 2_700, 2_700, 2_700]);
        reader.close().await.unwrap();
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["protocol_errors"], 0);
}

#[test]
fn a_reader_with_another_key_or_hub_is_refused() {
    let process = Process::start(&[]);
    run(async {
        let wrong = AccessKey { name: "RootManageSharedAccessKey".to_owned(), key: "d3Jvbmc=".to_owned() };
        let refused = Reader::connect(&ReaderOptions { access_key: Some(wrong), ..options(&process) }).await;
        assert!(matches!(refused, Err(ReaderError::Refused(error)) if error.condition == "amqp:unauthorized-access"));
        let refused = Reader::connect(&ReaderOptions { hub: "other".to_owned(), ..options(&process) }).await;
        assert!(matches!(refused, Err(ReaderError::Refused(error)) if error.condition == "amqp:not-found"));
        let refused = Reader::connect(&ReaderOptions { access_key: None, ..options(&process) }).await;
        assert!(matches!(refused, Err(ReaderError::Refused(error)) if error.condition == "amqp:unauthorized-access"));
    });
}

#[test]
fn a_reader_learns_that_the_endpoint_went_away() {
    let process = Process::start(&[]);
    run(async {
        let mut reader = Reader::connect(&options(&process)).await.unwrap();
        process.stop();
        let lost = timeout(DEADLINE, reader.next()).await.unwrap();
        assert!(matches!(lost, Err(ReaderError::Io(_))));
    });
}
