//! Everything that is known at one moment, as JSON: what `status`, `top` and the demo's screen show.

use std::collections::BTreeMap;

use contract::Ledger;
use serde::{Deserialize, Serialize};

use crate::hop_histograms::HopCounts;
use crate::{HopHistograms, RecentMessage};

/// What one executor counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorSnapshot {
    /// Turns of the actor loop.
    pub turns: u64,
    /// How often the loop found nothing to do and waited.
    pub parks: u64,
    /// Time in turns, in microseconds.
    pub busy_us: u64,
    /// CPU time of the thread, user and system, in microseconds.
    pub thread_cpu_us: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Heartbeats that found work which nobody had woken the loop for.
    pub strandings: u64,
}

/// A piece of code that held a core for longer than the profile's threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StallSnapshot {
    /// The actor or shell.
    pub name: String,
    /// How often.
    pub count: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
}

/// The conservation law of one cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSnapshot {
    /// Whose queue: a session's Client Identifier, or a flow's name.
    pub cursor: String,
    /// Records that entered.
    pub accepted: u64,
    /// Records settled by the receiver.
    pub delivered: u64,
    /// Records left out by a program.
    pub filtered: u64,
    /// Records whose Message Expiry Interval passed.
    pub expired: u64,
    /// Records given up, by reason; reasons that never occurred are left out.
    pub dropped: BTreeMap<String, u64>,
    /// Records waiting.
    pub queued: u64,
    /// Records sent again; not part of the law.
    pub redelivered: u64,
    /// Whether accepted = delivered + filtered + expired + dropped + queued. False is an alarm.
    pub balances: bool,
}

impl LedgerSnapshot {
    /// Takes the counts of `ledger`, whose queue holds `queued` records.
    pub fn new(cursor: String, ledger: &Ledger, queued: u64) -> Self {
        let dropped = contract::DropReason::ALL
            .into_iter()
            .zip(ledger.dropped)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect();
        Self {
            cursor,
            accepted: ledger.accepted,
            delivered: ledger.delivered,
            filtered: ledger.filtered,
            expired: ledger.expired,
            dropped,
            queued,
            redelivered: ledger.redelivered,
            balances: ledger.balances(queued),
        }
    }
}

/// One actor, or all MQTT connections of one core together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorSnapshot {
    /// The kind, as profiles name it.
    pub kind: String,
    /// Which one of its kind.
    pub index: u32,
    /// A name from the site's configuration: a server, a flow. Empty where there is none.
    pub label: String,
    /// Its counters, by metric name.
    pub counters: BTreeMap<String, u64>,
    /// Its cursors.
    pub ledgers: Vec<LedgerSnapshot>,
}

/// How much the actors of one kind used of one core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindUse {
    /// Messages handled.
    pub messages: u64,
    /// Time spent in them, in microseconds.
    pub busy_us: u64,
}

/// One core: its executor, its actors, its latencies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreSnapshot {
    /// Its number in the plan.
    pub core: u16,
    /// The kernel's cpu that it is pinned to.
    pub cpu: u32,
    /// The profile's core or cores that it carries.
    pub name: String,
    /// The executor's counts.
    pub executor: ExecutorSnapshot,
    /// What held the core too long.
    pub stalls: Vec<StallSnapshot>,
    /// Use by kind of actor.
    pub uses: BTreeMap<String, KindUse>,
    /// The actors.
    pub actors: Vec<ActorSnapshot>,
    /// Latencies by hop: the filled buckets.
    pub hops: HopCounts,
    /// The last few messages.
    pub recent: Vec<RecentMessage>,
}

/// A lane: a pinned thread for a vendor's SDK, the control socket or blocking work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSnapshot {
    /// Its name, as profiles have it.
    pub name: String,
    /// The kernel's cpu, where it is pinned.
    pub cpu: Option<u32>,
    /// CPU time of the thread, user and system, in microseconds.
    pub thread_cpu_us: u64,
    /// Its counters.
    pub counters: BTreeMap<String, u64>,
}

/// The process as the kernel sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSnapshot {
    /// CPU time of all threads, user and system, in microseconds.
    pub cpu_us: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// Open file descriptors.
    pub descriptors_count: u64,
}

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    /// The product's version.
    pub version: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub taken_unix_ms: i64,
    /// Milliseconds since the process started.
    pub uptime_ms: u64,
    /// The profile's name.
    pub profile: String,
    /// How the profile was folded onto fewer cores, where it was.
    pub folded: Option<String>,
    /// The durability in force, in words.
    pub durability: String,
    /// The process.
    pub process: ProcessSnapshot,
    /// The cores.
    pub cores: Vec<CoreSnapshot>,
    /// The lanes.
    pub lanes: Vec<LaneSnapshot>,
    /// What a person should look at: disconnected servers, rejected tags, alarms. Newest last, bounded.
    pub notices: Vec<String>,
}

impl NodeSnapshot {
    /// The latencies of all cores together.
    pub fn hops(&self) -> HopHistograms {
        let mut merged = HopHistograms::default();
        for core in &self.cores {
            merged.merge_counts(&core.hops);
        }
        merged
    }

    /// All actors of one kind, over all cores.
    pub fn actors<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ActorSnapshot> {
        self.cores.iter().flat_map(|core| &core.actors).filter(move |actor| actor.kind == kind)
    }

    /// The sum of a counter over all actors of one kind; 0 where none has it.
    pub fn counter(&self, kind: &str, name: &str) -> u64 {
        self.actors(kind).filter_map(|actor| actor.counters.get(name)).sum()
    }

    /// The cursors whose law does not hold.
    pub fn imbalances(&self) -> Vec<&LedgerSnapshot> {
        self.cores
            .iter()
            .flat_map(|core| &core.actors)
            .flat_map(|actor| &actor.ledgers)
            .filter(|ledger| !ledger.balances)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_does_not_balance_says_so() {
        let ledger = Ledger { accepted: 5, delivered: 3, ..Ledger::default() };
        assert!(LedgerSnapshot::new("c".into(), &ledger, 2).balances);
        assert!(!LedgerSnapshot::new("c".into(), &ledger, 1).balances);
    }

    #[test]
    fn reasons_that_never_occurred_are_left_out() {
        let mut ledger = Ledger { accepted: 2, ..Ledger::default() };
        ledger.drop_records(contract::DropReason::QueueFull, 2);
        let snapshot = LedgerSnapshot::new("c".into(), &ledger, 0);
        assert_eq!(snapshot.dropped, BTreeMap::from([("dropped_queue_full".to_owned(), 2)]));
    }
}
