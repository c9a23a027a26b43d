//! The state of one Session, and how it is made from a configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use contract::{Effects, Instant, UtcTime};

use crate::counters::SessionCounts;
use crate::hash::SeededNumbers;
use crate::interval::Slots;
use crate::layout::check_limits;
use crate::message_writer::MessageWriter;
use crate::receipts::{ReadyAcknowledgement, Receipts, earlier};
use crate::subscription::{Stage, Subscription};
use crate::{
    ConfigError, Effect, GapCause, Layout, Limits, NodeId, Report, Request, SessionConfig, SessionState, StatusCode,
    SubscriptionState, Tags,
};

/// One OPC UA Session with its Subscriptions: a [`contract::Actor`].
///
/// Takes what a server answers and makes of it one publication for each DataSet and interval. It lives on the core whose
/// executor owns the connection.
#[derive(Debug)]
pub struct Session {
    pub(crate) name: Box<str>,
    pub(crate) partitions_count: u16,
    pub(crate) limits: Limits,
    pub(crate) layout: Layout,
    pub(crate) slots: Slots,
    pub(crate) writer: MessageWriter,
    pub(crate) receipts: Receipts,
    pub(crate) subscriptions: Vec<Subscription>,
    /// What the plan of the Subscriptions was made with.
    pub(crate) items_per_subscription: u32,
    pub(crate) items_per_call: u32,
    pub(crate) phase: Phase,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) identity: Option<Identity>,
    /// Whether the identity was activated on this connection, so that requests may use it.
    pub(crate) resuming: Resuming,
    pub(crate) requests: BTreeMap<u32, Pending>,
    pub(crate) next_request_handle: u32,
    /// Subscriptions of ours at the server that are to be deleted.
    pub(crate) stale_subscription_ids: Vec<u32>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) application_uri: Box<str>,
    pub(crate) publish_target: u32,
    pub(crate) more_notifications: bool,
    /// Since when the server has had no Publish request, if it has none.
    pub(crate) no_publish_request_since: Option<Instant>,
    pub(crate) heard_at: Instant,
    pub(crate) liveness_misses: u32,
    pub(crate) failures_count: u32,
    pub(crate) publish_failures_count: u32,
    pub(crate) numbers: SeededNumbers,
    /// The newest date that a message carried.
    pub(crate) utc: UtcTime,
    /// As revised by the server.
    pub(crate) revised_timeout: Duration,
    /// An earlier life's rejected tags are still to be told.
    pub(crate) tells_rejected: bool,
    /// Unaccepted NotificationMessages that this server keeps: the configured limit, or less once it has dropped some.
    pub(crate) unaccepted_max: u32,
    /// How far the server's clock is ahead of ours.
    pub(crate) server_clock_ahead_ticks: i64,
    pub(crate) counts: SessionCounts,
}

/// What the Session does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not started.
    Idle,
    /// Connect is under way.
    Connecting,
    /// Connected; the Session is activated or made, and the server is read.
    Establishing,
    /// Subscriptions are made, and NotificationMessages taken.
    Running,
    /// Disconnect is under way.
    Disconnecting,
    /// Waits before the next connection.
    BackingOff { until: Instant },
    /// The end.
    Stopped,
}

/// How the Session comes up on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resuming {
    /// By activating the Session that there was.
    Reactivate,
    /// By a new one.
    New,
}

/// A stop is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopping {
    pub(crate) until: Instant,
    pub(crate) close_session: bool,
}

/// What a server knows the Session by.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) session_id: NodeId,
    pub(crate) authentication_token: NodeId,
    pub(crate) server_nonce: Bytes,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    CreateSession,
    ActivateSession,
    CloseSession,
    ReadServer,
    ReadLiveness,
    Transfer { indexes: Vec<usize> },
    CreateSubscription { index: usize },
    CreateItems { index: usize, slots: Vec<u32> },
    DeleteSubscriptions,
    Republish { index: usize, sequence_number: u32 },
    Publish { acknowledgements: Vec<ReadyAcknowledgement> },
}

