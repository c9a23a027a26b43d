//! What a broker partition owns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::{
    ConnectionAddress, Counters, Epoch, FlowIndex, Instant, Ledger, Offset, PartitionIndex, PublishToken, Publisher,
    SessionId,
};

use crate::flow_cursor::FlowCursor;
use crate::intake::Intake;
use crate::limits::PartitionLimits;
use crate::records::Records;
use crate::retained::RetainedMessages;
use crate::sessions::Sessions;
use crate::shared_groups::SharedGroups;
use crate::slab::Slab;
use crate::subscriber::Subscriber;
use crate::subscription_index::{Matches, SubscriptionIndex};

/// What a partition is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionConfig {
    /// Which one it is.
    pub partition: PartitionIndex,
    /// How many there are; a Will goes to the one that owns its topic.
    pub partitions_count: u16,
    /// The life of its log.
    pub epoch: Epoch,
    /// The dataflows that take records of it, at most [`PartitionConfig::FLOWS_COUNT_MAX`], each once.
    pub flows: Vec<FlowSource>,
    /// What it may hold.
    pub limits: PartitionLimits,
}

impl PartitionConfig {
    /// Dataflows that one partition serves.
    pub const FLOWS_COUNT_MAX: usize = 1_024;
}

/// What one dataflow takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSource {
    /// The dataflow.
    pub flow: FlowIndex,
    /// Its sources: valid Topic Filters (MQTT 5.0 §4.7). A record that several match is taken once.
    pub topic_filters: Vec<Box<str>>,
}

/// One broker partition: the only writer of its topics.
#[derive(Debug)]
pub struct BrokerPartition {
    pub(crate) partition: PartitionIndex,
    pub(crate) partitions_count: u16,
    pub(crate) epoch: Epoch,
    pub(crate) limits: PartitionLimits,
    pub(crate) intake: Intake,
    pub(crate) records: Records,
    pub(crate) index: SubscriptionIndex,
    pub(crate) groups: SharedGroups,
    /// Subscriptions of all subscribers, shared ones included.
    pub(crate) subscriptions_count: u32,
    /// By flow.
    pub(crate) flows: Vec<FlowCursor>,
    pub(crate) subscribers: Slab<Subscriber>,
    pub(crate) subscribers_by_session: BTreeMap<SessionId, u32>,
    /// Without those that no connection has.
    pub(crate) subscribers_by_connection: BTreeMap<ConnectionAddress, u32>,
    /// Subscribers that may be sent something. A number may be left from one that is gone.
    pub(crate) ready: VecDeque<u32>,
    /// When whose queue is swept of expired records: [`Subscriber::expiry_due`].
    pub(crate) expiries: BTreeSet<(Instant, u32)>,
    /// Subscribers whose session has ended with many Subscriptions: a part of them leaves the index with each step.
    pub(crate) leaving: VecDeque<u32>,
    pub(crate) retained: RetainedMessages,
    /// Those whose home this is.
    pub(crate) sessions: Sessions,
    /// Publishers that wait until flows have settled.
    pub(crate) watches: Slab<Watch>,
    /// Publishers to be told that flows have settled.
    pub(crate) delivered: VecDeque<(Publisher, PublishToken)>,
    /// The log was told to forget what is below.
    pub(crate) released_up_to: Offset,
    /// The step ended before its work did.
    pub(crate) continue_at: Option<Instant>,
    pub(crate) stopping: Stopping,
    /// Records taken have reached the threshold, and have not fallen enough since.
    pub(crate) is_over_threshold: bool,
    /// Subscribers whose full queue holds publishers back.
    pub(crate) full_subscribers_count: u32,
    pub(crate) told: Told,
    /// Ledgers of subscribers that are gone.
    pub(crate) ended_subscribers: Ledger,
    pub(crate) sessions_refused_count: u64,
    /// Sessions that ended because there was no room to park them.
    pub(crate) parked_left_out_count: u64,
    pub(crate) wills_published_count: u64,
    /// Records of Shared Subscriptions that another member got because their subscriber's session ended.
    pub(crate) handed_over_count: u64,
    /// Settlements, credit and answers that belong to nothing here.
    pub(crate) unknown_count: u64,
    /// What the current record matches; kept for their memory.
    pub(crate) matches: Matches,
    pub(crate) identifiers: Vec<u32>,
}

/// What the operator was told last, so that each change is told once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) is_held_back: bool,
    pub(crate) retained_is_full: bool,
    pub(crate) sessions_are_full: bool,
}

/// A publisher that wants to hear when flows have settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) publisher: Publisher,
    pub(crate) token: PublishToken,
    /// Its records that a flow has not settled.
    pub(crate) records_count: u32,
}

/// How far it is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It takes publications.
    No,
    /// It waits for its log and its flows.
    Draining,
    /// It has said that nothing is left.
    Done,
}

/// Whose records a ledger counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cursor {
    /// The partition's own queue, before flows and subscribers: accepted counts publications that arrived and were not refused,
    /// delivered those that became visible, dropped those at QoS 0 past the hard limit.
    Intake,
    /// A dataflow's.
    Flow(FlowIndex),
    /// A session's. A record that another member of a Shared Subscription got when its session ended was never this one's.
    Subscriber(SessionId),
    /// Those of all sessions that have ended, together.
    EndedSubscribers,
}

/// One cursor's account: `ledger.balances(queued)` holds after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorLedger {
    /// Whose.
    pub cursor: Cursor,
    /// What became of its records.
    pub ledger: Ledger,
    /// Records that wait or are under way.
    pub queued: u64,
}

impl BrokerPartition {
    /// The most effects that one step pushes; more work is left to the next.
    pub const EFFECTS_COUNT_MAX: usize = 4_096;

