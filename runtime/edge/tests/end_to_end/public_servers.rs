//! OPC UA servers that nobody here wrote, as sources, with a restart in the middle.

use std::process::Command;

use crate::plant::{Folder, Hub, SiteText, each_has, millicore, read_events, sequence, values};
use crate::process::{Process, client_script, free_port, node_modules, python};

/// Where a server's second life begins to count.
const SECOND_START: u64 = 1_000_000;

/// A server may say other things before.
fn wait_until_ready(server: &Process) {
    while server.line() != "ready" {}
}

/// Runs a server's two lives against one life of millicore.
fn survives_a_restart(start: impl Fn(u16, u64) -> Process) {
    let (hub, folder) = (Hub::start(), Folder::new());
    let port = free_port();
    let server = start(port, 1);
    wait_until_ready(&server);
    let endpoint = format!("opc.tcp://127.0.0.1:{port}/");
    let text = SiteText {
        folder: &folder,
        opcua: Some(&endpoint),
        opcua_lines: "sampling_interval_ms = 100",
        assets: 2,
        tags: 5,
        mqtt_port: None,
        amqp: &hub.amqp,
        sources: "plant/data/#",
    };
    let process = millicore(&folder, &text.write());
    let first = read_events(&hub, |found| each_has(found, 10, 8));
    for (name, values) in values(&first) {
        let numbers: Vec<u64> = values.iter().map(sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{name:?}: {numbers:?}");
    }
    server.terminate();
    let server = start(port, SECOND_START);
    wait_until_ready(&server);
    let found = read_events(&hub, |found| {
        let values = values(found);
        values.len() == 10 && values.values().all(|values| sequence(values.last().unwrap()) > SECOND_START + 6)
    });
    for (name, values) in values(&found) {
        let numbers: Vec<u64> = values.iter().map(sequence).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{name:?}: {numbers:?}");
        let second: Vec<u64> = numbers.into_iter().filter(|number| *number >= SECOND_START).collect();
        assert!(second.windows(2).all(|pair| pair[1] == pair[0] + 1), "{name:?}: {second:?}");
    }
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn an_asyncua_server_is_a_source_and_may_restart() {
    let Some(python) = python() else { return };
    survives_a_restart(|port, first| {
        let mut command = Command::new(&python);
        command.arg(client_script("asyncua_server.py"));
        command.args(["--port", &port.to_string(), "--start", &first.to_string()]);
        Process::start("asyncua", &mut command, None)
    });
}

#[test]
fn a_node_opcua_server_is_a_source_and_may_restart() {
    let Some(node_modules) = node_modules() else { return };
    let pki = tempfile::tempdir().unwrap();
    survives_a_restart(|port, first| {
        let mut command = Command::new("node");
        command.arg(client_script("node_opcua_server.mjs")).env("MILLICORE_NODE_MODULES", &node_modules);
        command.args(["--port", &port.to_string(), "--start", &first.to_string(), "--pki"]).arg(pki.path());
        Process::start("node-opcua", &mut command, None)
    });
}