impl Session {
    /// Makes a Session that waits for [`crate::Message::Start`]. `seed` gives jitter and the ids of messages; two lives of
    /// one Session need different ones.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the operator.
    pub fn new(config: &SessionConfig, limits: Limits, seed: u64) -> Result<Self, ConfigError> {
        check_limits(config, &limits)?;
        let layout = Layout::new(config)?;
        let mut numbers = SeededNumbers::new(seed);
        let items_per_subscription = limits.items_per_subscription;
        Ok(Self {
            name: config.session_name.as_str().into(),
            partitions_count: config.partitions_count,
            slots: Slots::new(&layout),
            writer: MessageWriter::new(config, &layout, &limits),
            receipts: Receipts::new(numbers.next()),
            subscriptions: layout.subscriptions(items_per_subscription).into_iter().map(Subscription::new).collect(),
            items_per_subscription,
            items_per_call: limits.items_per_call_max,
            phase: Phase::Idle,
            stopping: None,
            identity: None,
            resuming: Resuming::New,
            requests: BTreeMap::new(),
            next_request_handle: 1,
            stale_subscription_ids: Vec::new(),
            namespaces: Vec::new(),
            application_uri: Box::default(),
            publish_target: limits.publish_requests_count,
            more_notifications: false,
            no_publish_request_since: None,
            heard_at: Instant::ZERO,
            liveness_misses: 0,
            failures_count: 0,
            publish_failures_count: 0,
            numbers,
            utc: UtcTime::default(),
            revised_timeout: Duration::MAX,
            tells_rejected: false,
            unaccepted_max: limits.unacknowledged_notifications_max,
            server_clock_ahead_ticks: 0,
            counts: SessionCounts::default(),
            limits,
            layout,
        })
    }

    /// The most effects that one step can push: what to give [`Effects::new`].
    ///
    /// A NotificationMessage closes at most one interval, with at most two effects for each partition; those that were held
    /// back follow it in the same step. Every Subscription asks for at most two services at once.
    pub fn effects_count_max(&self) -> usize {
        let messages = self.limits.unacknowledged_notifications_max as usize * 2 + self.subscriptions.len() + 1;
        let partitions = usize::from(self.partitions_count).min(self.layout.writers.len());
        messages * (2 * partitions + 4) + 8 * self.layout.writers.len() + 64
    }

    /// Takes up what an earlier life saved. Another layout makes the Subscriptions useless, but not the Session.
    pub(crate) fn adopt(&mut self, saved: SessionState, now: Instant) {
        self.identity = Some(Identity {
            session_id: saved.session_id,
            authentication_token: saved.authentication_token,
            server_nonce: saved.server_nonce,
        });
        self.revised_timeout = saved.session_timeout;
        let plans = self.layout.subscriptions(saved.items_per_subscription.clamp(1, 100_000));
        let fits = saved.layout_hash == self.layout.hash()
            && saved.subscriptions.iter().all(|subscription| (subscription.subscription_index as usize) < plans.len());
        if !fits {
            self.stale_subscription_ids =
                saved.subscriptions.iter().filter_map(|saved| saved.subscription_id).collect();
            return;
        }
        self.tells_rejected = true;
        self.items_per_subscription = saved.items_per_subscription;
        self.subscriptions = plans.into_iter().map(Subscription::new).collect();
        for saved in saved.subscriptions {
            let subscription = &mut self.subscriptions[saved.subscription_index as usize];
            subscription.complete_until = Some(saved.complete_until);
            subscription.gap = saved.gap_from.map(|from| (from, GapCause::SubscriptionLost));
            let Some(id) = saved.subscription_id else { continue };
            subscription.stage = Stage::Running;
            subscription.id = id;
            subscription.birth = saved.birth;
            subscription.publishing_interval = saved.publishing_interval;
            subscription.max_keep_alive_count.revised = saved.max_keep_alive_count;
            subscription.last = saved.last_sequence_number;
            subscription.rejected = saved.rejected;
            subscription.retry_at = (!subscription.rejected.is_empty()).then_some(now);
        }
    }

    /// Saves what a later life needs.
    pub(crate) fn save(&mut self, effects: &mut Effects<Effect>) {
        let Some(identity) = &self.identity else { return };
        let subscriptions = self.subscriptions.iter().enumerate();
        let subscriptions = subscriptions.filter_map(|(index, subscription)| self.saved(index, subscription)).collect();
        effects.push(Effect::SaveState(SessionState {
            session_id: identity.session_id.clone(),
            authentication_token: identity.authentication_token.clone(),
            server_nonce: identity.server_nonce.clone(),
            session_timeout: self.revised_timeout,
            items_per_subscription: self.items_per_subscription,
            layout_hash: self.layout.hash(),
            subscriptions,
        }));
        self.counts.states_saved += 1;
    }

