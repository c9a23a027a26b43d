//! A running plant, met as clients meet it: over OPC UA, and over the control port.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bench_plc::options::{PlantLimits, PlantOptions};
use bench_plc::plant::Plant;
use bench_plc::scenario::PlantScenario;
use bench_plc::truth::{OPCUA_EPOCH_OFFSET_100NS, TruthLine};
use bench_plc::value::{decode_number, decode_text};
use opcua::client::{ClientBuilder, DataChangeCallback, IdentityToken, MonitoredItem, Session};
use opcua::types::{
    DataValue, EndpointDescription, MessageSecurityMode, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NodeId, StatusCode, TimestampsToReturn, UserTokenPolicy, Variant,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Values that may wait for a test; a test reads far fewer.
const VALUES_MAX: usize = 100_000;

fn small() -> PlantOptions {
    let scenario = PlantScenario { assets: 4, tags_per_asset: 5, updates_per_s: 20.0, ..PlantScenario::default() };
    PlantOptions { scenario, ..PlantOptions::default() }
}

/// A stock client with one Subscription, whose values come out of a channel with the identifier of their node.
struct Client {
    session: Arc<Session>,
    events: JoinHandle<StatusCode>,
    values: mpsc::Receiver<(String, DataValue)>,
    queue_sizes: Vec<u32>,
    _pki: tempfile::TempDir,
}

impl Client {
    async fn connect(url: &str, policy: &str, mode: MessageSecurityMode, identifiers: &[String]) -> Self {
        let pki = tempfile::tempdir().unwrap();
        let mut client = ClientBuilder::new()
            .application_name("plant test")
            .application_uri("urn:millicore:plant:test")
            .pki_dir(pki.path())
            .create_sample_keypair(mode != MessageSecurityMode::None)
            .trust_server_certs(true)
            .session_retry_limit(0)
            .client()
            .unwrap();
        let endpoint: EndpointDescription = (url, policy, mode, UserTokenPolicy::anonymous()).into();
        let (session, event_loop) =
            client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
        let events = event_loop.spawn();
        assert!(timeout(DEADLINE, session.wait_for_connection()).await.unwrap());
        let (sender, values) = mpsc::channel(VALUES_MAX);
        let callback = DataChangeCallback::new(move |value: DataValue, item: &MonitoredItem| {
            let identifier = item.item_to_monitor().node_id.identifier.to_string();
            // The test that would read it may have ended.
            let _ = sender.try_send((identifier.trim_start_matches("s=").to_owned(), value));
        });
        let subscription =
            session.create_subscription(Duration::from_millis(100), 1_000, 100, 0, 0, true, callback).await.unwrap();
        let requests = identifiers.iter().map(|identifier| request(identifier)).collect();
        let created = session.create_monitored_items(subscription, TimestampsToReturn::Both, requests).await.unwrap();
        let queue_sizes = created.iter().map(|item| item.result.revised_queue_size).collect();
        Self { session, events, values, queue_sizes, _pki: pki }
    }

    async fn connect_plainly(plant: &Plant) -> Self {
        let identifiers: Vec<String> =
            (0..plant.names().tag_count()).map(|index| plant.names().identifier(index)).collect();
        Self::connect(&plant.ready().endpoints[0], "None", MessageSecurityMode::None, &identifiers).await
    }

    async fn value(&mut self) -> (String, DataValue) {
        timeout(DEADLINE, self.values.recv()).await.expect("a value in time").expect("the session lives")
    }

    async fn leave(self) {
        self.session.disconnect().await.unwrap();
        timeout(DEADLINE, self.events).await.expect("the session ends").unwrap();
    }
}

fn request(identifier: &str) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: NodeId::new(2, identifier.to_owned()).into(),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            sampling_interval: 0.0,
            queue_size: 10_000,
            discard_oldest: true,
            ..MonitoringParameters::default()
        },
    }
}

