//! What must hold after every step of every actor.

use broker_partition::Cursor;
use contract::{FlowIndex, PartitionIndex};
use wiring::{Address, FlowAddress, Host};

use crate::build::{FLOW_CREDIT, PENDING_COUNT_MAX, SHARD_BYTES_MAX};

/// Bytes of records that a partition holds: its hard limit, and what Sessions have under way, which is never refused: of two
/// Sessions, eight NotificationMessages each with up to some 10,000 bytes of payload.
const PARTITION_BYTES_MAX: u64 = SHARD_BYTES_MAX + 2 * 8 * 10_000;
/// Messages that wait for the actors of a core; what actors may have under way bounds them.
const INBOX_COUNT_MAX: usize = 2_000;

/// Checks the actor that has made a step; the others have not changed.
///
/// # Errors
/// What does not hold.
pub(crate) fn hold(host: &Host, stepped: Address) -> Result<(), String> {
    if host.inbox_len() > INBOX_COUNT_MAX {
        return Err(format!("{} messages wait on one core", host.inbox_len()));
    }
    match stepped {
        Address::Partition(partition) => hold_partition(host, partition),
        Address::Flow(flow) => hold_flow(host, flow),
        Address::Batcher(flow) => hold_batcher(host, flow),
        Address::OpcUa(_) | Address::Connection(_) => Ok(()),
    }
}

fn hold_partition(host: &Host, partition: PartitionIndex) -> Result<(), String> {
    let (_, actor) = host.partitions().find(|(index, _)| *index == partition).expect("it has made a step");
    if actor.bytes() > PARTITION_BYTES_MAX {
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
