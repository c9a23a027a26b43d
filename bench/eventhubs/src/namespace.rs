//! The namespace: hubs, their partitions, who reads them, and what was counted. One thread owns it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::Notify;

use crate::event::Prepared;
use crate::event_file::{EventFile, printed};
use crate::fault::{Faults, Quota};
use crate::options::{HubOptions, Options};
use crate::partition::Partition;
use crate::partition_hash::partition_of;

/// Receivers without an epoch that one consumer group may have on one partition, as in the service.
pub const PLAIN_RECEIVERS_COUNT_MAX: usize = 5;
/// Receivers of all consumer groups on one partition; further ones are refused.
const RECEIVERS_COUNT_MAX: usize = 1_024;

/// How others reach a connection.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// There is something to do.
    pub notify: Notify,
    /// Keys of links that another receiver took over. Bounded: a key is put here once, and belongs to a link.
    pub stolen: RefCell<BTreeSet<u64>>,
}

/// What a receiver says when it comes.
#[derive(Debug)]
pub struct ReceiverRequest {
    /// Index of the hub.
    pub hub: usize,
    /// Index of the partition.
    pub partition: usize,
    /// The consumer group, in lower case.
    pub group: String,
    /// The owner level, if it claims one.
    pub epoch: Option<i64>,
    /// Its connection.
    pub mailbox: Rc<Mailbox>,
}

/// Why a receiver is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverRefusal {
    /// Another has a higher owner level.
    Stolen,
    /// There are too many.
    TooMany,
}

#[derive(Debug)]
struct Receiver {
    key: u64,
    group: String,
    epoch: Option<i64>,
    mailbox: Rc<Mailbox>,
}

/// A partition and who reads it.
#[derive(Debug, Default)]
pub struct PartitionState {
    /// Its events.
    pub partition: Partition,
    receivers: Vec<Receiver>,
    /// Events accepted since the start.
    pub events: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// A hub.
#[derive(Debug)]
pub struct Hub {
    /// As it was given.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionState>,
    /// In milliseconds since 1970.
    pub created_ms: i64,
    next_partition: usize,
}

impl Hub {
    fn new(options: &HubOptions) -> Self {
        let partitions = (0..options.partitions_count).map(|_| PartitionState::default()).collect();
        Self { name: options.name.clone(), partitions, created_ms: now_us() / 1_000, next_partition: 0 }
    }

    /// Which partition a batch without a fixed one goes to: that of its key, else each in turn.
    pub fn choose_partition(&mut self, key: Option<&str>) -> usize {
        if let Some(key) = key {
            let count = u16::try_from(self.partitions.len()).expect("the command line allows 1,024");
            return partition_of(key.as_bytes(), count).into();
        }
        let chosen = self.next_partition;
        self.next_partition = (chosen + 1) % self.partitions.len();
        chosen
    }
}

/// What was counted since the start.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Counters {
    /// Events accepted.
    pub events: u64,
    /// Batches accepted; a single event counts as one.
    pub batches: u64,
    /// Bytes of the events, as their producers encoded them.
    pub bytes: u64,
    /// Deliveries that were not accepted, for whatever reason.
    pub refused: u64,
    /// Of these, for lack of throughput units.
    pub throttled: u64,
    /// Events that were pushed out by newer ones.
    pub forgotten: u64,
    /// Events delivered to receivers.
    pub delivered: u64,
    /// Connections accepted.
    pub connections_total: u64,
    /// Connections that were turned away at the limit or while refusing.
    pub connections_refused: u64,
    /// Connections that broke a rule of AMQP.
    pub protocol_errors: u64,
    /// Tokens and passwords that were refused.
    pub unauthorized: u64,
    /// Bearer tokens that were let in unchecked.
    pub bearer_unchecked: u64,
}

/// Everything that connections share.
#[derive(Debug)]
pub struct Namespace {
    /// What was asked for at start.
    pub options: Options,
    /// In the order of the command line.
    pub hubs: Vec<Hub>,
    /// Faults in force.
    pub faults: Faults,
    /// Throughput units, if they are limited.
    pub quota: Option<Quota>,
    /// What was counted.
    pub counters: Counters,
    /// Connections that are open.
    pub connections: usize,
    cost_bytes: usize,
    next_key: u64,
    file: Option<EventFile>,
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

impl Namespace {
    /// Empty hubs. `file` gets every event that is accepted.
    pub fn new(options: Options, file: Option<EventFile>) -> Self {
        Self {
            hubs: options.hubs.iter().map(Hub::new).collect(),
            faults: Faults::default(),
            quota: options.throughput_units.map(|units| Quota::new(units, Instant::now())),
            counters: Counters::default(),
            connections: 0,
            cost_bytes: 0,
            next_key: 0,
            file,
            options,
        }
    }

    /// The index of the hub called `name`, in any case.
    pub fn find_hub(&self, name: &str) -> Option<usize> {
        self.hubs.iter().position(|hub| hub.name.eq_ignore_ascii_case(name))
    }

