//! From nothing to a running Session: connect, activate the old Session or make a new one, read the server, transfer.

use contract::{Effects, Instant, UtcTime};

use crate::state::{Fault, Identity, Pending, Phase, Resuming, Session};
use crate::subscription::{CatchUp, Stage, Subscription};
use crate::{
    DisconnectReason, Effect, GapCause, NodeId, ReadValue, Report, Request, Response, ResumedHow, Revised, StatusCode,
};

/// Nodes of namespace 0 that are read at each connect (Part 5 §6.3, Part 6 Annex A).
mod node {
    pub(super) const NAMESPACE_ARRAY: u32 = 2_255;
    pub(super) const CURRENT_TIME: u32 = 2_258;
    pub(super) const STATE: u32 = 2_259;
    pub(super) const MAX_MONITORED_ITEMS_PER_CALL: u32 = 11_714;
    pub(super) const MAX_SUBSCRIPTIONS_PER_SESSION: u32 = 24_098;
    pub(super) const MAX_MONITORED_ITEMS_PER_SUBSCRIPTION: u32 = 24_104;
}

const NODES_READ: [u32; 6] = [
    node::NAMESPACE_ARRAY,
    node::STATE,
    node::CURRENT_TIME,
    node::MAX_MONITORED_ITEMS_PER_CALL,
    node::MAX_SUBSCRIPTIONS_PER_SESSION,
    node::MAX_MONITORED_ITEMS_PER_SUBSCRIPTION,
];

impl Session {
    pub(crate) fn connect(&mut self, effects: &mut Effects<Effect>) {
        self.phase = Phase::Connecting;
        effects.push(Effect::Connect);
    }

    /// Gives the connection up, to make another one.
    pub(crate) fn disconnect(&mut self, effects: &mut Effects<Effect>) {
        if matches!(self.phase, Phase::Connecting | Phase::Establishing | Phase::Running) {
            self.forget_requests();
            self.phase = Phase::Disconnecting;
            effects.push(Effect::Disconnect);
        }
    }

    pub(crate) fn on_connected(
        &mut self,
        application_uri: &str,
        utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.utc = utc;
        self.counts.connects += 1;
        if *self.application_uri != *application_uri {
            self.application_uri = application_uri.into();
            self.writer.set_source(&self.layout, application_uri);
        }
        self.begin_session(now, effects);
    }

    /// Activates the Session that there was, or makes one.
    pub(crate) fn begin_session(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.forget_requests();
        self.phase = Phase::Establishing;
        self.heard_at = now;
        self.liveness_misses = 0;
        self.publish_target = self.limits.publish_requests_count;
        self.resuming = if self.identity.is_some() { Resuming::Reactivate } else { Resuming::New };
        match self.identity.as_ref().map(|identity| identity.server_nonce.clone()) {
            Some(server_nonce) => {
                self.send(Request::ActivateSession { server_nonce }, Pending::ActivateSession, effects);
            }
            None => self.create_session(effects),
        }
    }

    fn create_session(&mut self, effects: &mut Effects<Effect>) {
        self.identity = None;
        self.resuming = Resuming::New;
        let request = Request::CreateSession {
            session_name: self.name.clone(),
            requested_session_timeout: self.requested_session_timeout(),
        };
        self.send(request, Pending::CreateSession, effects);
    }

    /// Longer than the outage that is to be bridged.
    fn requested_session_timeout(&self) -> std::time::Duration {
        self.limits.session_timeout.max(self.limits.outage_budget.saturating_mul(2))
    }

    /// The connection broke, or was given up.
    pub(crate) fn on_disconnected(
        &mut self,
        reason: DisconnectReason,
        utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if matches!(self.phase, Phase::Idle | Phase::BackingOff { .. } | Phase::Stopped) {
            return;
        }
        self.utc = utc;
        self.counts.disconnects += 1;
        self.forget_requests();
        self.give_up_uncertain_subscriptions(now, effects);
        for index in 0..self.subscriptions.len() {
            self.close_interval(index, now, effects);
        }
        if self.stopping.is_some() {
            Self::report(effects, Report::Disconnected { reason, retry_in: None });
            self.finish_stop(effects);
            return;
        }
        let wait = self.next_backoff();
        self.phase = Phase::BackingOff { until: now + wait };
        Self::report(effects, Report::Disconnected { reason, retry_in: Some(wait) });
    }

