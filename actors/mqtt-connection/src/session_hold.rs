//! The session of a connection, from the home partition and back to it (MQTT 5.0 §4.1).
//!
//! It is given back when the end is decided, not when the socket has closed: whoever takes over waits for it.

use contract::{Credit, PartitionIndex, Refusal, SessionId, SessionState, SubscriptionName, WillFate};
use mqtt::ReasonCode;

use crate::delivery_window::DeliveryWindow;
use crate::receipts::Receipts;
use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

/// How a connection stands to its session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionHold {
    /// It was not asked for, not given, or given back.
    None,
    /// `Attach` was pushed; one answer comes.
    Asked,
    /// It is this connection's.
    Held(SessionId),
    /// `Suspend` was pushed; so many partitions have not answered.
    Suspending { session: SessionId, awaited_count: u16 },
}

impl Connection {
    pub(crate) fn handle_attached(
        &mut self,
        session: SessionId,
        state: Option<Box<SessionState>>,
        step: &mut Step<'_>,
    ) {
        if !matches!(self.session, SessionHold::Asked) {
            return;
        }
        self.session = SessionHold::Held(session);
        if matches!(self.phase, Phase::Attaching(_)) {
            let session_present = state.is_some();
            if let Some(mut state) = state {
                self.resume(session, &mut state, step);
            }
            self.accept(session_present, step);
            self.check_rights(step);
        } else {
            // The end came first: the session goes back as it came. There was no CONNACK, so there is no Will (MQTT-3.1.2-7).
            self.will_fate = WillFate::Delete;
            if self.session_expiry_s > 0 {
                self.session = SessionHold::None;
                step.effects.push(self.park_effect(session, state.unwrap_or_default()));
            }
        }
    }

    pub(crate) fn handle_attach_refused(&mut self, refusal: Refusal, step: &mut Step<'_>) {
        if !matches!(self.session, SessionHold::Asked) {
            return;
        }
        self.session = SessionHold::None;
        if matches!(self.phase, Phase::Attaching(_)) {
            match refusal {
                Refusal::QuotaExceeded | Refusal::TooLarge => self.refuse_connect(ReasonCode::QUOTA_EXCEEDED, step),
            }
        }
    }

    pub(crate) fn handle_taken_over(&mut self, step: &mut Step<'_>) {
        if matches!(self.session, SessionHold::Asked) {
            self.session = SessionHold::None;
        }
        self.close(ReasonCode::SESSION_TAKEN_OVER, EndReason::TakenOver, step);
    }

    /// Goes on with what the last connection of the session left.
    fn resume(&mut self, session: SessionId, state: &mut SessionState, step: &mut Step<'_>) {
        if !state.received.is_empty() {
            self.publishes().receipts = Receipts::resume(&state.received);
        }
        if state.credits.is_empty() {
            return;
        }
        let window = DeliveryWindow::resume(self.deliveries_max(), self.config.partitions_count, state);
        step.effects.push(Effect::Resume { session });
        let lost: Vec<Box<str>> =
            window.topic_filters.iter().filter(|filter| !self.rights.may_subscribe(filter)).cloned().collect();
        self.deliveries = Some(Box::new(window));
        if !lost.is_empty() {
            // Subscriptions that this principal may not have do not come with the session.
            self.unsubscribe_unasked(&lost, step);
        }
    }

    /// Deliveries under way at most.
    pub(crate) fn deliveries_max(&self) -> Credit {
        Credit { count: self.config.deliveries_count_max, bytes: self.config.deliveries_bytes_max }
    }

    /// The session, while it is this connection's.
    pub(crate) fn session_held(&self) -> Option<SessionId> {
        if let SessionHold::Held(session) = self.session { Some(session) } else { None }
    }

    /// Gives the session back, once the end is decided.
    pub(crate) fn release_session(&mut self, step: &mut Step<'_>) {
        let (Phase::Closing, SessionHold::Held(session)) = (&self.phase, self.session) else { return };
        if self.session_expiry_s == 0 {
            self.session = SessionHold::None;
            self.deliveries = None;
            step.effects.push(Effect::Detach { session, will: self.will_fate });
            return;
        }
        let awaits_receipts = self.publishes.as_ref().is_some_and(|publishes| publishes.awaits_receipts());
        if self.deliveries.is_some() || awaits_receipts {
            self.session = SessionHold::Suspending { session, awaited_count: self.config.partitions_count };
            step.effects.push(Effect::Suspend { session });
        } else {
            self.park(session, step);
        }
    }

    pub(crate) fn handle_suspended(&mut self, step: &mut Step<'_>) {
        let SessionHold::Suspending { session, awaited_count } = &mut self.session else { return };
        *awaited_count -= 1;
        if *awaited_count == 0 {
            let session = *session;
            self.park(session, step);
        }
    }

    fn park(&mut self, session: SessionId, step: &mut Step<'_>) {
        self.session = SessionHold::None;
        let mut state = Box::<SessionState>::default();
        if let Some(window) = self.deliveries.take() {
            window.park(&mut state);
        }
        if let Some(publishes) = self.publishes.take() {
            state.received = publishes.park();
        }
        let effect = self.park_effect(session, state);
        step.effects.push(effect);
    }

    fn park_effect(&self, session: SessionId, state: Box<SessionState>) -> Effect {
        let (session_expiry_s, will) = (self.session_expiry_s, self.will_fate);
        Effect::Park { partition: session.home, session, state, session_expiry_s, will }
    }
}

/// The two parts of the filter of a Shared Subscription, or the filter alone (MQTT 5.0 §4.8.2). `text` is a valid Topic Filter.
pub(crate) fn subscription_name(text: &str) -> SubscriptionName {
    match text.strip_prefix("$share/").and_then(|shared| shared.split_once('/')) {
        Some((share_name, topic_filter)) => {
            SubscriptionName { share_name: Some(share_name.into()), topic_filter: topic_filter.into() }
        }
        None => SubscriptionName { share_name: None, topic_filter: text.into() },
    }
}

/// The home partition of a Client Identifier.
pub(crate) fn home_of(client_identifier: &str, partitions_count: u16) -> PartitionIndex {
    contract::partition_of(client_identifier.as_bytes(), partitions_count)
}
