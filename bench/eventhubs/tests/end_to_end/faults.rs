//! Each fault as the official Rust SDK reports it. Some of what it reports is why our egress does not trust it.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::process::Process;
use crate::sdk::{DEADLINE, bodies, producer, run, send, to_partition};

/// Long enough to see that the SDK waits.
const BRIEFLY: Duration = Duration::from_secs(2);

/// Sends one event into a fault. Returns what the SDK said, or `None` when `patience` was over, and how many are
/// stored.
fn send_into(fault: &serde_json::Value, patience: Duration) -> (Option<Result<(), String>>, u64) {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        send(&producer, to_partition("0"), bodies("before", 1)).await.unwrap();
        process.control(fault);
        let sent = timeout(patience, send(&producer, to_partition("0"), bodies("during", 1))).await;
        let sent = sent.ok().map(|sent| sent.map_err(|error| error.to_string()));
        (sent, process.stats()["events"].as_u64().unwrap() - 1)
    })
}

#[test]
fn released_and_modified_look_like_success_to_send_batch_and_nothing_is_stored() {
    for kind in ["released", "modified"] {
        let outcome = send_into(&json!({ "cmd": "fault", "kind": kind, "count": 1 }), DEADLINE);
        assert_eq!(outcome, (Some(Ok(())), 0), "{kind}");
    }
}

#[test]
fn one_server_busy_or_internal_error_is_retried_by_the_sdk() {
    for kind in ["server-busy", "internal-error"] {
        let outcome = send_into(&json!({ "cmd": "fault", "kind": kind, "count": 1 }), DEADLINE);
        assert_eq!(outcome, (Some(Ok(())), 1), "{kind}");
    }
}

/// What the SDK makes of it differs from run to run: it recovers, or its call never returns. A new client gets through.
#[test]
fn after_a_detach_or_a_disconnect_a_new_client_gets_through() {
    for (kind, store) in [("detach", false), ("disconnect", false), ("disconnect", true)] {
        let process = Process::start(&[]);
        run(async {
            let lost = producer(process.amqp()).await;
            send(&lost, to_partition("0"), bodies("before", 1)).await.unwrap();
            process.control(&json!({ "cmd": "fault", "kind": kind, "count": 1, "store": store }));
            let sent = timeout(BRIEFLY, send(&lost, to_partition("0"), bodies("during", 1))).await;
            let stored = 1 + u64::from(store) + u64::from(matches!(sent, Ok(Ok(()))));
            assert_eq!(process.stats()["events"], stored, "{kind}, store: {store}");
            let next = producer(process.amqp()).await;
            send(&next, to_partition("0"), bodies("after", 1)).await.unwrap();
            assert_eq!(process.stats()["events"], stored + 1);
        });
        assert_eq!(process.stop()["faults_hit"], 1);
    }
}

#[test]
fn a_stall_is_waited_for_without_end() {
    let outcome = send_into(&json!({ "cmd": "fault", "kind": "stall", "count": 1 }), BRIEFLY);
    assert_eq!(outcome, (None, 0));
}

#[test]
fn a_size_that_is_refused_is_told_at_once() {
    let (sent, stored) = send_into(&json!({ "cmd": "fault", "kind": "reject-size" }), DEADLINE);
    assert!(sent.unwrap().is_err());
    assert_eq!(stored, 0);
}

#[test]
fn ack_latency_delays_the_outcome_and_not_the_event() {
    let (sent, stored) = send_into(&json!({ "cmd": "fault", "kind": "ack-latency", "latency_ms": 10_000 }), BRIEFLY);
    assert_eq!((sent, stored), (None, 1));
}

#[test]
fn every_nth_delivery_is_hit_until_the_faults_are_cleared() {
    let process = Process::start(&[]);
    run(async {
        let producer = producer(process.amqp()).await;
        process.control(&json!({ "cmd": "fault", "kind": "released", "every": 3 }));
        for index in 0..9 {
            send(&producer, to_partition("0"), bodies(&format!("{index}-"), 1)).await.unwrap();
        }
        assert_eq!(process.stats()["events"], 6);
        process.control(&json!({ "cmd": "clear" }));
        for index in 0..3 {
            send(&producer, to_partition("0"), bodies(&format!("{index}-"), 1)).await.unwrap();
        }
        producer.close().await.unwrap();
    });
    let stats = process.stop();
    assert_eq!((&stats["events"], &stats["faults_hit"]), (&json!(9), &json!(3)));
}

#[test]
fn while_connections_are_refused_nobody_gets_in() {
    let process = Process::start(&[]);
    process.control(&json!({ "cmd": "refuse", "ms": 60_000 }));
    run(async {
        let opening = crate::sdk::producer_at(format!("amqp://{}", process.amqp()), crate::process::KEY);
        assert!(!matches!(timeout(Duration::from_secs(3), opening).await, Ok(Ok(_))));
        process.control(&json!({ "cmd": "clear" }));
        let producer = producer(process.amqp()).await;
        send(&producer, None, bodies("x", 1)).await.unwrap();
        producer.close().await.unwrap();
    });
    assert!(process.stop()["connections_refused"].as_u64() > Some(0));
}

#[test]
fn what_the_control_port_cannot_do_is_said_and_the_connection_stays() {
    let process = Process::start(&[]);
    for request in [
        json!({ "cmd": "nonsense" }),
        json!({ "cmd": "fault", "kind": "nonsense" }),
        json!({ "cmd": "fault", "kind": "ack-latency" }),
        json!({ "cmd": "fault", "kind": "stall", "every": 0 }),
        json!({ "cmd": "fault", "kind": "stall", "nonsense": 1 }),
        json!({ "cmd": "refuse", "ms": 3_600_001 }),
    ] {
        let answer = process.ask(&request);
        assert!(answer["ok"] == false && answer["error"].is_string(), "{request}: {answer}");
    }
    process.control(&json!({ "cmd": "stop" }));
}