    /// A Subscription whose CreateMonitoredItems was not answered has items that we do not know of: a second call would
    /// make each value come twice.
    fn give_up_uncertain_subscriptions(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        for index in 0..self.subscriptions.len() {
            if std::mem::take(&mut self.subscriptions[index].is_uncertain) {
                self.stale_subscription_ids.push(self.subscriptions[index].id);
                self.lose_subscription(index, GapCause::ItemsUncertain, now, effects);
            }
        }
    }

    /// Forgets what is under way; acknowledgements that were perhaps not read are sent again.
    fn forget_requests(&mut self) {
        for (_, pending) in std::mem::take(&mut self.requests) {
            match pending {
                Pending::Publish { acknowledgements } => self.receipts.give_back(acknowledgements),
                Pending::CreateItems { index, .. } => self.subscriptions[index].is_uncertain = true,
                Pending::CreateSubscription { index } => {
                    self.subscriptions[index].stage = Stage::Waiting { not_before: Instant::ZERO };
                }
                Pending::CreateSession
                | Pending::ActivateSession
                | Pending::CloseSession
                | Pending::ReadServer
                | Pending::ReadLiveness
                | Pending::Transfer { .. }
                | Pending::DeleteSubscriptions
                | Pending::Republish { .. } => {}
            }
        }
        for subscription in &mut self.subscriptions {
            subscription.is_asking = false;
        }
    }

    /// A service that everything depends on was refused.
    pub(crate) fn fail(&mut self, service: &'static str, status_code: StatusCode, effects: &mut Effects<Effect>) {
        Self::report(effects, Report::ServiceFailed { service, status_code });
        self.disconnect(effects);
    }

    /// The Session is gone although the connection is not. After the second time in a row the connection goes too.
    pub(crate) fn restart_session(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.forget_requests();
        self.give_up_uncertain_subscriptions(now, effects);
        self.failures_count = self.failures_count.saturating_add(1);
        if self.failures_count > 2 {
            self.disconnect(effects);
        } else {
            self.begin_session(now, effects);
        }
    }

    pub(crate) fn on_create_session(&mut self, result: Result<Response, StatusCode>, effects: &mut Effects<Effect>) {
        match result {
            Ok(Response::CreateSession { session_id, authentication_token, revised_session_timeout, server_nonce }) => {
                self.counts.sessions_created += 1;
                self.revised_timeout = revised_session_timeout;
                let session_timeout =
                    Revised { requested: self.requested_session_timeout(), revised: revised_session_timeout };
                Self::report(effects, Report::SessionCreated { session_timeout });
                let nonce = server_nonce.clone();
                self.identity = Some(Identity { session_id, authentication_token, server_nonce });
                self.send(Request::ActivateSession { server_nonce: nonce }, Pending::ActivateSession, effects);
            }
            Ok(_) => self.fail("CreateSession", StatusCode::BAD_UNEXPECTED_ERROR, effects),
            Err(status_code) => self.fail("CreateSession", status_code, effects),
        }
    }

    pub(crate) fn on_activate_session(&mut self, result: Result<Response, StatusCode>, effects: &mut Effects<Effect>) {
        match result {
            Ok(Response::ActivateSession { server_nonce }) => {
                if let Some(identity) = &mut self.identity {
                    identity.server_nonce = server_nonce;
                }
                let nodes = NODES_READ.map(NodeId::standard).to_vec();
                self.send(Request::Read { nodes }, Pending::ReadServer, effects);
            }
            Ok(_) => self.fail("ActivateSession", StatusCode::BAD_UNEXPECTED_ERROR, effects),
            // Servers name a Session that they do not know, or do not move to another SecureChannel, in several ways.
            Err(status_code)
                if self.resuming == Resuming::Reactivate
                    && ![StatusCode::BAD_TIMEOUT, StatusCode::BAD_SHUTDOWN, StatusCode::BAD_SERVER_HALTED]
                        .contains(&status_code) =>
            {
                self.create_session(effects);
            }
            Err(status_code) => {
                // The next attempt begins with a new Session: this one was never activated.
                if self.resuming == Resuming::New {
                    self.identity = None;
                }
                self.fail("ActivateSession", status_code, effects);
            }
        }
    }

