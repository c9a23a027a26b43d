//! The whole chain of a test: a simulated plant, the local endpoint, and millicore between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bench_eventhubs::codec::value::Value as AmqpValue;
use bench_eventhubs::reader::{ReadEvent, Reader, ReaderOptions};
use bench_eventhubs::selector::Start;
use bench_eventhubs::token::AccessKey;
use serde_json::{Value, json};

use crate::process::{PATIENCE, Process, control, program};

/// The key of the local endpoint.
pub(crate) const KEY: &str = "bWlsbGljb3JlLWxvY2FsLWRldmVsb3BtZW50LWtleQ==";

/// The local Event Hubs endpoint.
pub(crate) struct Hub {
    #[expect(dead_code, reason = "held until the end")]
    process: Process,
    pub(crate) amqp: String,
    pub(crate) control: String,
}

impl Hub {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub(crate) fn start_at(listen: &str) -> Self {
        let mut command = Command::new(program("bench-eventhubs"));
        command.args(["--listen", listen, "--hub", "millicore:4", "--key", KEY]);
        let process = Process::start("bench-eventhubs", &mut command, None);
        let ready = process.json();
        let text = |key: &str| ready[key].as_str().unwrap_or_else(|| panic!("no {key}: {ready}")).to_owned();
        Self { amqp: text("amqp"), control: text("control"), process }
    }

    pub(crate) fn fault(&self, request: &Value) {
        control(&self.control, request);
    }

    /// Events stored so far.
    pub(crate) fn events_count(&self) -> usize {
        let answer = control(&self.control, &json!({ "cmd": "stats" }));
        usize::try_from(answer["stats"]["events"].as_u64().unwrap()).unwrap()
    }
}

/// The simulated plant.
pub(crate) struct Plant {
    #[expect(dead_code, reason = "held until the end")]
    process: Process,
    pub(crate) endpoint: String,
    pub(crate) control: String,
}

impl Plant {
    pub(crate) fn start(assets: u32, tags: u32, arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", assets, tags, arguments)
    }

    pub(crate) fn start_at(listen: &str, assets: u32, tags: u32, arguments: &[&str]) -> Self {
        let mut command = Command::new(program("bench-plc"));
        command.args(["--listen", listen, "--assets", &assets.to_string(), "--tags", &tags.to_string()]);
        let process = Process::start("bench-plc", command.args(arguments), None);
        let ready = process.json();
        Self {
            endpoint: ready["endpoints"][0].as_str().unwrap().to_owned(),
            control: ready["control"].as_str().unwrap().to_owned(),
            process,
        }
    }

    pub(crate) fn tell(&self, request: &Value) {
        control(&self.control, request);
    }
}

/// A folder with a site's file, and what becomes of it.
pub(crate) struct Folder {
    pub(crate) folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// What a site's file says.
pub(crate) struct SiteText<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) opcua: Option<&'a str>,
    pub(crate) opcua_lines: &'a str,
    pub(crate) assets: u32,
    pub(crate) tags: u32,
    pub(crate) mqtt_port: Option<u16>,
    pub(crate) amqp: &'a str,
    pub(crate) sources: &'a str,
}

impl SiteText<'_> {
    pub(crate) fn write(&self) -> PathBuf {
        let mut text = format!(
            "name = \"plant\"\nstate_directory = \"{}\"\n[control]\nsocket = \"{}\"\n",
            self.folder.path("state").display(),
            self.folder.path("control.sock").display()
        );
        if let Some(port) = self.mqtt_port {
            write!(text, "[[listener]]\nbind = \"127.0.0.1:{port}\"\nallow_anonymous = true\n").unwrap();
        }
        if let Some(endpoint) = self.opcua {
            write!(
                text,
                "[[opcua]]\nname = \"line\"\nendpoint = \"{endpoint}\"\nsecurity = \"None\"\nupdate_period_ms = 500\n\
                 conflate = \"all\"\n{}\n",
                self.opcua_lines
            )
            .unwrap();
            for asset in 0..self.assets {
                write!(text, "[[opcua.asset]]\nname = \"asset{asset:03}\"\n[opcua.asset.tags]\n").unwrap();
                for tag in 0..self.tags {
                    writeln!(text, "tag{tag:02} = \"ns=2;s=asset{asset:03}.tag{tag:02}\"").unwrap();
                }
            }
        }
        write!(
            text,
            "[[flow]]\nname = \"to-event-hubs\"\nsources = [\"{}\"]\n[flow.event_hub]\nhub = \"millicore\"\nendpoint = \
             \"amqp://{}\"\nconnection_string = \"Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
             SharedAccessKey={KEY}\"\n",
            self.sources, self.amqp
        )
        .unwrap();
        let path = self.folder.path("site.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Starts `millicore run` and waits until its control socket answers.
pub(crate) fn millicore(folder: &Folder, site: &std::path::Path) -> Process {
    millicore_with(folder, site, &[])
}

/// The same with further arguments.
pub(crate) fn millicore_with(folder: &Folder, site: &std::path::Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millicore"));
    command.args(["run", "--fold", "--profile", "vm-4vcpu", "--set", "egress.linger_ms=20", "--config"]).arg(site);
    command.args(arguments);
    let mut process = Process::start("millicore", &mut command, Some(&folder.path("log")));
    let socket = folder.path("control.sock");
    let deadline = Instant::now() + PATIENCE;
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "millicore does not answer:\n{}", folder.log());
        let said = process.line_within(Duration::from_millis(50));
        assert!(said.is_some() || !process.has_ended(), "millicore ended:\n{}", folder.log());
    }
    process
}

