//! The official Python and JavaScript SDKs produce to and consume from the endpoint.
//!
//! They are not part of this workspace: `MILLICORE_PYTHON` names a Python that has `tests/sdk/requirements.txt`
//! installed, `MILLICORE_NODE_MODULES` a `node_modules` folder made from `tests/sdk/package.json`. Without them the
//! tests say so and pass.

#![expect(clippy::unwrap_used, reason = "what fails in a test's scaffold fails the test")]

#[path = "end_to_end/process.rs"]
mod process;

use std::path::Path;
use std::process::Command;

use process::{KEY, Process};

const EVENTS: &str = "500";

fn run_against_an_endpoint(command: &mut Command) {
    let process = Process::start(&[]);
    let exit = command
        .env("MILLICORE_EVENTHUBS_HOST", process.amqp().to_string())
        .env("MILLICORE_EVENTHUBS_KEY", KEY)
        .env("MILLICORE_EVENTHUBS_HUB", "plant")
        .env("MILLICORE_EVENTHUBS_EVENTS", EVENTS)
        .status()
        .unwrap();
    let stats = process.stats();
    assert!(exit.success(), "{exit}: {stats}");
    process.control(&serde_json::json!({ "cmd": "stop" }));
    assert_eq!(stats["protocol_errors"], 0, "{stats}");
    assert_eq!(process.stop()["unauthorized"], 0);
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}

#[test]
fn the_python_sdk_produces_and_consumes() {
    let Some(python) = std::env::var_os("MILLICORE_PYTHON") else {
        eprintln!("skipped: MILLICORE_PYTHON names no Python with tests/sdk/requirements.txt");
        return;
    };
    run_against_an_endpoint(Command::new(python).arg(script("event_hubs.py")));
}

#[test]
fn the_javascript_sdk_produces_and_consumes() {
    let Some(modules) = std::env::var_os("MILLICORE_NODE_MODULES") else {
        eprintln!("skipped: MILLICORE_NODE_MODULES names no node_modules made from tests/sdk/package.json");
        return;
    };
    run_against_an_endpoint(Command::new("node").arg(script("event_hubs.mjs")).env("MILLICORE_NODE_MODULES", modules));
}
