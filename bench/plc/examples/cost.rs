//! What the plant costs while a stock client has subscribed to every tag: `cargo run --example cost -p bench-plc -- PROGRAM`.
//!
//! PROGRAM is a release build of `bench-plc`, which runs as a process of its own with the published single-node plant.
//! Prints its CPU in millicores and its values in a second, over ten seconds.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench_plc::names::{NAMESPACE_INDEX, Names};
use bench_plc::scenario::PlantScenario;
use opcua::client::{ClientBuilder, DataChangeCallback, IdentityToken, Session};
use opcua::types::{
    EndpointDescription, MessageSecurityMode, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId,
    TimestampsToReturn, UserTokenPolicy,
};

const MEASURED: Duration = Duration::from_secs(10);
/// Ticks of /proc/PID/stat in a second, on every Linux that is in use.
const TICKS_PER_S: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let program = std::env::args().nth(1).context("name a release build of bench-plc")?;
    let mut child = Command::new(program).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
    let outcome = measure(&mut child).await;
    child.kill()?;
    child.wait()?;
    outcome
}

async fn measure(child: &mut std::process::Child) -> anyhow::Result<()> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("its output is piped")?).read_line(&mut line)?;
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    let url = ready["endpoints"][0].as_str().context("an endpoint")?;
    let values = Arc::new(AtomicU64::new(0));
    subscribe(url, &values).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (ticks, count, start) = (ticks(child.id())?, values.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let seconds = start.elapsed().as_secs_f64();
    let used = f64::from(self::ticks(child.id())? - ticks) * 1_000.0 / TICKS_PER_S / seconds;
    let received = u32::try_from(values.load(Ordering::Relaxed) - count).context("ten seconds of values")?;
    println!("{used:.1} millicores, {:.0} values/s", f64::from(received) / seconds);
    Ok(())
}

async fn subscribe(url: &str, values: &Arc<AtomicU64>) -> anyhow::Result<Arc<Session>> {
    // A second of values has more bytes and entries than the stock client takes by itself.
    let builder = ClientBuilder::new().max_message_size(64 << 20).max_chunk_count(4_096).max_array_length(100_000);
    let mut client = builder.application_name("plant cost").application_uri("urn:plant:cost").client();
    let client = client.as_mut().map_err(|reasons| anyhow::anyhow!(reasons.join(", ")))?;
    let endpoint: EndpointDescription = (url, "None", MessageSecurityMode::None, UserTokenPolicy::anonymous()).into();
    let (session, events) = client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await?;
    events.spawn();
    session.wait_for_connection().await;
    let counted = Arc::clone(values);
    let callback = DataChangeCallback::new(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let subscription = session.create_subscription(Duration::from_secs(1), 1_000, 100, 0, 0, true, callback).await?;
    let names = Names::new(&PlantScenario::default());
    let indices: Vec<u32> = (0..names.tag_count()).collect();
    for chunk in indices.chunks(1_000) {
        let requests = chunk.iter().map(|index| request(&names.identifier(*index))).collect();
        session.create_monitored_items(subscription, TimestampsToReturn::Both, requests).await?;
    }
    Ok(session)
}

fn request(identifier: &str) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: NodeId::new(NAMESPACE_INDEX, identifier.to_owned()).into(),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters { queue_size: 8, ..MonitoringParameters::default() },
    }
}

/// User and system time of a process so far.
fn ticks(pid: u32) -> anyhow::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a name in brackets")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Ok(fields[11].parse::<u32>()? + fields[12].parse::<u32>()?)
}
