//! What the official Rust SDK sends arrives where it should.

use azure_core_amqp::AmqpSimpleValue;
use azure_messaging_eventhubs::StartLocation;
use bench_eventhubs::partition_hash::partition_of;

use crate::process::Process;
use crate::sdk::{bodies, body_of, producer, producer_at, read, run, send, to_partition, with_key};

#[test]
fn a_hub_says_what_it_has() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        let hub = producer.get_eventhub_properties().await.unwrap();
        assert_eq!((hub.name.as_str(), hub.partition_ids), ("plant", ["0", "1", "2", "3"].map(String::from).to_vec()));
        let empty = producer.get_partition_properties("2").await.unwrap();
        assert!(empty.is_empty);
        send(&producer, to_partition("2"), bodies("x", 3)).await.unwrap();
        let filled = producer.get_partition_properties("2").await.unwrap();
        assert_eq!(
            (filled.is_empty, filled.beginning_sequence_number, filled.last_enqueued_sequence_number),
            (false, 0, 2)
        );
        producer.close().await.unwrap();
    });
}

#[test]
fn batches_to_a_partition_arrive_whole_and_in_order() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        let mut sent = Vec::new();
        for batch in 0..5 {
            let bodies = bodies(&format!("batch{batch}-"), 200);
            send(&producer, to_partition("3"), bodies.clone()).await.unwrap();
            sent.extend(bodies);
        }
        let events = read(process.amqp(), "3", StartLocation::Earliest, false, 1_000).await;
        assert_eq!(events.iter().map(body_of).collect::<Vec<_>>(), sent);
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event.sequence_number(), i64::try_from(index).ok());
            let data = event.event_data();
            assert_eq!(data.message_id(), Some(&format!("id-{}", sent[index]).into()));
            assert_eq!(data.properties().unwrap()["kind"], AmqpSimpleValue::from("test".to_owned()));
            assert!(event.system_properties().contains_key("x-opt-millicore-accepted-us"));
        }
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["events"], 1_000);
}

#[test]
fn a_key_chooses_the_partition_that_the_service_would() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        for key in ["asset000", "asset001", "7", "FWfAT", "131", "a longer key than one block of the hash"] {
            let before = process.stats();
            send(&producer, with_key(key), bodies(key, 2)).await.unwrap();
            let partition = usize::from(partition_of(key.as_bytes(), 4));
            let at = before["partitions"]["plant"][partition]["next_sequence_number"].as_i64().unwrap();
            let from = StartLocation::SequenceNumber(at);
            let events = read(process.amqp(), &partition.to_string(), from, true, 2).await;
            assert_eq!(events.iter().map(body_of).collect::<Vec<_>>(), bodies(key, 2));
            assert_eq!(events[0].partition_key().as_deref(), Some(key));
        }
        producer.close().await.unwrap();
    });
}

#[test]
fn batches_without_a_key_go_to_each_partition_in_turn() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        for _ in 0..8 {
            send(&producer, None, bodies("x", 3)).await.unwrap();
        }
        producer.close().await.unwrap();
    });
    let stats = process.stop();
    for partition in stats["partitions"]["plant"].as_array().unwrap() {
        assert_eq!(partition["events"], 6, "{stats}");
    }
}

#[test]
fn an_event_of_many_frames_arrives_as_it_was() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        // The SDK counts the first event of a batch twice, so that a larger one does not fit.
        let large: String = ('a'..='z').cycle().take(520_000).collect();
        send(&producer, to_partition("0"), [large.clone()]).await.unwrap();
        let events = read(process.amqp(), "0", StartLocation::Earliest, false, 1).await;
        assert!(body_of(&events[0]) == large, "the body differs");
        producer.close().await.unwrap();
    });
}

#[test]
fn a_wrong_key_is_refused_and_counted() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer_at(format!("amqp://{}", process.amqp()), "d3Jvbmc=").await;
        let outcome = match producer {
            Ok(producer) => send(&producer, None, bodies("x", 1)).await,
            Err(error) => Err(error),
        };
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("401") || error.to_lowercase().contains("unauthorized"), "{error}");
    });
    let stats = process.stop();
    assert!(stats["unauthorized"].as_u64() > Some(0), "{stats}");
    assert_eq!(stats["events"], 0);
}

#[test]
fn without_a_check_any_key_opens() {
    let process = Process::start(&["--no-auth-check"]);
    run(async {
        let producer = producer_at(format!("amqp://{}", process.amqp()), "d3Jvbmc=").await.unwrap();
        send(&producer, None, bodies("x", 1)).await.unwrap();
        producer.close().await.unwrap();
    });
    assert_eq!(process.stop()["events"], 1);
}