    pub(crate) fn on_read_server(
        &mut self,
        result: Result<Response, StatusCode>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let values = match result {
            Ok(Response::Read { values }) => values,
            Err(status_code) if Self::fault(status_code) != Fault::Service => {
                self.fail("Read", status_code, effects);
                return;
            }
            // A server without Read has no limits that we could know.
            Ok(_) | Err(_) => Vec::new(),
        };
        let mut most = [0_u32; 3];
        for (node, value) in NODES_READ.into_iter().zip(values) {
            match (node, value) {
                (node::NAMESPACE_ARRAY, ReadValue::Texts(namespaces)) => self.namespaces = namespaces,
                (node::STATE, ReadValue::Number(state)) if state != 0 => {
                    Self::report(effects, Report::ServerState { state });
                }
                (node::CURRENT_TIME, ReadValue::DateTime(server_time)) => self.note_server_time(server_time),
                (node::MAX_MONITORED_ITEMS_PER_CALL, ReadValue::Number(count)) => most[0] = clamp_u32(count),
                (node::MAX_SUBSCRIPTIONS_PER_SESSION, ReadValue::Number(count)) => most[1] = clamp_u32(count),
                (node::MAX_MONITORED_ITEMS_PER_SUBSCRIPTION, ReadValue::Number(count)) => most[2] = clamp_u32(count),
                _ => {}
            }
        }
        let [per_call, subscriptions, per_subscription] = most.map(|count| if count == 0 { u32::MAX } else { count });
        self.items_per_call = self.limits.items_per_call_max.min(per_call);
        self.take_up_subscriptions(subscriptions, per_subscription, now, effects);
    }

    fn take_up_subscriptions(
        &mut self,
        subscriptions_max: u32,
        items_max: u32,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let alive: Vec<usize> =
            (0..self.subscriptions.len()).filter(|index| self.subscriptions[*index].is_alive()).collect();
        if self.resuming == Resuming::Reactivate {
            self.counts.reactivations += 1;
            for index in alive {
                self.catch_up_from_last(index, now);
            }
            self.run(ResumedHow::Reactivated, now, effects);
        } else if alive.is_empty() {
            self.plan_again(subscriptions_max, items_max);
            let is_first = self.subscriptions.iter().all(|subscription| subscription.gap.is_none());
            self.run(if is_first { ResumedHow::New } else { ResumedHow::Recreated }, now, effects);
        } else {
            let subscription_ids = alive.iter().map(|index| self.subscriptions[*index].id).collect();
            let request = Request::TransferSubscriptions { subscription_ids, send_initial_values: false };
            self.send(request, Pending::Transfer { indexes: alive }, effects);
        }
    }

    /// Makes the plan again within what the server allows; only while it has none of its Subscriptions.
    fn plan_again(&mut self, subscriptions_max: u32, items_max: u32) {
        let mut items = self.limits.items_per_subscription.min(items_max).max(1);
        while self.layout.subscriptions(items).len() > subscriptions_max as usize && items < 100_000 {
            items = items.saturating_mul(2).min(100_000);
        }
        if items == self.items_per_subscription {
            return;
        }
        let gap = self.subscriptions.iter().filter_map(|subscription| subscription.gap).min_by_key(|gap| gap.0);
        self.items_per_subscription = items;
        self.subscriptions = self.layout.subscriptions(items).into_iter().map(Subscription::new).collect();
        for subscription in &mut self.subscriptions {
            subscription.gap = gap;
        }
    }

    /// A Subscription of ours lives on this Session: what was sent while there was no connection is asked for.
    fn catch_up_from_last(&mut self, index: usize, now: Instant) {
        let subscription = &mut self.subscriptions[index];
        subscription.heard_at = now;
        subscription.catch_up = if subscription.last.is_some() { CatchUp::Probe } else { CatchUp::FirstMessage };
    }

