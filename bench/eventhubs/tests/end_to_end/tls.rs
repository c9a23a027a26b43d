//! AMQP over TLS, with an authority that was made at start.

use std::process::Command;

use crate::process::{KEY, Process};
use crate::sdk::{bodies, producer_at, run, send};

const ADDRESS: &str = "MILLICORE_TEST_AMQPS";

#[test]
fn the_sdk_sends_over_tls_to_an_authority_that_it_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let process =
        Process::start(&["--tls-listen", "127.0.0.1:0", "--tls-self-signed", directory.path().to_str().unwrap()]);
    // The SDK takes an authority from SSL_CERT_FILE alone, which must be set before a process starts.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::sends_over_tls", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", process.ready["ca_file"].as_str().unwrap())
        .env(ADDRESS, process.address("amqps").to_string())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(process.stop()["events"], 3);
}

#[test]
#[ignore = "started by the test above, with an authority in its environment"]
fn sends_over_tls() {
    run(async {
        let producer = producer_at(format!("amqps://{}", std::env::var(ADDRESS).unwrap()), KEY).await.unwrap();
        send(&producer, None, bodies("x", 3)).await.unwrap();
        producer.close().await.unwrap();
    });
}
