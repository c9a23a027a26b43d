//! What must hold after every step of every actor.

use std::collections::BTreeMap;

use broker_partition::Cursor;
use contract::{DropReason, FlowIndex, PartitionIndex, SessionId};
use wiring::{Address, FlowAddress, Host};

use crate::build::{FLOW_CREDIT, PENDING_COUNT_MAX};

/// Bytes of records that a partition holds above its hard limit: what OPC UA Sessions have under way, which is never refused: of
/// two, eight NotificationMessages each with up to some 10,000 bytes of payload.
const SESSIONS_BYTES_MAX: u64 = 2 * 8 * 10_000;
/// Messages that wait for the actors of a core; what actors may have under way bounds them.
const INBOX_COUNT_MAX: usize = 2_000;

/// Checks the actor that has made a step; the others have not changed.
///
/// # Errors
/// What does not hold.
pub(crate) fn hold(host: &Host, stepped: Address, shard_bytes_max: u64) -> Result<(), String> {
    if host.inbox_len() > INBOX_COUNT_MAX {
        return Err(format!("{} messages wait on one core", host.inbox_len()));
    }
    match stepped {
        Address::Partition(partition) => hold_partition(host, partition, shard_bytes_max),
        Address::Flow(flow) => hold_flow(host, flow),
        Address::Batcher(flow) => hold_batcher(host, flow),
        Address::OpcUa(_) | Address::Connection(_) => Ok(()),
    }
}

fn hold_partition(host: &Host, partition: PartitionIndex, shard_bytes_max: u64) -> Result<(), String> {
    let (_, actor) = host.partitions().find(|(index, _)| *index == partition).expect("it has made a step");
    if actor.bytes() > shard_bytes_max + SESSIONS_BYTES_MAX {
        return Err(format!("partition {partition} holds {} bytes", actor.bytes()));
    }
    for account in actor.ledgers() {
        if !account.ledger.balances(account.queued) {
            return Err(format!("partition {partition}: {account:?} does not balance"));
        }
    }
    Ok(())
}

fn hold_flow(host: &Host, address: FlowAddress) -> Result<(), String> {
    let (_, flow) = host.flows().find(|(other, _)| *other == address).expect("it has made a step");
    let under_way = flow.under_way_count();
    if !flow.ledger().balances(under_way) {
        return Err(format!("{address:?}: {:?} does not balance with {under_way}", flow.ledger()));
    }
    if under_way > u64::from(FLOW_CREDIT.count) {
        return Err(format!("{address:?} has {under_way} under way, and credit for {}", FLOW_CREDIT.count));
    }
    Ok(())
}

fn hold_batcher(host: &Host, flow: FlowIndex) -> Result<(), String> {
    let (_, batcher) = host.batchers().find(|(index, _)| *index == flow).expect("it has made a step");
    let pending = batcher.pending_count();
    if !batcher.ledger().balances(pending as u64) {
        return Err(format!("batcher {flow}: {:?} does not balance with {pending}", batcher.ledger()));
    }
    if pending > PENDING_COUNT_MAX {
        return Err(format!("batcher {flow} holds {pending} events, and may hold {PENDING_COUNT_MAX}"));
    }
    Ok(())
}

/// Records that partitions dropped at limits, by their own accounts: so many may be missing at the end.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    /// Because the queue of a session was full.
    by_session: BTreeMap<SessionId, u64>,
    of_ended_sessions: u64,
    /// At the hard limit of their memory.
    pub(crate) at_memory_limits: u64,
}

impl Drops {
    pub(crate) fn of<'a>(hosts: impl Iterator<Item = &'a Host>) -> Self {
        let mut drops = Self::default();
        for account in hosts.flat_map(Host::partitions).flat_map(|(_, actor)| actor.ledgers()) {
            let at_queue = account.ledger.dropped_for(DropReason::QueueFull);
            match account.cursor {
                Cursor::Intake => drops.at_memory_limits += account.ledger.dropped_for(DropReason::MemoryBudget),
                Cursor::Subscriber(session) => *drops.by_session.entry(session).or_default() += at_queue,
                Cursor::EndedSubscribers => drops.of_ended_sessions += at_queue,
                Cursor::Flow(_) => {}
            }
        }
        drops
    }

    /// Because the queue of this session was full.
    pub(crate) fn of_session(&self, session: SessionId) -> u64 {
        self.by_session.get(&session).copied().unwrap_or(0)
    }

    /// Because any queue was full.
    pub(crate) fn at_queues(&self) -> u64 {
        self.by_session.values().sum::<u64>() + self.of_ended_sessions
    }
}

/// Whether nothing is on its way to a hub or a live subscriber.
pub(crate) fn is_drained(host: &Host) -> bool {
    host.inbox_len() == 0 && undrained(host).next().is_none()
}

/// Who still has something.
pub(crate) fn undrained(host: &Host) -> impl Iterator<Item = String> + '_ {
    let partitions = host.partitions().flat_map(|(partition, actor)| {
        let waiting =
            actor.ledgers().filter(|account| account.queued > 0 && account.cursor != Cursor::EndedSubscribers);
        waiting.map(move |account| format!("partition {partition}: {account:?}")).collect::<Vec<_>>()
    });
    let batchers = host.batchers().filter(|(_, batcher)| batcher.pending_count() > 0);
    partitions.chain(batchers.map(|(flow, batcher)| format!("batcher {flow}: {}", batcher.pending_count())))
}