    pub(crate) fn on_transfer(
        &mut self,
        indexes: &[usize],
        result: Result<Response, StatusCode>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let results = match result {
            Ok(Response::TransferSubscriptions { results }) => results,
            Err(status_code) if Self::fault(status_code) != Fault::Service => {
                self.fail("TransferSubscriptions", status_code, effects);
                return;
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let mut results = results.into_iter();
        let mut how = ResumedHow::Recreated;
        for index in indexes.iter().copied() {
            match results.next().filter(|result| result.status_code.is_good()) {
                Some(result) => {
                    how = ResumedHow::Transferred;
                    self.counts.transfers += 1;
                    self.catch_up_from_list(index, &result.available_sequence_numbers, now, effects);
                }
                None => self.lose_subscription(index, GapCause::SubscriptionLost, now, effects),
            }
        }
        self.run(how, now, effects);
    }

    fn catch_up_from_list(&mut self, index: usize, available: &[u32], now: Instant, effects: &mut Effects<Effect>) {
        let subscription = &mut self.subscriptions[index];
        subscription.heard_at = now;
        let Some(last) = subscription.last else {
            subscription.fill_listed(available.iter().copied(), None);
            subscription.end_fill();
            return;
        };
        let newest = available
            .iter()
            .copied()
            .filter(|number| crate::sequence::is_after(*number, last))
            .max_by_key(|number| crate::sequence::distance(last, *number));
        match newest {
            Some(newest) => self.fill_or_give_up(index, crate::sequence::after(newest), now, effects),
            None => subscription.catch_up = CatchUp::InStep,
        }
    }

    fn run(&mut self, how: ResumedHow, now: Instant, effects: &mut Effects<Effect>) {
        self.phase = Phase::Running;
        self.heard_at = now;
        self.no_publish_request_since = Some(now);
        self.publish_failures_count = 0;
        let kept = self.subscriptions.iter().filter(|subscription| subscription.is_alive()).count();
        let new = self.subscriptions.len() - kept;
        Self::report(
            effects,
            Report::Resumed {
                how,
                subscriptions_kept_count: u32::try_from(kept).unwrap_or(u32::MAX),
                subscriptions_new_count: u32::try_from(new).unwrap_or(u32::MAX),
            },
        );
        let subscription_ids = std::mem::take(&mut self.stale_subscription_ids);
        // In a new Session the ids may mean other Subscriptions; there, the old ones end with their lifetime.
        if self.resuming == Resuming::Reactivate && !subscription_ids.is_empty() {
            self.send(Request::DeleteSubscriptions { subscription_ids }, Pending::DeleteSubscriptions, effects);
        }
        self.report_rejected_again(effects);
        self.spread_creation(now);
        self.save(effects);
    }

    fn note_server_time(&mut self, server_time: UtcTime) {
        self.server_clock_ahead_ticks = server_time.ticks().saturating_sub(self.utc.ticks());
        self.counts.server_clock_offset_ms = self.server_clock_ahead_ticks.unsigned_abs() / 10_000;
    }

    /// The server's clock, by what it last said.
    pub(crate) fn server_utc(&self) -> UtcTime {
        UtcTime::from_ticks(self.utc.ticks().saturating_add(self.server_clock_ahead_ticks))
    }

    /// Reads State and `CurrentTime`, to hear whether the server is there (Part 4 §5.7.2.2: any service keeps the Session).
    pub(crate) fn read_liveness(&mut self, effects: &mut Effects<Effect>) {
        let nodes = [node::STATE, node::CURRENT_TIME].map(NodeId::standard).to_vec();
        self.send(Request::Read { nodes }, Pending::ReadLiveness, effects);
    }

    pub(crate) fn on_read_liveness(
        &mut self,
        result: Result<Response, StatusCode>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        match result {
            Ok(Response::Read { values }) => {
                for value in values {
                    match value {
                        ReadValue::Number(0) | ReadValue::Texts(_) | ReadValue::Other | ReadValue::Bad(_) => {}
                        ReadValue::Number(state) => Self::report(effects, Report::ServerState { state }),
                        ReadValue::DateTime(server_time) => self.note_server_time(server_time),
                    }
                }
            }
            Err(StatusCode::BAD_TIMEOUT) => {
                self.liveness_misses += 1;
                if self.liveness_misses >= self.limits.liveness_misses_max {
                    let silent_for = self.liveness_interval().saturating_mul(self.liveness_misses);
                    self.counts.silences += 1;
                    Self::report(effects, Report::Silent { silent_for });
                    self.disconnect(effects);
                }
            }
            Ok(_) => {}
            Err(status_code) => match Self::fault(status_code) {
                Fault::Session => self.restart_session(now, effects),
                Fault::Connection => self.fail("Read", status_code, effects),
                // A server that refuses to be read answers all the same.
                Fault::Service => {}
            },
        }
    }
}

fn clamp_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