    fn saved(&self, index: usize, subscription: &Subscription) -> Option<SubscriptionState> {
        let is_complete = subscription.stage == Stage::Running;
        let gap_from = subscription.gap.map(|(from, _)| from);
        if !is_complete && gap_from.is_none() {
            return None;
        }
        let waiting = self.receipts.waiting_since(index, subscription.birth);
        let open = subscription.interval.complete_before.filter(|_| !subscription.interval.is_empty());
        let accepted_until = earlier(waiting.of_this_birth, open);
        let is_settled = self.stopping.is_some() && accepted_until.is_none();
        Some(SubscriptionState {
            subscription_index: u32::try_from(index).expect("fewer Subscriptions than tags"),
            subscription_id: is_complete.then_some(subscription.id),
            birth: subscription.birth,
            publishing_interval: subscription.publishing_interval,
            max_keep_alive_count: subscription.max_keep_alive_count.revised,
            last_sequence_number: subscription.last.filter(|_| is_settled && is_complete),
            complete_until: accepted_until.or(subscription.complete_until).unwrap_or(self.utc),
            gap_from: earlier(earlier(gap_from, waiting.of_earlier_births), accepted_until.filter(|_| !is_complete)),
            rejected: subscription.rejected.clone(),
        })
    }

    /// Sends a request and remembers what for.
    pub(crate) fn send(&mut self, request: Request, pending: Pending, effects: &mut Effects<Effect>) {
        let request_handle = self.next_request_handle;
        self.next_request_handle = request_handle.checked_add(1).unwrap_or(1);
        let timeout = match &pending {
            Pending::Publish { .. } => None,
            Pending::ReadLiveness => Some(self.liveness_interval().min(self.limits.request_timeout)),
            Pending::CreateSession
            | Pending::ActivateSession
            | Pending::CloseSession
            | Pending::ReadServer
            | Pending::Transfer { .. }
            | Pending::CreateSubscription { .. }
            | Pending::CreateItems { .. }
            | Pending::DeleteSubscriptions
            | Pending::Republish { .. } => Some(self.limits.request_timeout),
        };
        let authentication_token = match &request {
            Request::CreateSession { .. } => None,
            Request::ActivateSession { .. }
            | Request::CloseSession { .. }
            | Request::Read { .. }
            | Request::CreateSubscription(_)
            | Request::CreateMonitoredItems { .. }
            | Request::DeleteSubscriptions { .. }
            | Request::Publish { .. }
            | Request::Republish { .. }
            | Request::TransferSubscriptions { .. } => {
                self.identity.as_ref().map(|identity| identity.authentication_token.clone())
            }
        };
        self.requests.insert(request_handle, pending);
        self.counts.requests += 1;
        effects.push(Effect::Send { request_handle, authentication_token, request, timeout });
    }

    /// Publish requests at the server.
    pub(crate) fn publish_requests_count(&self) -> u32 {
        let publishes = self.requests.values().filter(|pending| matches!(pending, Pending::Publish { .. }));
        u32::try_from(publishes.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn tags_of(&self, index: usize) -> Tags {
        let (first, count) = self.subscriptions[index].run();
        Tags { names: self.layout.names.clone(), first, count }
    }

    pub(crate) fn report(effects: &mut Effects<Effect>, report: Report) {
        effects.push(Effect::Report(report));
    }

    /// What a service's refusal says about the Session or the connection, whatever the service was.
    pub(crate) const fn fault(status_code: StatusCode) -> Fault {
        match status_code.without_info_bits() {
            StatusCode::BAD_SESSION_ID_INVALID
            | StatusCode::BAD_SESSION_CLOSED
            | StatusCode::BAD_SESSION_NOT_ACTIVATED => Fault::Session,
            StatusCode::BAD_SECURE_CHANNEL_ID_INVALID
            | StatusCode::BAD_SECURE_CHANNEL_CLOSED
            | StatusCode::BAD_CONNECTION_CLOSED
            | StatusCode::BAD_NOT_CONNECTED
            | StatusCode::BAD_SERVER_NOT_CONNECTED
            | StatusCode::BAD_COMMUNICATION_ERROR
            | StatusCode::BAD_SHUTDOWN
            | StatusCode::BAD_SERVER_HALTED => Fault::Connection,
            _ => Fault::Service,
        }
    }

    /// A wait before the next connection: doubling, and between half of it and all of it at random.
    pub(crate) fn next_backoff(&mut self) -> Duration {
        let doubled = self.limits.backoff_min.saturating_mul(1 << self.failures_count.min(16));
        let longest = u64::try_from(doubled.min(self.limits.backoff_max).as_nanos()).unwrap_or(u64::MAX);
        self.failures_count = self.failures_count.saturating_add(1);
        Duration::from_nanos(longest / 2 + self.numbers.next() % (longest / 2).max(1))
    }
}

/// How far a refusal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The Session is no more, or not activated.
    Session,
    /// The connection, or the server, is going away.
    Connection,
    /// Only this request.
    Service,
}
