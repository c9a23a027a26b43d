//! What a core tells when it is asked, and the node's snapshot made of all answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::AccessRules;
use broker_partition::{BrokerPartition, Cursor};
use contract::Counters;
use executor::ExecutorStats;
use mqtt_listener::FrontendCounts;
use telemetry::{ActorSnapshot, CoreMeter, CoreSnapshot, ExecutorSnapshot, KindUse, LedgerSnapshot, StallSnapshot};
use wiring::{Address, Envelope, Host};

use super::client_access::ListenerCounts;
use super::notices::Notice;
use super::sys_topics::Tally;

/// What the control lane wants of a core: done at its next turn.
pub(super) enum CoreRequest {
    /// Everything that the core knows.
    Snapshot {
        /// Where the answer goes; there is room for it.
        answer: flume::Sender<CoreAnswer>,
    },
    /// What the topics below `$SYS` are made of; and messages for partitions of this core, so that it is woken once for both.
    Tally {
        /// Where the answer goes; there is room for it.
        answer: flume::Sender<Tally>,
        /// Publications of the server.
        publications: Vec<Envelope>,
    },
    /// Other access rules hold.
    ChangeRules(Arc<[RulesChange]>),
}

/// Other rules for the clients of one listener.
#[derive(Clone, Debug)]
pub(super) struct RulesChange {
    /// The listener's number.
    pub(super) listener: u16,
    /// What holds.
    pub(super) rules: Arc<AccessRules>,
}

/// What a core answers.
pub(super) struct CoreAnswer {
    pub(super) core: CoreSnapshot,
    pub(super) notices: Vec<Notice>,
}

/// Names of the site for the actors of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    /// By source.
    pub(super) sources: Vec<String>,
    /// By flow.
    pub(super) flows: Vec<String>,
    /// By listener.
    pub(super) listeners: Vec<String>,
}

impl Labels {
    /// What people call this actor; empty where it has no name.
    pub(super) fn of(&self, address: Address) -> &str {
        let (names, index) = match address {
            Address::OpcUa(source) => (&self.sources, source.0),
            Address::Flow(flow) => (&self.flows, flow.flow.0),
            Address::Batcher(flow) => (&self.flows, flow.0),
            Address::Connection(_) | Address::Partition(_) => return "",
        };
        names.get(usize::from(index)).map_or("", String::as_str)
    }
}

/// What the sockets of a core tell.
#[derive(Clone, Copy)]
pub(super) struct Clients<'a> {
    pub(super) frontend: Option<FrontendCounts>,
    /// By listener.
    pub(super) listeners: &'a [ListenerCounts],
    pub(super) buffered_bytes: u64,
    pub(super) closed_for_memory: u64,
}

impl Clients<'_> {
    fn snapshots(self, labels: &Labels) -> Vec<ActorSnapshot> {
        let Some(counts) = self.frontend else { return Vec::new() };
        let actor = |kind: &str, index: u32, label: &str, counters: Vec<(&str, u64)>| ActorSnapshot {
            kind: kind.to_owned(),
            index,
            label: label.to_owned(),
            counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            ledgers: Vec::new(),
        };
        let mut counters = frontend_counters(&counts);
        counters.push(("buffered_bytes", self.buffered_bytes));
        counters.push(("closed_for_memory", self.closed_for_memory));
        let mut snapshots = vec![actor("mqtt-frontend", 0, "", counters)];
        for ((index, label), counts) in (0..).zip(&labels.listeners).zip(self.listeners) {
            let counters = vec![
                ("connections_accepted", counts.accepted),
                ("connections_live", counts.live),
                ("refused_full", counts.refused_full),
            ];
            snapshots.push(actor("mqtt-listener", index, label, counters));
        }
        snapshots
    }
}

/// What sockets have counted, by name.
pub(super) fn frontend_counters(counts: &FrontendCounts) -> Vec<(&'static str, u64)> {
    vec![
        ("accepted", counts.accepted),
        ("live", counts.live),
        ("refused_full", counts.refused_full),
        ("rate_pauses", counts.rate_pauses),
        ("exhausted_pauses", counts.exhausted_pauses),
        ("backlog_overflows", counts.backlog_overflows),
        ("close_timeouts", counts.close_timeouts),
        ("broken", counts.broken),
        ("received_bytes", counts.received_bytes),
        ("written_bytes", counts.written_bytes),
        ("reads", counts.reads),
        ("writes", counts.writes),
        ("handshakes_begun", counts.handshakes_begun),
        ("handshakes_refused", counts.handshakes_refused),
        ("tls_failures", counts.tls_failures),
        ("websocket_refusals", counts.websocket_refusals),
        ("shell_restarts", counts.shell_restarts),
    ]
}

