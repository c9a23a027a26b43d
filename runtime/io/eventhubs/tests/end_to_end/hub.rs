//! What the tests lean on: the local endpoint on a thread, its faults, and what it stored.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use azure_core::credentials::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench_eventhubs::options::{HubOptions, MESSAGE_BYTES_MAX, Options};
use bench_eventhubs::server::Endpoint;
use bench_eventhubs::token::AccessKey;
use eventhubs_lane::{Access, RouteConfig, Timeouts};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::LocalSet;

const ANY_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const KEY: &str = "c2VjcmV0";

/// A local endpoint with the hubs `plant` (4 partitions) and `spare` (1).
pub(crate) struct Hub {
    pub(crate) amqp: SocketAddr,
    control: SocketAddr,
    directory: TempDir,
    thread: JoinHandle<()>,
}

/// One event as the endpoint stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) hub: String,
    pub(crate) partition: u64,
    pub(crate) id: String,
}

impl Hub {
    pub(crate) fn start() -> Self {
        Self::start_at(ANY_ADDRESS)
    }

    /// At an address of the test's choice.
    pub(crate) fn start_at(listen: SocketAddr) -> Self {
        Self::start_with(listen, true)
    }

    /// One that takes any token: it knows no Entra.
    pub(crate) fn start_without_checks() -> Self {
        Self::start_with(ANY_ADDRESS, false)
    }

    fn start_with(listen: SocketAddr, check_tokens: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hub = |name: &str, partitions_count| HubOptions { name: name.to_owned(), partitions_count };
        let options = Options {
            listen,
            tls: None,
            control: ANY_ADDRESS,
            hubs: vec![hub("plant", 4), hub("spare", 1)],
            access_key: AccessKey { name: "sender".to_owned(), key: KEY.to_owned() },
            check_tokens,
            store_bytes_max: 64 << 20,
            file: Some(directory.path().join("events")),
            print: false,
            idle_timeout: Duration::from_mins(1),
            ack_latency: Duration::ZERO,
            throughput_units: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            connections_count_max: 64,
        };
        let (ready, readies) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let endpoint = Endpoint::start(options).await.unwrap();
                ready.send((endpoint.ready().amqp, endpoint.ready().control)).unwrap();
                endpoint.stop_asked().await;
                endpoint.stop();
            });
        });
        let (amqp, control) = readies.recv().unwrap();
        Self { amqp, control, directory, thread }
    }

    /// A free address where nobody listens.
    pub(crate) fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Puts a fault in force for the next `count` batches.
    pub(crate) fn fault(&self, kind: &str, count: u32) {
        self.control(&json!({ "cmd": "fault", "kind": kind, "count": count }));
    }

    pub(crate) fn control(&self, request: &Value) -> Value {
        let mut stream = TcpStream::connect(self.control).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    /// Ends it; what it stored, in order.
    pub(crate) fn stop(self) -> Vec<Stored> {
        self.control(&json!({ "cmd": "stop" }));
        self.thread.join().unwrap();
        let events = std::fs::read_to_string(self.directory.path().join("events")).unwrap();
        let stored = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let message = STANDARD.decode(line["message"].as_str().unwrap()).unwrap();
            let hub = line["hub"].as_str().unwrap().to_owned();
            Stored { hub, partition: line["partition"].as_u64().unwrap(), id: message_id_of(&message) }
        };
        events.lines().map(stored).collect()
    }
}

/// A route to `hub` at `address`, for 3 s of patience with a batch.
pub(crate) fn route_to(address: SocketAddr, hub: &str, key: &str) -> RouteConfig {
    let text = format!("Endpoint=sb://plant.servicebus.windows.net/;SharedAccessKeyName=sender;SharedAccessKey={key}");
    let timeouts = Timeouts {
        open: Duration::from_secs(5),
        properties: Duration::from_secs(5),
        send: Duration::from_secs(3),
        close: Duration::from_millis(300),
    };
    RouteConfig::new(hub, Access::ConnectionString(Secret::new(text)))
        .unwrap()
        .with_custom_endpoint(&format!("amqp://{address}"))
        .unwrap()
        .with_timeouts(timeouts)
}

/// The same with the endpoint's own key.
pub(crate) fn route(address: SocketAddr, hub: &str) -> RouteConfig {
    route_to(address, hub, KEY)
}

/// The message-id of an encoded message: the first field of its properties.
fn message_id_of(message: &[u8]) -> String {
    let section = message.windows(3).position(|bytes| bytes == [0x00, 0x53, 0x73]).unwrap() + 3;
    let fields = section + if message[section] == 0xc0 { 3 } else { 9 };
    assert_eq!(message[fields], 0xa1, "text of up to 255 bytes");
    let length = usize::from(message[fields + 1]);
    String::from_utf8(message[fields + 2..fields + 2 + length].to_vec()).unwrap()
}