async fn ask(plant: &Plant, request: Value) -> Value {
    let mut stream = BufReader::new(TcpStream::connect(plant.ready().control).await.unwrap());
    stream.write_all(format!("{request}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    timeout(DEADLINE, stream.read_line(&mut line)).await.expect("an answer in time").unwrap();
    serde_json::from_str(&line).unwrap()
}

async fn truth(plant: &Plant) -> Vec<TruthLine> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("truth.jsonl");
    assert_eq!(ask(plant, json!({ "cmd": "truth", "file": file })).await["ok"], true);
    read_truth(&file)
}

fn read_truth(file: &Path) -> Vec<TruthLine> {
    std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sequence number and SourceTimestamp of each change, by tag.
fn changes(truth: &[TruthLine]) -> BTreeMap<&str, &[(u32, i64)]> {
    let mut all = BTreeMap::new();
    for line in truth {
        if let TruthLine::Tag { tag, changes, .. } = line {
            all.insert(tag.as_str(), changes.as_slice());
        }
    }
    all
}

fn sequence(index: u32, value: &DataValue) -> u32 {
    match &value.value {
        Some(Variant::String(text)) => {
            let change = decode_text(text.as_ref().as_bytes()).unwrap();
            assert_eq!(change.tag_index, index);
            change.sequence
        }
        Some(Variant::Double(number)) => decode_number(*number).unwrap().sequence,
        other => panic!("no value of a plant: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_once_in_order_and_stands_in_the_truth_file() {
    for value_bytes in [20, 8] {
        let mut options = small();
        options.scenario.value_bytes = value_bytes;
        let plant = Plant::start(options).await.unwrap();
        let mut client = Client::connect_plainly(&plant).await;
        assert!(client.queue_sizes.iter().all(|size| *size >= 10_000), "{:?}", client.queue_sizes);
        let mut got: BTreeMap<String, Vec<(u32, i64)>> = BTreeMap::new();
        while got.len() < 20 || got.values().any(|values| values.len() < 30) {
            let (identifier, value) = client.value().await;
            let sequence = sequence(plant.names().index_of(&identifier).unwrap(), &value);
            let ticks = value.source_timestamp.unwrap().checked_ticks() - OPCUA_EPOCH_OFFSET_100NS;
            let values = got.entry(identifier).or_default();
            assert!(values.last().is_none_or(|(last, _)| last + 1 == sequence), "{values:?} then {sequence}");
            values.push((sequence, ticks));
        }
        let truth = truth(&plant).await;
        let changes = changes(&truth);
        for (identifier, values) in &got {
            let made = changes[identifier.as_str()];
            for value in values.iter().filter(|(sequence, _)| *sequence > 0) {
                assert_eq!(made[usize::try_from(value.0).unwrap() - 1], *value, "{identifier}");
            }
        }
        client.leave().await;
        plant.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_are_on_record_where_nothing_is_encrypted() {
    let plant = Plant::start(PlantOptions { fault_front: true, ..small() }).await.unwrap();
    let mut client = Client::connect_plainly(&plant).await;
    while plant.stats().acknowledgements_seen.unwrap() < 3 {
        client.value().await;
    }
    let truth = truth(&plant).await;
    let mut published = BTreeMap::new();
    let mut acknowledged = Vec::new();
    for line in &truth {
        match line {
            TruthLine::Publish { subscription, sequence, publish_100ns, seen_100ns, values, .. } => {
                assert!(publish_100ns <= seen_100ns);
                published.insert((*subscription, *sequence), *values);
            }
            TruthLine::Acknowledgement { subscription, sequence, .. } => acknowledged.push((*subscription, *sequence)),
            TruthLine::Plant { observed, messages_forgotten, .. } => {
                assert!(*observed);
                assert_eq!(*messages_forgotten, 0);
            }
            TruthLine::Tag { subscription, .. } => assert_ne!(*subscription, 0),
        }
    }
    assert!(acknowledged.len() >= 3);
    assert!(acknowledged.iter().all(|message| published.contains_key(message)), "{acknowledged:?} of {published:?}");
    assert!(published.values().any(|values| *values >= 20));
    assert_eq!(plant.stats().messages_unread, Some(0));
    client.leave().await;
    plant.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_values_arrive_and_are_not_on_record() {
    let options = PlantOptions { fault_front: true, policy_none: true, policy_basic256sha256: true, ..small() };
    let plant = Plant::start(options).await.unwrap();
    let identifier = plant.names().identifier(7);
    let url = &plant.ready().endpoints[0];
    let mode = MessageSecurityMode::SignAndEncrypt;
    let mut client = Client::connect(url, "Basic256Sha256", mode, std::slice::from_ref(&identifier)).await;
    for _ in 0..5 {
        let (from, value) = client.value().await;
        assert_eq!(from, identifier);
        sequence(7, &value);
    }
    let is_message = |line: &TruthLine| matches!(line, TruthLine::Publish { .. } | TruthLine::Acknowledgement { .. });
    assert!(!truth(&plant).await.iter().any(is_message));
    client.leave().await;
    plant.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_shows_at_the_tag_and_goes_away() {
    let plant = Plant::start(small()).await.unwrap();
    let mut client = Client::connect_plainly(&plant).await;
    let tag = plant.names().identifier(3);
    let answer = ask(&plant, json!({ "cmd": "status", "status": "BadSensorFailure", "tags": [tag] })).await;
    assert_eq!(answer, json!({ "ok": true, "tags": 1 }));
    assert_eq!(plant.stats().tags_not_good, 1);
    let bad = loop {
        let (identifier, value) = client.value().await;
        if value.status.is_some_and(|status| status.is_bad()) {
            assert_eq!(identifier, tag);
            break value;
        }
    };
    assert_eq!((bad.status, bad.value), (Some(StatusCode::BadSensorFailure), None));
    let answer = ask(&plant, json!({ "cmd": "status", "tags": "all", "on": false })).await;
    assert_eq!(answer["tags"], 20);
    loop {
        let (identifier, value) = client.value().await;
        if identifier == tag {
            assert_eq!(value.status.unwrap_or(StatusCode::Good), StatusCode::Good);
            break;
        }
    }
    client.leave().await;
    plant.stop().await.unwrap();
}

/// Waits until the other side ends `stream`.
async fn ended(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let mut byte = [0];
    // A reset is an end as well.
    let read = timeout(DEADLINE, stream.read(&mut byte)).await.expect("the connection ends");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_drops_and_refuses_connections() {
    let plant = Plant::start(PlantOptions { fault_front: true, ..small() }).await.unwrap();
    let url = plant.ready().endpoints[0].clone();
    let address = url.trim_start_matches("opc.tcp://").trim_end_matches('/').to_owned();
    // A session that works proves that the connection beside it has been forwarded.
    let client = Client::connect_plainly(&plant).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    assert_eq!(ask(&plant, json!({ "cmd": "drop-connections" })).await["ok"], true);
    ended(&mut stream).await;
    // The stock client would come back, and stay silent.
    client.events.abort();

    let refuse = ask(&plant, json!({ "cmd": "refuse", "ms": 300 }));
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(refuse, async { timeout(DEADLINE, refused).await.expect("nobody listens") });
    assert_eq!(answer["ok"], true);
    let again = async {
        while TcpStream::connect(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, again).await.expect("the front listens again");
    let mut client = Client::connect_plainly(&plant).await;
    client.value().await;
    client.leave().await;
    plant.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_the_clients_and_keeps_the_sequence_numbers() {
    let plant = Plant::start(small()).await.unwrap();
    let mut client = Client::connect_plainly(&plant).await;
    let mut newest = 0;
    for _ in 0..100 {
        let (identifier, value) = client.value().await;
        newest = newest.max(sequence(plant.names().index_of(&identifier).unwrap(), &value));
    }
    assert_eq!(ask(&plant, json!({ "cmd": "restart", "down_ms": 100 })).await["ok"], true);
    timeout(DEADLINE, client.events).await.expect("the session ends with its server").unwrap();
    let stats = ask(&plant, json!({ "cmd": "stats" })).await;
    assert_eq!(stats["stats"]["servers"][0]["sessions"], 0, "{stats}");
    assert_eq!(stats["stats"]["servers"][0]["up"], true);
    let mut client = Client::connect_plainly(&plant).await;
    let (identifier, value) = client.value().await;
    assert!(sequence(plant.names().index_of(&identifier).unwrap(), &value) >= newest.saturating_sub(1));
    client.leave().await;
    plant.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_port_refuses_what_it_cannot_do_and_goes_on() {
    let plant = Plant::start(small()).await.unwrap();
    let mut stream = BufReader::new(TcpStream::connect(plant.ready().control).await.unwrap());
    for (line, word) in [
        ("nonsense", "no request"),
        (r#"{"cmd":"explode"}"#, "no request"),
        (r#"{"cmd":"drop-connections"}"#, "--fault-front"),
        (r#"{"cmd":"refuse","ms":4000000}"#, "hour"),
        (r#"{"cmd":"status","tags":["asset999.tag00"]}"#, "asset999.tag00"),
        (r#"{"cmd":"status","status":"Purple","tags":"all"}"#, "Purple"),
        (r#"{"cmd":"truth","file":"/"}"#, "cannot write"),
    ] {
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_line(&mut answer)).await.expect("an answer in time").unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["ok"], false, "{line}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{line}: {answer}");
    }
    // `stream` stays open: the plant must be able to end all the same.
    assert_eq!(ask(&plant, json!({ "cmd": "pause" })).await["ok"], true);
    assert!(plant.stats().paused);
    assert_eq!(ask(&plant, json!({ "cmd": "pause", "on": false })).await["ok"], true);
    assert!(!plant.stats().paused);
    assert_eq!(ask(&plant, json!({ "cmd": "stop" })).await["ok"], true);
    timeout(DEADLINE, plant.stop_asked()).await.expect("it was asked to stop");
    plant.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_record_forgets_and_says_so() {
    let limits = PlantLimits { recorded_changes_max: 50, ..PlantLimits::default() };
    let plant = Plant::start(PlantOptions { limits, ..small() }).await.unwrap();
    let mut client = Client::connect_plainly(&plant).await;
    while plant.stats().changes < 200 {
        client.value().await;
    }
    let truth = truth(&plant).await;
    let TruthLine::Plant { changes_forgotten, tags, .. } = &truth[0] else { panic!("{:?}", truth[0]) };
    assert!(*changes_forgotten >= 150);
    assert_eq!(*tags, 20);
    assert_eq!(changes(&truth).values().map(|changes| changes.len()).sum::<usize>(), 50);
    client.leave().await;
    plant.stop().await.unwrap();
}

#[tokio::test]
async fn several_servers_share_the_tags() {
    let mut options = small();
    options.scenario.servers = 3;
    let plant = Plant::start(options).await.unwrap();
    let ready = plant.ready();
    assert_eq!(ready.endpoints.len(), 3);
    assert_eq!(ready.assets_of_servers, [(0, 1), (1, 2), (2, 4)]);
    assert_eq!(ready.tags, 20);
    plant.stop().await.unwrap();
}
