//! What is stored is read from where the official Rust SDK asks for.

use std::time::{Duration, UNIX_EPOCH};

use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::{OpenReceiverOptions, StartLocation, StartPosition};
use futures_util::StreamExt as _;

use crate::process::Process;
use crate::sdk::{bodies, body_of, consumer, producer, read, run, send, to_partition};

#[test]
fn a_receiver_starts_at_an_offset_a_number_or_a_time() {
    let process = Process::start(&[]);
    let address = process.amqp();
    run(async {
        let producer = producer(address).await;
        for index in 0..10 {
            send(&producer, to_partition("1"), bodies(&format!("e{index}-"), 1)).await.unwrap();
        }
        let all = read(address, "1", StartLocation::Earliest, false, 10).await;
        let sixth = &all[5];
        let number = StartLocation::SequenceNumber(sixth.sequence_number().unwrap());
        let offset = StartLocation::Offset(sixth.offset().clone().unwrap());
        for location in [number, offset] {
            let inclusive = read(address, "1", location.clone(), true, 5).await;
            assert_eq!(
                inclusive.iter().map(body_of).collect::<Vec<_>>(),
                all[5..].iter().map(body_of).collect::<Vec<_>>()
            );
            let exclusive = read(address, "1", location, false, 4).await;
            assert_eq!(body_of(&exclusive[0]), body_of(&all[6]));
        }
        let time = sixth.enqueued_time().unwrap();
        let from = read(address, "1", StartLocation::EnqueuedTime(time), true, 1).await;
        assert!(from[0].enqueued_time().unwrap() == time && from[0].sequence_number() <= sixth.sequence_number());
        let behind = read(address, "1", StartLocation::EnqueuedTime(UNIX_EPOCH), false, 10).await;
        assert_eq!(body_of(&behind[0]), body_of(&all[0]));
        producer.close().await.unwrap();
    });
}

/// Waits until partition 0 has `count` receivers: the SDK attaches when its stream is first polled.
async fn receivers(process: &Process, count: u64) {
    while process.stats()["partitions"]["plant"][0]["receivers"] != count {
        tokio::task::yield_now().await;
    }
}

#[test]
fn latest_gives_only_what_comes_afterwards() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        send(&producer, to_partition("0"), bodies("old", 3)).await.unwrap();
        let consumer = consumer(process.amqp()).await;
        let receiver = consumer.open_receiver_on_partition("0".to_owned(), None).await.unwrap();
        let events = receiver.stream_events().take(3).map(|event| body_of(&event.unwrap())).collect::<Vec<_>>();
        let sending = async {
            receivers(&process, 1).await;
            send(&producer, to_partition("0"), bodies("new", 3)).await.unwrap();
        };
        assert_eq!(tokio::join!(events, sending).0, bodies("new", 3));
        receiver.close().await.unwrap();
        producer.close().await.unwrap();
        consumer.close().await.unwrap();
    });
}

#[test]
fn a_receiver_with_a_higher_owner_level_takes_over() {
    let process = Process::start(&[]);
    run(async {
        let options = |owner_level| OpenReceiverOptions {
            owner_level: Some(owner_level),
            start_position: Some(StartPosition { location: StartLocation::Earliest, inclusive: false }),
            receive_timeout: Some(azure_core::time::Duration::seconds(30)),
            ..OpenReceiverOptions::default()
        };
        let (first, second) = (consumer(process.amqp()).await, consumer(process.amqp()).await);
        let low = first.open_receiver_on_partition("0".to_owned(), Some(options(1))).await.unwrap();
        let high = second.open_receiver_on_partition("0".to_owned(), Some(options(2))).await.unwrap();
        let producer = producer(process.amqp()).await;
        let (mut low_events, mut high_events) = (Box::pin(low.stream_events()), Box::pin(high.stream_events()));
        let taking_over = async {
            receivers(&process, 1).await;
            let sending = async {
                while process.stats()["delivered"] != 1 {
                    send(&producer, to_partition("0"), bodies("x", 1)).await.unwrap();
                }
            };
            tokio::join!(high_events.next(), sending).0.unwrap().unwrap()
        };
        let (lost, event) = tokio::join!(low_events.next(), taking_over);
        let lost = lost.unwrap().unwrap_err();
        assert!(matches!(lost.kind, ErrorKind::ConsumerDisconnected(_)), "{lost:?}");
        assert_eq!(body_of(&event), "x0");
        producer.close().await.unwrap();
    });
}

#[test]
fn what_the_cap_forgets_is_counted_and_passed_over() {
    let process = Process::start(&["--store-bytes-max", "100000"]);
    run(async {
        let producer = producer(process.amqp()).await;
        for batch in 0..10 {
            send(&producer, to_partition("0"), bodies(&format!("{batch}-"), 100)).await.unwrap();
        }
        let stats = process.stats();
        let forgotten = stats["forgotten"].as_i64().unwrap();
        assert!(forgotten > 0 && stats["store_bytes"].as_u64() <= Some(100_000), "{stats}");
        let first = read(process.amqp(), "0", StartLocation::Earliest, false, 1).await;
        assert_eq!(first[0].sequence_number(), Some(forgotten));
        let properties = producer.get_partition_properties("0").await.unwrap();
        assert_eq!((properties.beginning_sequence_number, properties.last_enqueued_sequence_number), (forgotten, 999));
        producer.close().await.unwrap();
    });
}

#[test]
fn a_quiet_connection_is_kept_alive_by_heartbeats() {
    let process = Process::start(&["--idle-timeout-ms", "300"]);
    run(async {
        let producer = producer(process.amqp()).await;
        send(&producer, to_partition("0"), bodies("a", 1)).await.unwrap();
        // Waiting is the point: four times as long as the endpoint tolerates silence.
        tokio::time::timeout(Duration::from_millis(2_400), std::future::pending::<()>()).await.unwrap_err();
        send(&producer, to_partition("0"), bodies("b", 1)).await.unwrap();
        assert_eq!(process.stats()["connections_total"], 1);
        producer.close().await.unwrap();
    });
}