/// One event, as the independent reader found it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) topic: String,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Found {
    fn new(event: &ReadEvent) -> Self {
        let AmqpValue::String(id) = event.message_id().unwrap() else { panic!("an event has a text as its id") };
        let AmqpValue::Map(pairs) = event.application_properties().unwrap() else { panic!("an event has properties") };
        let text =
            |value: &AmqpValue| if let AmqpValue::String(text) = value { text.clone() } else { format!("{value:?}") };
        let properties: BTreeMap<String, String> = pairs.iter().map(|(key, value)| (text(key), text(value))).collect();
        let topic = properties.get(eventhubs_lane::TOPIC_NAME_PROPERTY).cloned().expect("an event names its topic");
        Self { id, topic, properties, body: event.body.to_vec() }
    }
}

/// Reads events from the beginning until `enough` says so.
pub(crate) fn read_events(hub: &Hub, mut enough: impl FnMut(&[Found]) -> bool) -> Vec<Found> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut found = Vec::new();
    let reading = async {
        // An endpoint that refuses for a while closes its readers too: they begin again.
        while !enough(&found) {
            found.clear();
            let Ok(mut reader) = Reader::connect(&reader_options(hub)).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            while !enough(&found)
                && let Ok(event) = reader.next().await
            {
                found.push(Found::new(&event));
            }
        }
    };
    let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, reading).await });
    let last = found.last().map(|event: &Found| (&event.id, &event.topic));
    assert!(outcome.is_ok(), "only {} events came, the last of them {last:?}", found.len());
    found
}

fn reader_options(hub: &Hub) -> ReaderOptions {
    ReaderOptions {
        address: hub.amqp.clone(),
        hub: "millicore".to_owned(),
        consumer_group: "$Default".to_owned(),
        start: Start::Earliest,
        access_key: Some(AccessKey { name: "RootManageSharedAccessKey".to_owned(), key: KEY.to_owned() }),
    }
}

/// The values of each tag in the order of the events, redeliveries left out: (asset, tag) to values.
pub(crate) fn values(found: &[Found]) -> BTreeMap<(String, String), Vec<Value>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut values: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for event in found.iter().filter(|event| seen.insert(event.id.clone())) {
        let asset = event.topic.rsplit('/').next().unwrap().to_owned();
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        for (tag, point) in body.as_object().unwrap() {
            let one = [point.clone()];
            for point in point.as_array().map_or(one.as_slice(), Vec::as_slice) {
                values.entry((asset.clone(), tag.clone())).or_default().push(point["Value"].clone());
            }
        }
    }
    values
}

/// Panics unless each tag's sequence numbers rise without a gap; says how many values there were.
pub(crate) fn assert_complete(found: &[Found], tags_count: usize) -> usize {
    let values = values(found);
    assert_eq!(values.len(), tags_count, "every tag came");
    for (name, values) in &values {
        let numbers: Vec<u64> = values.iter().map(sequence).collect();
        for pair in numbers.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "{name:?}: {numbers:?}");
        }
    }
    values.values().map(Vec::len).sum()
}

/// The sequence number that the simulated plant hides in a value.
pub(crate) fn sequence(value: &Value) -> u64 {
    let Some(text) = value.as_str() else {
        return value.as_u64().unwrap_or_else(|| panic!("{value} is no number"));
    };
    let change = bench_plc::value::decode_text(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    u64::from(change.sequence)
}

/// Every tag has at least `count` values.
pub(crate) fn each_has(found: &[Found], tags_count: usize, count: usize) -> bool {
    let values = values(found);
    values.len() == tags_count && values.values().all(|values| values.len() >= count)
}

/// A request to the plant that its connections be dropped.
pub(crate) fn drop_connections() -> Value {
    json!({ "cmd": "drop-connections" })
}
