//! A simulated plant, one Session on a core of its own that reaches it through the shell, and what came of it.

#![expect(clippy::unwrap_used, reason = "a world that cannot go on fails its test")]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant as Moment};

use bench_plc::options::PlantOptions;
use bench_plc::plant::Plant;
use bench_plc::scenario::PlantScenario;
use bench_plc::value::decode_text;
use contract::{Publication, QoS};
use executor::{Executors, StopReport, Supervisor};
use opcua_subscription::{Conflate, DataPoint, DataSet, DataSetDefaults, Limits, Sampling, SessionConfig};
use opcua_transport::TransportConfig;

use crate::driver::{self, GRACE, Seen};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One Session and its core.
pub(crate) struct Client {
    executors: Executors,
    supervisor: Supervisor,
    seen: Receiver<Seen>,
}

impl Client {
    /// Starts a core with a Session that monitors all tags of `scenario`. `capacity` is that of the message channel.
    pub(crate) fn start(transport: TransportConfig, scenario: &PlantScenario, capacity: usize) -> Self {
        let limits = Limits { backoff_max: Duration::from_millis(500), ..Limits::default() };
        let (supervisor, executors, seen) =
            driver::start(transport, session_config(scenario), limits, capacity).unwrap();
        Self { executors, supervisor, seen }
    }

    /// Waits for what `find` finds.
    pub(crate) fn wait<T>(&self, what: &str, mut find: impl FnMut(Seen) -> Option<T>) -> T {
        let end = Moment::now() + PATIENCE;
        let mut last = VecDeque::new();
        loop {
            let left = end.saturating_duration_since(Moment::now());
            let Ok(seen) = self.seen.recv_timeout(left) else { panic!("{what} did not happen; last was {last:#?}") };
            if let Seen::Report(report) = &seen {
                last.push_back(format!("{report:?}"));
                last.truncate(20);
            }
            if let Some(found) = find(seen) {
                return found;
            }
        }
    }

    /// Waits until `values` says that it has had enough.
    pub(crate) fn wait_values(&self, what: &str, values: &mut Values, enough: impl Fn(&Values) -> bool) {
        self.wait(what, |seen| {
            values.take_seen(&seen);
            enough(values).then_some(())
        });
    }

    /// Ends the Session, and gives what it published until then.
    pub(crate) fn stop(self, values: &mut Values) {
        self.supervisor.stop_handle().stop(GRACE);
        assert_eq!(self.executors.join(), Ok(StopReport::default()), "all shells end");
        while let Ok(seen) = self.seen.try_recv() {
            values.take_seen(&seen);
        }
    }
}

/// The values that came, by tag.
#[derive(Debug, Default)]
pub(crate) struct Values {
    last: BTreeMap<u32, u32>,
    pub(crate) count: usize,
    /// Changes that were skipped.
    pub(crate) missing: usize,
    /// Changes that came a second time, or after a later one.
    pub(crate) repeated: usize,
}

impl Values {
    pub(crate) fn tags(&self) -> usize {
        self.last.len()
    }

    pub(crate) fn take_seen(&mut self, seen: &Seen) {
        if let Seen::Publication(publication) = seen {
            self.take(publication);
        }
    }

    fn take(&mut self, publication: &Publication) {
        let payload: serde_json::Value = serde_json::from_slice(publication.payload()).unwrap();
        for member in payload.as_object().unwrap().values() {
            let all = member.as_array().map_or(std::slice::from_ref(member), Vec::as_slice);
            for value in all {
                self.take_value(value);
            }
        }
    }

    fn take_value(&mut self, value: &serde_json::Value) {
        let change = decode_text(value["Value"].as_str().unwrap().as_bytes()).unwrap();
        self.count += 1;
        if let Some(last) = self.last.insert(change.tag_index, change.sequence) {
            match change.sequence.checked_sub(last) {
                None | Some(0) => self.repeated += 1,
                Some(step) => self.missing += usize::try_from(step).unwrap() - 1,
            }
        }
    }
}

/// A small plant that changes often.
pub(crate) fn small_scenario() -> PlantScenario {
    PlantScenario { assets: 4, tags_per_asset: 5, updates_per_s: 20.0, ..PlantScenario::default() }
}

fn session_config(scenario: &PlantScenario) -> SessionConfig {
    let names = bench_plc::names::Names::new(scenario);
    let data_set = |asset: u32| DataSet {
        asset: names.asset(asset),
        points: (asset * scenario.tags_per_asset..(asset + 1) * scenario.tags_per_asset)
            .map(|tag| DataPoint {
                name: names.tag(tag),
                node_id: format!("nsu={};s={}", bench_plc::names::NAMESPACE_URI, names.identifier(tag)),
                sampling: Sampling::default(),
            })
            .collect(),
        ..DataSet::default()
    };
    SessionConfig {
        session_name: "plant test".to_owned(),
        topic_namespace: "plant".to_owned(),
        defaults: DataSetDefaults {
            publishing_interval: Duration::from_millis(100),
            conflate: Conflate::All,
            sampling: Sampling { queue_size: Some(1_000), ..Sampling::default() },
            ..DataSetDefaults::default()
        },
        data_sets: (0..scenario.assets).map(data_set).collect(),
        partitions_count: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry: None,
    }
}

/// A plant on threads of its own.
pub(crate) struct World {
    runtime: tokio::runtime::Runtime,
    plant: Plant,
    pub(crate) url: String,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn start(options: PlantOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pki = Some(directory.path().join("plant"));
        let plant = runtime.block_on(Plant::start(PlantOptions { pki_directory: pki, ..options })).unwrap();
        let url = plant.ready().endpoints[0].clone();
        Self { runtime, plant, url, directory }
    }

    pub(crate) fn plant(&self) -> &Plant {
        &self.plant
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn transport(&self) -> TransportConfig {
        TransportConfig::new(&self.url, self.directory.path().join("client"))
    }

    /// The plant's own certificate.
    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        self.directory.path().join("plant/own/cert.der")
    }
}

/// A folder with a copy of `certificate` as the only one that is trusted.
pub(crate) fn folder_with(directory: &Path, certificate: &Path) -> std::path::PathBuf {
    let folder = directory.join("trusted");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(certificate, folder.join("plant.der")).unwrap();
    folder
}

/// Keeps the plant's options short.
pub(crate) fn options() -> PlantOptions {
    PlantOptions { scenario: small_scenario(), ..PlantOptions::default() }
}
