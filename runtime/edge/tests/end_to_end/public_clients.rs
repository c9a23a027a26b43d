//! Clients that nobody here wrote: mosquitto's, Paho, and the official Event Hubs SDKs, while the pipeline runs.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::plant::{Folder, Hub, KEY, Plant, SiteText, millicore, read_events};
use crate::process::{PATIENCE, Process, client_script, free_port, node_modules, python};

struct Running {
    process: Process,
    hub: Hub,
    folder: Folder,
    mqtt_port: u16,
    _plant: Plant,
}

impl Running {
    fn start(assets: u32, tags: u32) -> Self {
        let (plant, hub, folder) = (Plant::start(assets, tags, &[]), Hub::start(), Folder::new());
        let mqtt_port = free_port();
        let text = SiteText {
            folder: &folder,
            opcua: Some(&plant.endpoint),
            opcua_lines: "",
            assets,
            tags,
            mqtt_port: Some(mqtt_port),
            amqp: &hub.amqp,
            sources: "#",
        };
        let process = millicore(&folder, &text.write());
        Self { process, hub, folder, mqtt_port, _plant: plant }
    }

    fn end(self) {
        assert!(self.process.terminate().success(), "{}", self.folder.log());
    }
}

/// One message of each asset, in the format of AIO.
fn assert_message(topic: &str, body: &str, tags: usize) {
    assert!(topic.starts_with("plant/data/asset"), "{topic}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let points = body.as_object().unwrap();
    assert!(!points.is_empty() && points.len() <= tags, "{body}");
    for (tag, point) in points {
        let point = point.as_array().map_or(point, |points| &points[0]);
        assert!(tag.starts_with("tag"), "{tag}");
        assert!(point["SourceTimestamp"].is_string() && !point["Value"].is_null(), "{point}");
    }
}

#[test]
fn mosquitto_sub_sees_a_message_of_each_asset_each_second() {
    if Command::new("mosquitto_sub").arg("--help").output().is_err() {
        eprintln!("SKIPPED: mosquitto_sub is not installed; scripts/test installs it");
        return;
    }
    let running = Running::start(125, 4);
    let mut command = Command::new("mosquitto_sub");
    command.args(["-p", &running.mqtt_port.to_string(), "-t", "plant/data/#", "-q", "1", "-F", "%t %p"]);
    let subscriber = Process::start("mosquitto_sub", &mut command, None);
    let mut of_second: BTreeSet<String> = BTreeSet::new();
    let mut count = 0;
    let mut began = None;
    // The first interval may have begun before the subscription; four whole ones follow.
    while count < 5 * 125 {
        let line = subscriber.line();
        began.get_or_insert_with(Instant::now);
        let (topic, body) = line.split_once(' ').unwrap();
        assert_message(topic, body, 4);
        of_second.insert(topic.to_owned());
        count += 1;
    }
    let elapsed = began.unwrap().elapsed();
    assert_eq!(of_second.len(), 125, "every asset came");
    assert!(elapsed > Duration::from_secs(3) && elapsed < Duration::from_secs(20), "125 a second: {elapsed:?}");
    drop(subscriber);
    running.end();
}

#[test]
fn paho_subscribes_with_both_versions_and_sees_cloud_events() {
    let Some(python) = python() else { return };
    let running = Running::start(3, 4);
    for version in ["3", "5"] {
        let mut command = Command::new(&python);
        command.arg(client_script("paho_subscriber.py")).args(["--port", &running.mqtt_port.to_string()]);
        command.args(["--topic", "plant/data/+", "--version", version, "--count", "9"]);
        let mut subscriber = Process::start("paho", &mut command, None);
        assert_eq!(subscriber.line(), "ready");
        for _ in 0..9 {
            let message = subscriber.json();
            assert_message(message["topic"].as_str().unwrap(), message["body"].as_str().unwrap(), 4);
            assert_eq!(message["qos"], 1);
            if version == "5" {
                let properties = message["properties"].as_object().unwrap();
                for name in ["id", "specversion", "type", "source", "time", "subject"] {
                    assert!(properties.contains_key(name), "{name}: {properties:?}");
                }
            }
        }
        assert!(subscriber.wait().success());
    }
    running.end();
}

#[test]
fn what_mosquitto_pub_publishes_reaches_subscribers_and_the_hub() {
    if Command::new("mosquitto_pub").arg("--help").output().is_err() {
        eprintln!("SKIPPED: mosquitto_pub is not installed; scripts/test installs it");
        return;
    }
    let running = Running::start(1, 1);
    let port = running.mqtt_port.to_string();
    let publish = |arguments: &[&str]| {
        let status = Command::new("mosquitto_pub").args(["-p", &port]).args(arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    publish(&["-V", "5", "-t", "cell/7/state", "-q", "1", "-r", "-m", "running"]);
    publish(&["-V", "311", "-t", "cell/8/state", "-q", "0", "-r", "-m", "idle"]);
    let mut command = Command::new("mosquitto_sub");
    command.args(["-p", &port, "-t", "cell/+/state", "-q", "1", "-C", "2", "-F", "%t %r %p"]);
    let mut subscriber = Process::start("mosquitto_sub", &mut command, None);
    let retained: BTreeSet<String> = [subscriber.line(), subscriber.line()].into();
    assert_eq!(retained, ["cell/7/state 1 running".to_owned(), "cell/8/state 1 idle".to_owned()].into());
    assert!(subscriber.wait().success());
    let found = read_events(&running.hub, |found| {
        let there = |topic: &str| found.iter().any(|event| event.topic == topic);
        there("cell/7/state") && there("cell/8/state")
    });
    let body = |topic: &str| found.iter().find(|event| event.topic == topic).map(|event| event.body.clone());
    assert_eq!(body("cell/7/state"), Some(b"running".to_vec()));
    assert_eq!(body("cell/8/state"), Some(b"idle".to_vec()));
    running.end();
}

/// Reads with an official SDK until it has every event that the independent reader had.
fn assert_reads_the_same(running: &Running, sdk: &Process) {
    assert_eq!(sdk.line(), "ready");
    let wanted: BTreeSet<String> =
        read_events(&running.hub, |found| found.len() >= 40).into_iter().map(|e| e.id).collect();
    let mut there = BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    while !wanted.is_subset(&there) {
        assert!(Instant::now() < deadline, "{} of {} came", there.len(), wanted.len());
        let event = sdk.json();
        if let Some(topic) = event["properties"][eventhubs_lane::TOPIC_NAME_PROPERTY].as_str() {
            assert_message(topic, event["body"].as_str().unwrap(), 4);
        } else {
            panic!("no topic: {event}");
        }
        there.insert(event["id"].as_str().unwrap().to_owned());
    }
}

#[test]
fn the_official_python_sdk_reads_every_event_back() {
    let Some(python) = python() else { return };
    let running = Running::start(5, 4);
    let mut command = Command::new(python);
    command.arg(client_script("read_events.py")).args([
        "--endpoint",
        &running.hub.amqp,
        "--key",
        KEY,
        "--hub",
        "millicore",
    ]);
    let sdk = Process::start("azure-eventhub", &mut command, None);
    assert_reads_the_same(&running, &sdk);
    drop(sdk);
    running.end();
}

#[test]
fn the_official_javascript_sdk_reads_every_event_back() {
    let Some(node_modules) = node_modules() else { return };
    let running = Running::start(5, 4);
    let mut command = Command::new("node");
    command.arg(client_script("read_events.mjs")).env("MILLICORE_NODE_MODULES", node_modules);
    command.args(["--endpoint", &running.hub.amqp, "--key", KEY, "--hub", "millicore"]);
    let sdk = Process::start("@azure/event-hubs", &mut command, None);
    assert_reads_the_same(&running, &sdk);
    drop(sdk);
    running.end();
}
