//! Watches tags of any OPC UA server for a while and says what it cost.
//!
//! ```text
//! cargo run --release -p opcua-transport --example watch -- opc.tcp://host:4840/ 30 'nsu=urn:plant;s=tag{}' 6250
//! ```
//!
//! URL, seconds, a NodeId with `{}` where the number goes, how many of them; or `plant` and nothing for the tags of
//! `bench-plc`. Behind these: `secure` for Basic256Sha256, `NAME:PASSWORD` for a user, `interval=MS` for the
//! PublishingInterval, `token=MS` for the lifetime of the channel's token. Our certificate lies in the folder `watch-pki`.

#[path = "../tests/plant/driver.rs"]
mod driver;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bench_plc::names::{NAMESPACE_URI, Names};
use bench_plc::scenario::PlantScenario;
use contract::QoS;
use opcua_subscription::{Conflate, DataPoint, DataSet, DataSetDefaults, Limits, SessionConfig};
use opcua_transport::{Security, TransportConfig, UserName};

use crate::driver::{GRACE, Seen};

const POINTS_PER_DATA_SET: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, seconds, pattern, rest @ ..] = arguments.as_slice() else {
        return Err("URL SECONDS NODES [COUNT]".into());
    };
    let mut transport = TransportConfig::new(url, "watch-pki");
    let (mut count, mut interval) = (0, Duration::from_secs(1));
    for argument in rest {
        if argument == "secure" {
            transport.security = Security::Basic256Sha256;
        } else if let Some((name, password)) = argument.split_once(':') {
            transport.user = Some(UserName { name: name.to_owned(), password: password.to_owned() });
        } else if let Some(millis) = argument.strip_prefix("interval=") {
            interval = Duration::from_millis(millis.parse()?);
        } else if let Some(millis) = argument.strip_prefix("token=") {
            transport.token_lifetime = Duration::from_millis(millis.parse()?);
        } else {
            count = argument.parse()?;
        }
    }
    let nodes = nodes(pattern, count);
    let (supervisor, executors, seen) = driver::start(transport, session(&nodes, interval), Limits::default(), 256)?;
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let (mut points, mut messages) = (0_u64, 0_u64);
    let mut start = None;
    while let Ok(happened) = seen.recv_timeout(end.saturating_duration_since(Instant::now())) {
        match happened {
            Seen::Report(report) => println!("{report:?}"),
            Seen::Publication(publication) => {
                // The first values are those of the creation.
                if messages == 2 * u64::try_from(nodes.len().div_ceil(POINTS_PER_DATA_SET))? {
                    start = Some((Instant::now(), points, cpu_by_thread()));
                    println!(
                        "{}",
                        String::from_utf8_lossy(&publication.payload()[..publication.payload().len().min(200)])
                    );
                }
                messages += 1;
                points += u64::from(publication.points_count());
            }
        }
    }
    let Some((since, points_before, cpu_before)) = start else { return Err("too few values came".into()) };
    let (elapsed, points) = (since.elapsed().as_secs_f64(), points - points_before);
    println!("{points} points in {elapsed:.1} s");
    for (thread, nanos) in cpu_by_thread() {
        let micros = (nanos - cpu_before.get(&thread).copied().unwrap_or(0.0)) / 1_000.0;
        println!("{thread}: {:.2} millicores, {micros:.0} us in all", micros / elapsed / 1_000.0);
    }
    supervisor.stop_handle().stop(GRACE);
    println!("{:?}", executors.join());
    Ok(())
}

fn nodes(pattern: &str, count: usize) -> Vec<String> {
    if pattern == "plant" {
        let names = Names::new(&PlantScenario::default());
        return (0..names.tag_count()).map(|tag| format!("nsu={NAMESPACE_URI};s={}", names.identifier(tag))).collect();
    }
    (0..count).map(|index| pattern.replace("{}", &index.to_string())).collect()
}

fn session(nodes: &[String], publishing_interval: Duration) -> SessionConfig {
    let point = |node_id: &String| DataPoint { node_id: node_id.clone(), ..DataPoint::default() };
    let data_sets = nodes.chunks(POINTS_PER_DATA_SET).enumerate().map(|(index, chunk)| DataSet {
        asset: format!("asset-{index}"),
        points: chunk.iter().map(point).collect(),
        ..DataSet::default()
    });
    SessionConfig {
        session_name: "watch".to_owned(),
        topic_namespace: "watch".to_owned(),
        defaults: DataSetDefaults { publishing_interval, conflate: Conflate::All, ..DataSetDefaults::default() },
        data_sets: data_sets.collect(),
        partitions_count: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry: None,
    }
}

/// Nanoseconds on a processor, by the threads' names.
fn cpu_by_thread() -> BTreeMap<String, f64> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read = |task: &std::fs::DirEntry, file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
    let mut threads = BTreeMap::new();
    for task in tasks {
        let nanos = read(&task, "schedstat").split(' ').next().and_then(|nanos| nanos.parse().ok());
        *threads.entry(read(&task, "comm").trim().to_owned()).or_default() += nanos.unwrap_or(0.0);
    }
    threads
}