/// The snapshot of one core.
pub(super) fn core_snapshot(
    core: u16,
    name: &str,
    stats: &ExecutorStats,
    meter: &CoreMeter,
    host: &Host,
    clients: Clients<'_>,
    labels: &Labels,
) -> CoreSnapshot {
    let mut actors = actors(host, labels);
    actors.extend(clients.snapshots(labels));
    let uses = meter.uses().filter(|(_, used)| used.messages > 0);
    CoreSnapshot {
        core,
        cpu: stats.cpu().and_then(|cpu| u32::try_from(cpu).ok()).unwrap_or(0),
        name: name.to_owned(),
        executor: executor_snapshot(stats),
        stalls: stats
            .stalls()
            .into_iter()
            .map(|stall| StallSnapshot {
                name: stall.name.to_owned(),
                count: stall.count,
                max_us: micros(stall.longest),
            })
            .collect(),
        uses: uses
            .map(|(kind, used)| {
                (kind.name().to_owned(), KindUse { messages: used.messages, busy_us: micros(used.busy) })
            })
            .collect(),
        actors,
        hops: meter.histograms().to_counts(),
        recent: meter.recent(),
    }
}

fn executor_snapshot(stats: &ExecutorStats) -> ExecutorSnapshot {
    ExecutorSnapshot {
        turns: stats.turn_count(),
        parks: stats.wake_count(),
        busy_us: micros(stats.busy()),
        thread_cpu_us: micros(stats.cpu_time()),
        heartbeats: stats.heartbeat_count(),
        strandings: stats.stranding_count(),
    }
}

fn actors(host: &Host, labels: &Labels) -> Vec<ActorSnapshot> {
    let mut actors = Vec::new();
    let snapshot = |address: Address, index: u32, counted: &dyn Counters, ledgers| ActorSnapshot {
        kind: address.kind_name().to_owned(),
        index,
        label: labels.of(address).to_owned(),
        counters: counters(counted),
        ledgers,
    };
    for (source, session) in host.sessions() {
        actors.push(snapshot(Address::OpcUa(source), source.0.into(), session, Vec::new()));
    }
    for (partition, actor) in host.partitions() {
        let ledgers = partition_ledgers(actor, labels);
        actors.push(snapshot(Address::Partition(partition), partition.0.into(), actor, ledgers));
    }
    for (address, flow) in host.flows() {
        let ledger =
            LedgerSnapshot::new(labels.of(Address::Flow(address)).to_owned(), flow.ledger(), flow.under_way_count());
        actors.push(snapshot(Address::Flow(address), address.flow.0.into(), flow, vec![ledger]));
    }
    for (flow, batcher) in host.batchers() {
        let name = labels.of(Address::Batcher(flow)).to_owned();
        let ledger = LedgerSnapshot::new(name, batcher.ledger(), batcher.pending_count() as u64);
        actors.push(snapshot(Address::Batcher(flow), flow.0.into(), batcher, vec![ledger]));
    }
    let connections = host.connection_counts();
    if connections.opened > 0 {
        actors.push(ActorSnapshot {
            kind: "mqtt-connection".to_owned(),
            index: 0,
            label: String::new(),
            counters: counters(&connections),
            ledgers: Vec::new(),
        });
    }
    actors
}

/// Subscribers' ledgers in a snapshot of one partition; further ones are added up.
const SUBSCRIBERS_MAX: usize = 16;

fn partition_ledgers(partition: &BrokerPartition, labels: &Labels) -> Vec<LedgerSnapshot> {
    let mut ledgers = Vec::new();
    let mut subscribers_count = 0;
    let (mut others, mut others_queued) = (contract::Ledger::default(), 0);
    for account in partition.ledgers() {
        let cursor = match account.cursor {
            Cursor::Intake => "intake".to_owned(),
            Cursor::Flow(flow) => labels.flows.get(usize::from(flow.0)).cloned().unwrap_or_default(),
            Cursor::EndedSubscribers => "ended sessions".to_owned(),
            Cursor::Subscriber(session) => {
                subscribers_count += 1;
                if subscribers_count > SUBSCRIBERS_MAX {
                    others.merge(&account.ledger);
                    others_queued += account.queued;
                    continue;
                }
                format!("session {session}")
            }
        };
        ledgers.push(LedgerSnapshot::new(cursor, &account.ledger, account.queued));
    }
    if subscribers_count > SUBSCRIBERS_MAX {
        let cursor = format!("{} further sessions", subscribers_count - SUBSCRIBERS_MAX);
        ledgers.push(LedgerSnapshot::new(cursor, &others, others_queued));
    }
    ledgers
}

fn counters(counted: &dyn Counters) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    counted.visit_counters(&mut |name, value| {
        counters.insert(name.to_owned(), value);
    });
    counters
}

/// A duration in whole microseconds.
pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
