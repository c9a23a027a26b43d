//! Sizes, quotas and counts, and what happens at them.

use azure_core_amqp::AmqpMessage;
use serde_json::json;

use crate::process::Process;
use crate::sdk::{bodies, producer, run, send, to_partition};

#[test]
fn a_message_past_the_limit_is_refused_and_the_next_one_is_not() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        let message = AmqpMessage::builder().with_body(vec![b'x'; 1_048_577]).build();
        let error = producer.send_message(message, None).await.unwrap_err();
        assert!(format!("{error:?}").contains("LinkPayloadSizeExceeded"), "{error:?}");
        send(&producer, to_partition("0"), bodies("x", 1)).await.unwrap();
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["events"], 1);
}

#[test]
fn the_basic_tier_takes_a_quarter() {
    let process = Process::start(&["--basic"]);
    run(async {
        let producer = producer(process.amqp()).await;
        let batch = producer.create_batch(Some(to_partition("0"))).await.unwrap();
        assert!(!batch.try_add_event_data(vec![b'x'; 262_144], None).unwrap());
        // The SDK counts the first event of a batch twice.
        assert!(batch.try_add_event_data(vec![b'x'; 120_000], None).unwrap());
        producer.send_batch(batch, None).await.unwrap();
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["events"], 1);
}

#[test]
fn past_its_throughput_units_a_hub_is_busy() {
    let process = Process::start(&["--throughput-units", "1"]);
    run(async {
        let producer = producer(process.amqp()).await;
        for batch in 0..4 {
            // The SDK retries what was throttled, so that all arrives in the end.
            send(&producer, to_partition("0"), bodies(&format!("{batch}-"), 600)).await.unwrap();
        }
        producer.close().await.unwrap();
    });
    let stats = process.stop();
    assert_eq!(stats["events"], 2_400);
    assert!(stats["throttled"].as_u64() > Some(0), "{stats}");
}

#[test]
fn a_connection_past_the_limit_is_closed() {
    let process = Process::start(&["--connections-count-max", "1"]);
    run(async {
        let producer = producer(process.amqp()).await;
        send(&producer, to_partition("0"), bodies("x", 1)).await.unwrap();
        let mut second = std::net::TcpStream::connect(process.amqp()).unwrap();
        assert_eq!(std::io::Read::read(&mut second, &mut [0; 8]).unwrap(), 0);
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["connections_refused"], json!(1));
}

#[test]
fn events_are_appended_to_a_file_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    let process = Process::start(&["--file", file.to_str().unwrap()]);
    run(async {
        let producer = producer(process.amqp()).await;
        send(&producer, to_partition("2"), bodies("x", 3)).await.unwrap();
        producer.close().await.unwrap();
    });
    process.stop();
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["hub"] == "plant" && line["partition"] == 2));
}
