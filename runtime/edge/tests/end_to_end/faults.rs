//! What goes wrong in plants: servers and hubs that are away, wrong names, broken bytes, taken ports.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::plant::{
    Folder, Hub, Plant, SiteText, assert_complete, drop_connections, each_has, millicore, millicore_with, read_events,
};
use crate::process::{PATIENCE, free_port};

fn site<'a>(folder: &'a Folder, opcua: &'a str, amqp: &'a str) -> SiteText<'a> {
    SiteText {
        folder,
        opcua: Some(opcua),
        opcua_lines: "",
        assets: 2,
        tags: 5,
        mqtt_port: None,
        amqp,
        sources: "plant/data/#",
    }
}

#[test]
fn a_connection_that_breaks_and_a_server_that_refuses_lose_nothing() {
    let (plant, hub, folder) = (Plant::start(2, 5, &["--fault-front"]), Hub::start(), Folder::new());
    let process = millicore(&folder, &site(&folder, &plant.endpoint, &hub.amqp).write());
    read_events(&hub, |found| each_has(found, 10, 4));
    plant.tell(&drop_connections());
    read_events(&hub, |found| each_has(found, 10, 10));
    plant.tell(&json!({ "cmd": "refuse", "ms": 3_000 }));
    let found = read_events(&hub, |found| each_has(found, 10, 24));
    assert_complete(&found, 10);
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_server_that_restarts_leaves_a_named_gap_and_no_silence() {
    let (plant, hub, folder) = (Plant::start(2, 5, &[]), Hub::start(), Folder::new());
    let process = millicore(&folder, &site(&folder, &plant.endpoint, &hub.amqp).write());
    read_events(&hub, |found| each_has(found, 10, 4));
    plant.tell(&json!({ "cmd": "restart", "down_ms": 1_500 }));
    let found = read_events(&hub, |found| each_has(found, 10, 14));
    for (name, values) in crate::plant::values(&found) {
        let numbers: Vec<u64> = values.iter().map(crate::plant::sequence).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{name:?}: {numbers:?}");
    }
    assert!(folder.log().contains("values may be missing between"), "{}", folder.log());
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_server_that_is_away_at_the_start_is_found_when_it_comes() {
    let port = free_port();
    let (hub, folder) = (Hub::start(), Folder::new());
    let endpoint = format!("opc.tcp://127.0.0.1:{port}/");
    let process = millicore(&folder, &site(&folder, &endpoint, &hub.amqp).write());
    let deadline = Instant::now() + PATIENCE;
    while !folder.log().contains("next attempt in") {
        assert!(Instant::now() < deadline, "{}", folder.log());
        // It says nothing there: a wait that ends with the process.
        let _nothing = process.line_within(Duration::from_millis(50));
    }
    let plant = Plant::start_at(&format!("127.0.0.1:{port}"), 2, 5, &[]);
    let found = read_events(&hub, |found| each_has(found, 10, 4));
    assert_complete(&found, 10);
    drop(plant);
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_tag_that_the_server_does_not_have_is_named_and_the_rest_runs() {
    let (plant, hub, folder) = (Plant::start(2, 4, &[]), Hub::start(), Folder::new());
    // The site has a fifth tag in each asset.
    let process = millicore(&folder, &site(&folder, &plant.endpoint, &hub.amqp).write());
    let found = read_events(&hub, |found| each_has(found, 8, 4));
    assert_complete(&found, 8);
    let log = folder.log();
    assert!(log.contains("2 tags are not monitored") && log.contains("asset000.tag04"), "{log}");
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_hub_that_is_away_at_the_start_and_later_gets_everything_when_it_is_back() {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let (plant, folder) = (Plant::start(2, 5, &[]), Folder::new());
    let process = millicore(&folder, &site(&folder, &plant.endpoint, &listen).write());
    let hub = Hub::start_at(&listen);
    let found = read_events(&hub, |found| each_has(found, 10, 6));
    assert_complete(&found, 10);
    // To refuse touches new connections only: the one that stands is cut as well.
    hub.fault(&json!({ "cmd": "refuse", "ms": 10_000 }));
    hub.fault(&json!({ "cmd": "fault", "kind": "disconnect", "count": 1 }));
    let found = read_events(&hub, |found| each_has(found, 10, 24));
    assert_complete(&found, 10);
    assert!(process.terminate().success(), "{}", folder.log());
}

/// Has the hub answer batches with each kind of fault, one kind after the other; nothing may be missing afterwards.
fn survives_faults_of_the_hub(kinds: &[&str], count: u32) {
    let (plant, hub, folder) = (Plant::start(2, 5, &[]), Hub::start(), Folder::new());
    let process = millicore(&folder, &site(&folder, &plant.endpoint, &hub.amqp).write());
    read_events(&hub, |found| each_has(found, 10, 2));
    for kind in kinds {
        hub.fault(&json!({ "cmd": "fault", "kind": kind, "count": count }));
        let enough = hub.events_count() + 6;
        read_events(&hub, |found| found.len() >= enough);
    }
    let enough = hub.events_count() + 4;
    let found = read_events(&hub, |found| found.len() >= enough);
    assert_complete(&found, 10);
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn batches_that_the_hub_does_not_store_are_sent_again() {
    survives_faults_of_the_hub(&["released", "modified", "internal-error"], 2);
}

#[test]
fn a_hub_over_its_quota_is_waited_for() {
    survives_faults_of_the_hub(&["server-busy"], 1);
}

#[test]
fn a_hub_that_detaches_disconnects_or_stalls_under_a_batch_gets_it_again() {
    survives_faults_of_the_hub(&["detach", "disconnect", "stall"], 1);
}

#[test]
fn a_stop_while_the_hub_does_not_answer_ends_in_time_and_says_what_is_left() {
    let (plant, hub, folder) = (Plant::start(2, 5, &[]), Hub::start(), Folder::new());
    let site = site(&folder, &plant.endpoint, &hub.amqp).write();
    let mut process = millicore_with(&folder, &site, &["--stop-seconds", "2"]);
    read_events(&hub, |found| each_has(found, 10, 2));
    hub.fault(&json!({ "cmd": "fault", "kind": "stall", "ms": 60_000 }));
    // The plant goes on meanwhile: another interval's values are accepted and not delivered.
    process.line_within(std::time::Duration::from_secs(3));
    process.signal(rustix::process::Signal::TERM);
    assert!(!process.wait().success());
    let log = folder.log();
    assert!(log.contains("messages that were accepted are not delivered"), "{log}");
}

#[test]
fn bytes_that_are_no_mqtt_close_that_connection_and_no_other() {
    let (hub, folder) = (Hub::start(), Folder::new());
    let port = free_port();
    let text = SiteText {
        folder: &folder,
        opcua: None,
        opcua_lines: "",
        assets: 0,
        tags: 0,
        mqtt_port: Some(port),
        amqp: &hub.amqp,
        sources: "#",
    };
    let process = millicore(&folder, &text.write());
    let mut good = TcpStream::connect(("127.0.0.1", port)).unwrap();
    good.write_all(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02ok").unwrap();
    let mut connack = [0; 4];
    good.read_exact(&mut connack).unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 0x00), "CONNACK, success");
    let mut bad = TcpStream::connect(("127.0.0.1", port)).unwrap();
    bad.write_all(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02no").unwrap();
    bad.read_exact(&mut connack).unwrap();
    bad.write_all(b"\x00\xff\xff\xff\xff").unwrap();
    let mut rest = Vec::new();
    bad.read_to_end(&mut rest).unwrap();
    let disconnect = rest.iter().rposition(|byte| *byte == 0xe0).expect("DISCONNECT");
    assert!(matches!(rest[disconnect + 2], 0x81 | 0x82), "Malformed Packet or Protocol Error: {rest:02x?}");
    good.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    good.write_all(b"\xc0\x00").unwrap();
    let mut answer = vec![0; 512];
    let mut seen = Vec::new();
    while !seen.windows(2).any(|pair| pair == b"\xd0\x00") {
        let count = good.read(&mut answer).unwrap();
        assert!(count > 0, "the good connection lives");
        seen.extend_from_slice(&answer[..count]);
    }
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_port_in_use_is_told_at_the_start_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (hub, folder) = (Hub::start(), Folder::new());
    let text = SiteText {
        folder: &folder,
        opcua: None,
        opcua_lines: "",
        assets: 0,
        tags: 0,
        mqtt_port: Some(taken.local_addr().unwrap().port()),
        amqp: &hub.amqp,
        sources: "#",
    };
    let (succeeded, words) = run(&["run", "--fold", "--config", text.write().to_str().unwrap()]);
    assert!(!succeeded && words.contains("in use"), "{words}");
}

#[test]
fn a_profile_for_more_cores_is_refused_with_the_way_out() {
    let (_, machine) = run(&["plan", "--fold", "--profile", "workstation-16core"]);
    let (succeeded, words) = run(&["plan", "--profile", "workstation-16core"]);
    if succeeded {
        eprintln!("this machine has cores for it:\n{machine}");
    } else {
        assert!(words.contains("--fold"), "{words}");
    }
}

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millicore")).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.success(), words)
}