    /// Makes a partition with an empty log, whose first message is [`crate::Message::Start`].
    ///
    /// # Panics
    /// When it is none of `partitions_count`, a flow is named twice, or there are more than [`PartitionConfig::FLOWS_COUNT_MAX`].
    pub fn new(config: PartitionConfig) -> Self {
        let PartitionConfig { partition, partitions_count, epoch, mut flows, limits } = config;
        assert!(partition.0 < partitions_count, "a partition is one of so many");
        assert!(flows.len() <= PartitionConfig::FLOWS_COUNT_MAX, "a plan bounds its flows");
        flows.sort_by_key(|source| source.flow);
        assert!(flows.windows(2).all(|pair| pair[0].flow < pair[1].flow), "each flow is named once");
        let mut index = SubscriptionIndex::new(epoch.0);
        for (position, source) in (0_u16..).zip(&flows) {
            for topic_filter in &source.topic_filters {
                index.insert_flow(topic_filter, position);
            }
        }
        Self {
            partition,
            partitions_count,
            epoch,
            limits,
            intake: Intake::new(Offset(0)),
            records: Records::default(),
            index,
            groups: SharedGroups::default(),
            subscriptions_count: 0,
            flows: flows.iter().map(|source| FlowCursor::new(source.flow)).collect(),
            subscribers: Slab::default(),
            subscribers_by_session: BTreeMap::new(),
            subscribers_by_connection: BTreeMap::new(),
            ready: VecDeque::new(),
            expiries: BTreeSet::new(),
            retained: RetainedMessages::default(),
            leaving: VecDeque::new(),
            sessions: Sessions::default(),
            watches: Slab::default(),
            delivered: VecDeque::new(),
            released_up_to: Offset(0),
            continue_at: None,
            stopping: Stopping::No,
            is_over_threshold: false,
            full_subscribers_count: 0,
            told: Told::default(),
            ended_subscribers: Ledger::default(),
            sessions_refused_count: 0,
            parked_left_out_count: 0,
            wills_published_count: 0,
            handed_over_count: 0,
            unknown_count: 0,
            matches: Matches::default(),
            identifiers: Vec::new(),
        }
    }

    /// Which one it is.
    pub fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// The account of every cursor: the intake, each flow, each subscriber, and the subscribers that are gone.
    pub fn ledgers(&self) -> impl Iterator<Item = CursorLedger> {
        let intake =
            CursorLedger { cursor: Cursor::Intake, ledger: self.intake.ledger, queued: self.intake.queued_count() };
        let ended = CursorLedger { cursor: Cursor::EndedSubscribers, ledger: self.ended_subscribers, queued: 0 };
        let flows = self.flows.iter().map(|flow| CursorLedger {
            cursor: Cursor::Flow(flow.flow),
            ledger: flow.ledger,
            queued: flow.queued_count(),
        });
        let subscribers = self.subscribers_by_session.iter().map(|(session, index)| {
            let subscriber = self.subscribers.get(*index);
            let cursor = Cursor::Subscriber(*session);
            CursorLedger { cursor, ledger: subscriber.ledger, queued: subscriber.queued_count() }
        });
        std::iter::once(intake).chain(flows).chain(subscribers).chain(std::iter::once(ended))
    }

    /// Records that dataflows have not settled: the `queued` of their ledgers together. Its cost does not grow with the sessions.
    pub fn flows_queued_count(&self) -> u64 {
        self.flows.iter().map(FlowCursor::queued_count).sum()
    }

    /// Bytes that count against the budget of the shard: each record once, Retained Messages, waiting publications, Wills and parked
    /// sessions included.
    pub fn bytes(&self) -> u64 {
        self.held_bytes()
    }

    /// Whether publishers wait: the budget's threshold was reached, or a subscriber holds them back.
    pub fn is_under_pressure(&self) -> bool {
        self.told.is_held_back
    }
}

impl Counters for BrokerPartition {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        let mut cursors = Ledger::default();
        let mut queued = 0;
        for account in self.ledgers().filter(|account| account.cursor != Cursor::Intake) {
            cursors.merge(&account.ledger);
            queued += account.queued;
        }
        cursors.visit_counters(visit);
        visit("queued", queued);
        visit("publications_accepted", self.intake.ledger.delivered);
        visit("publications_refused", self.intake.refused_count);
        visit("publications_dropped_memory_budget", self.intake.ledger.dropped_sum());
        visit("publications_queued", self.intake.queued_count());
        visit("publications_waiting_bytes", self.intake.waiting_bytes());
        visit("records_held", self.records.count() as u64);
        visit("held_bytes", self.held_bytes());
        visit("back_pressure", u64::from(self.told.is_held_back));
        visit("sessions", self.sessions.count() as u64);
        visit("sessions_parked", self.sessions.parked_count() as u64);
        visit("sessions_bytes", self.sessions.bytes());
        visit("sessions_refused", self.sessions_refused_count);
        visit("sessions_left_out", self.parked_left_out_count);
        visit("wills_published", self.wills_published_count);
        visit("subscribers", self.subscribers_by_session.len() as u64);
        visit("subscribers_connected", self.subscribers_by_connection.len() as u64);
        visit("subscriptions", u64::from(self.subscriptions_count));
        visit("shared_subscriptions", self.groups.count() as u64);
        visit("shared_handed_over", self.handed_over_count);
        visit("retained_messages", self.retained.count() as u64);
        visit("retained_bytes", self.retained.bytes());
        visit("retained_left_out", self.retained.left_out_count());
        visit("retained_expired", self.retained.expired_count());
        visit("unknown", self.unknown_count);
    }
}
