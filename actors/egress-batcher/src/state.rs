//! What an egress batcher owns.

use std::collections::{BTreeMap, VecDeque};

use contract::{BatchId, Counters, Event, HubPartitionIndex, Instant, Ledger};

use crate::hub_partition::{BatchQueue, HubPartition};
use crate::limits::Limits;
use crate::rate_cap::RateCap;
use crate::retry_delay::Dice;
use crate::route::Route;

/// The batcher of one destination. It is its own alarm clock's only reader: one deadline for all lingering batches.
#[derive(Debug)]
pub struct EgressBatcher {
    pub(crate) limits: Limits,
    pub(crate) route: Route,
    /// A person was told that the hub is away.
    pub(crate) is_away_told: bool,
    /// By index. Empty until the hub's partitions are known.
    pub(crate) hub_partitions: Vec<HubPartition>,
    /// Where the search for a free hub partition begins, so that none is starved.
    pub(crate) next_hub_partition: usize,
    /// Which hub partition has a batch under way. At most `batches_in_flight_max`.
    pub(crate) in_flight: BTreeMap<BatchId, HubPartitionIndex>,
    /// Events without a key.
    pub(crate) keyless: BatchQueue,
    /// Events that came before the hub's partitions were known.
    pub(crate) unplaced: VecDeque<(Event, Instant)>,
    /// When batches that were begun since the last time it rang become due.
    pub(crate) linger_deadline: Option<Instant>,
    pub(crate) refresh_at: Option<Instant>,
    /// When the rate cap lets a batch go that is ready.
    pub(crate) rate_ready_at: Option<Instant>,
    pub(crate) rate_cap: RateCap,
    pub(crate) dice: Dice,
    pub(crate) batch_ids: BatchIds,
    /// Events that have not settled, wherever they wait.
    pub(crate) pending_count: usize,
    pub(crate) pending_bytes: u64,
    /// Batches that the hub refused for a reason that a person must look at.
    pub(crate) parked_batches_count: usize,
    pub(crate) stopping: Stopping,
    pub(crate) ledger: Ledger,
    pub(crate) sends: SendCounts,
}

/// How far it is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It waits for events.
    No,
    /// It waits for what is pending.
    Draining,
    /// It has said that nothing is pending.
    Done,
}

/// Gives each batch a number of its own.
#[derive(Debug, Default)]
pub(crate) struct BatchIds {
    given_count: u64,
}

impl BatchIds {
    pub(crate) fn give(&mut self) -> BatchId {
        self.given_count += 1;
        BatchId(self.given_count)
    }
}

/// What was sent and came back, in batches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendCounts {
    pub(crate) sent: u64,
    pub(crate) resent: u64,
    pub(crate) split: u64,
    pub(crate) failed: u64,
    /// Settlements of batches that nobody waits for.
    pub(crate) unknown: u64,
}

impl EgressBatcher {
    /// Makes a batcher; its first timeout, due at once, asks for a client. `seed` decides the jitter of its waits.
    ///
    /// # Panics
    /// When a limit that must be at least 1 is 0.
    pub fn new(limits: Limits, seed: u64) -> Self {
        assert!(limits.events_per_batch_max > 0, "a batch takes at least one event");
        assert!(limits.batches_in_flight_max > 0, "at least one batch may be under way");
        Self {
            limits,
            route: Route::new(),
            is_away_told: false,
            hub_partitions: Vec::new(),
            next_hub_partition: 0,
            in_flight: BTreeMap::new(),
            keyless: BatchQueue::default(),
            unplaced: VecDeque::new(),
            linger_deadline: None,
            refresh_at: None,
            rate_ready_at: None,
            rate_cap: RateCap::new(limits.throughput_units),
            dice: Dice::new(seed),
            batch_ids: BatchIds::default(),
            pending_count: 0,
            pending_bytes: 0,
            parked_batches_count: 0,
            stopping: Stopping::No,
            ledger: Ledger::default(),
            sends: SendCounts::default(),
        }
    }

    /// The most effects that one step pushes: every batch that may be under way, and what one settlement says.
    pub fn effects_count_max(&self) -> usize {
        self.limits.batches_in_flight_max + 8
    }

    /// What became of the events since the start: `accepted = delivered + dropped + queued`.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Events that have not settled, wherever they wait: the `queued` of [`EgressBatcher::ledger`].
    pub fn pending_count(&self) -> usize {
        self.pending_count
    }

    /// Bytes of the publications that have not settled.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Batches that the lane has.
    pub fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the route or a batch waits for a person.
    pub(crate) fn is_parked(&self) -> bool {
        self.route.is_parked() || self.parked_batches_count > 0
    }
}

impl Counters for EgressBatcher {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        self.ledger.visit_counters(visit);
        visit("queued", self.pending_count as u64);
        visit("queued_bytes", self.pending_bytes);
        visit("batches_in_flight", self.in_flight.len() as u64);
        visit("batches_sent", self.sends.sent);
        visit("batches_resent", self.sends.resent);
        visit("batches_split", self.sends.split);
        visit("batches_failed", self.sends.failed);
        visit("settlements_unknown", self.sends.unknown);
        visit("clients_opened", self.route.clients_count());
        visit("route_parked", u64::from(self.is_parked()));
    }
}