    /// Adds a batch to a partition and wakes those who read it.
    pub fn append(&mut self, hub: usize, partition: usize, batch: Vec<Prepared>, key: Option<&str>) {
        let accepted_us = now_us();
        let key = key.map(Rc::<str>::from);
        let hub_name = &self.hubs[hub].name;
        if let Some(file) = &mut self.file {
            for event in &batch {
                file.append(hub_name, partition, accepted_us, event);
            }
        }
        if self.options.print {
            for event in &batch {
                println!("{}", printed(hub_name, partition, key.as_deref(), event));
            }
        }
        let state = &mut self.hubs[hub].partitions[partition];
        let before = state.partition.cost_bytes();
        self.counters.batches += 1;
        for event in batch {
            let bytes = event.size_bytes() as u64;
            state.events += 1;
            state.bytes += bytes;
            self.counters.events += 1;
            self.counters.bytes += bytes;
            state.partition.append(event, accepted_us, key.as_ref());
        }
        self.cost_bytes += state.partition.cost_bytes() - before;
        for receiver in &state.receivers {
            receiver.mailbox.notify.notify_one();
        }
        self.forget_past_the_cap();
    }

    /// Forgets the oldest events of all partitions until what is kept fits.
    fn forget_past_the_cap(&mut self) {
        while self.cost_bytes > self.options.store_bytes_max {
            let partitions = self.hubs.iter_mut().flat_map(|hub| &mut hub.partitions);
            let oldest = partitions.filter(|state| !state.partition.is_empty());
            let Some(oldest) = oldest.min_by_key(|state| state.partition.oldest_us()) else { return };
            self.cost_bytes -= oldest.partition.forget_oldest();
            self.counters.forgotten += 1;
        }
    }

    /// Lets a receiver in, and asks those that it displaces to go. Returns the key that it is known by.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn add_receiver(&mut self, request: ReceiverRequest) -> Result<u64, ReceiverRefusal> {
        let receivers = &mut self.hubs[request.hub].partitions[request.partition].receivers;
        let in_group = receivers.iter().filter(|receiver| receiver.group == request.group);
        let highest = in_group.clone().filter_map(|receiver| receiver.epoch).max();
        match (request.epoch, highest) {
            (None, Some(_)) => return Err(ReceiverRefusal::Stolen),
            (Some(epoch), Some(highest)) if epoch < highest => return Err(ReceiverRefusal::Stolen),
            (None, None) if in_group.count() >= PLAIN_RECEIVERS_COUNT_MAX => return Err(ReceiverRefusal::TooMany),
            (None | Some(_), None) | (Some(_), Some(_)) => {}
        }
        if request.epoch.is_some() {
            receivers.retain(|receiver| {
                let stays = receiver.group != request.group;
                if !stays {
                    receiver.mailbox.stolen.borrow_mut().insert(receiver.key);
                    receiver.mailbox.notify.notify_one();
                }
                stays
            });
        }
        if receivers.len() >= RECEIVERS_COUNT_MAX {
            return Err(ReceiverRefusal::TooMany);
        }
        let key = self.next_key;
        self.next_key += 1;
        receivers.push(Receiver { key, group: request.group, epoch: request.epoch, mailbox: request.mailbox });
        Ok(key)
    }

    /// A receiver goes, or was displaced before.
    pub fn remove_receiver(&mut self, hub: usize, partition: usize, key: u64) {
        self.hubs[hub].partitions[partition].receivers.retain(|receiver| receiver.key != key);
    }

    /// Writes out what the file has not got yet.
    pub fn flush_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush();
        }
    }

    /// What the control port and the last line say.
    pub fn stats(&self) -> Stats {
        let hub_stats = |hub: &Hub| {
            let partitions = hub.partitions.iter().map(|state| PartitionStats {
                events: state.events,
                bytes: state.bytes,
                kept: state.partition.len(),
                next_sequence_number: state.partition.next_sequence_number(),
                receivers: state.receivers.len(),
            });
            (hub.name.clone(), partitions.collect())
        };
        Stats {
            counters: self.counters.clone(),
            connections: self.connections,
            faults_hit: self.faults.hits,
            store_bytes: self.cost_bytes,
            partitions: self.hubs.iter().map(hub_stats).collect(),
        }
    }
}

/// What the control port and the last line say.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Counted since the start.
    #[serde(flatten)]
    pub counters: Counters,
    /// Connections that are open.
    pub connections: usize,
    /// Deliveries that failed because a fault was asked for.
    pub faults_hit: u64,
    /// What the kept events cost.
    pub store_bytes: usize,
    /// For each hub, its partitions in order.
    pub partitions: BTreeMap<String, Vec<PartitionStats>>,
}

/// One partition's part of [`Stats`].
#[derive(Debug, Serialize)]
pub struct PartitionStats {
    /// Events accepted since the start.
    pub events: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Events that are kept.
    pub kept: usize,
    /// What the next event will be numbered.
    pub next_sequence_number: i64,
    /// Receivers that are attached.
    pub receivers: usize,
}
