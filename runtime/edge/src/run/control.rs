//! The control lane: answers operators with what the cores answer it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use authentication::Gate;
use executor::{Clock, ExecutorStats};
use mailbox::Sender;
use mqtt_listener::HandshakeLane;
use telemetry::{ControlAnswer, ControlRequest, LaneSnapshot, NodeSnapshot, ProcessSnapshot, Verb};
use tokio::sync::Mutex;

use super::reload::Reloader;
use super::snapshot::{CoreAnswer, CoreRequest, micros};
use crate::control_server::ControlService;

/// How long the cores may take to answer; a stalled one is left out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Notices in a snapshot.
const NOTICES_MAX: usize = 64;

/// Changes what is logged.
pub(super) type LogFilter = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What the control lane knows of the node.
pub(super) struct NodeService {
    pub(super) clock: Clock,
    pub(super) profile: String,
    pub(super) folded: Option<String>,
    pub(super) durability: String,
    /// The plan as a table.
    pub(super) plan: String,
    pub(super) cores: Vec<Sender<CoreRequest>>,
    pub(super) lanes: Vec<Arc<ExecutorStats>>,
    pub(super) handshake_lane: Option<HandshakeLane>,
    pub(super) gate: Option<Gate>,
    /// Shared with who looks at the files now and then.
    pub(super) reloader: Arc<Mutex<Reloader>>,
    pub(super) log_filter: LogFilter,
    /// Notices of the start.
    pub(super) notices: Vec<String>,
}

impl ControlService for NodeService {
    async fn answer(&self, request: ControlRequest) -> ControlAnswer {
        match request.verb {
            Verb::Status => ControlAnswer::Status(Box::new(self.snapshot().await)),
            Verb::Plan => ControlAnswer::Plan(self.plan.clone()),
            Verb::Reload => ControlAnswer::Reloaded(self.reloader.lock().await.reload().await),
            Verb::LogLevel { filter } => match (self.log_filter)(&filter) {
                Ok(()) => ControlAnswer::Done,
                Err(error) => ControlAnswer::Error(error),
            },
        }
    }
}

impl NodeService {
    /// Asks every core at once and waits for the answers.
    async fn snapshot(&self) -> NodeSnapshot {
        let (answer, answers) = flume::bounded(self.cores.len().max(1));
        let asked = self
            .cores
            .iter()
            .filter(|core| core.try_send(CoreRequest::Snapshot { answer: answer.clone() }).is_ok())
            .count();
        drop(answer);
        let mut cores: Vec<CoreAnswer> = Vec::with_capacity(asked);
        let gather = async {
            while let Ok(answer) = answers.recv_async().await {
                cores.push(answer);
                if cores.len() == asked {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(ANSWER_TIMEOUT, gather).await.is_ok();
        let mut notices = self.notices.clone();
        if !in_time || cores.len() < self.cores.len() {
            notices.push(format!("{} of {} cores did not answer", self.cores.len() - cores.len(), self.cores.len()));
        }
        let mut dated: Vec<_> = cores.iter().flat_map(|core| &core.notices).collect();
        dated.sort_by_key(|notice| notice.unix_ms);
        let newest = dated.len().saturating_sub(NOTICES_MAX);
        notices.extend(dated[newest..].iter().map(|notice| notice.text.clone()));
        cores.sort_by_key(|core| core.core.core);
        NodeSnapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_unix_ms: self.clock.utc().unix_millis(),
            uptime_ms: self.clock.now().as_nanos() / 1_000_000,
            profile: self.profile.clone(),
            folded: self.folded.clone(),
            durability: self.durability.clone(),
            process: process_snapshot(),
            cores: cores.into_iter().map(|core| core.core).collect(),
            lanes: self.lanes.iter().map(|stats| lane_snapshot(stats)).chain(self.access_lanes()).collect(),
            notices,
        }
    }

    /// The threads that let MQTT clients in, where there are any.
    fn access_lanes(&self) -> Vec<LaneSnapshot> {
        let handshakes = self.handshake_lane.as_ref().map(|lane| {
            let counts = lane.counts();
            let counters = [
                ("begun", counts.begun),
                ("finished", counts.finished),
                ("failed", counts.failed),
                ("timed_out", counts.timed_out),
                ("evicted", counts.evicted),
                ("refused", counts.refused),
                ("under_way", counts.under_way),
                ("reloads", counts.reloads),
                ("reload_failures", counts.reload_failures),
            ];
            threads_snapshot("handshake", &counters)
        });
        let access = self.gate.as_ref().map(|gate| {
            let counts = gate.counters();
            let counters = [
                ("granted", counts.granted),
                ("denied", counts.denied),
                ("busy", counts.busy),
                ("rate_limited", counts.rate_limited),
            ];
            threads_snapshot("access", &counters)
        });
        handshakes.into_iter().chain(access).collect()
    }
}

/// Threads that are called `name` with a number behind, as one lane.
fn threads_snapshot(name: &str, counters: &[(&str, u64)]) -> LaneSnapshot {
    let is_one = |comm: &str| {
        let number = comm.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|task| task.path());
    let ours = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| is_one(&comm)));
    LaneSnapshot {
        name: name.to_owned(),
        cpu: None,
        thread_cpu_us: ours.map(|task| stat_cpu_us(&task.join("stat").to_string_lossy())).sum(),
        counters: counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
    }
}

fn lane_snapshot(stats: &ExecutorStats) -> LaneSnapshot {
    LaneSnapshot {
        name: stats.name().to_owned(),
        cpu: stats.cpu().and_then(|cpu| u32::try_from(cpu).ok()),
        thread_cpu_us: thread_cpu_us(stats.thread_id()),
        counters: BTreeMap::new(),
    }
}

/// CPU time of a thread in microseconds, to the kernel's tick; 0 where it is gone.
fn thread_cpu_us(thread_id: u32) -> u64 {
    stat_cpu_us(&format!("/proc/self/task/{thread_id}/stat"))
}

fn stat_cpu_us(path: &str) -> u64 {
    let Ok(text) = std::fs::read_to_string(path) else { return 0 };
    // The name in brackets may hold spaces; user and system time are the 14th and 15th fields (proc_pid_stat(5)).
    let Some((_, after_name)) = text.rsplit_once(") ") else { return 0 };
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

fn process_snapshot() -> ProcessSnapshot {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident_kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok());
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(u64::try_from(usage.tv_sec).unwrap_or(0), u32::try_from(usage.tv_nsec).unwrap_or(0));
    ProcessSnapshot {
        cpu_us: micros(cpu),
        resident_kib: resident_kib.unwrap_or(0),
        descriptors_count: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
    }
}
