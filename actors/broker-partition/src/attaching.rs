//! What a home does for its clients: sessions begin, pass from one connection to the next, rest, and end; Wills.

use contract::{
    AttachRequest, ConnectionAddress, Effects, Instant, Refusal, SessionId, SessionState, SessionWill, WillFate,
    partition_of,
};

use crate::effect::{Effect, Report};
use crate::sessions::{Holder, Parked, Pending, after_s, state_bytes, will_bytes};
use crate::state::BrokerPartition;

impl BrokerPartition {
    pub(crate) fn handle_attach(
        &mut self,
        connection: ConnectionAddress,
        request: Box<AttachRequest>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if self.sessions.of_connection(connection).is_some() {
            self.unknown_count += 1;
            return;
        }
        let Some(number) = self.sessions.find(&request.client_identifier) else {
            self.begin_session(connection, *request, effects);
            return;
        };
        let Holder::Connection(holder) = self.sessions.get(number).holder else {
            self.resume_session(number, connection, *request, now, effects);
            return;
        };
        // One that waited is taken over itself; else the one that has the session is told, once.
        let waited = self.sessions.wait(number, Pending { connection, request });
        effects.push(Effect::TakenOver { connection: waited.unwrap_or(holder) });
    }

    pub(crate) fn handle_park(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        state: Box<SessionState>,
        release: (u32, WillFate),
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let number = session.number;
        if session.home != self.partition || !self.sessions.is_held(number, connection) {
            self.unknown_count += 1;
            return;
        }
        let (session_expiry_s, will_fate) = release;
        let will_delay_s = self.sessions.change(number, |session| {
            session.session_expiry_s = session_expiry_s;
            if will_fate == WillFate::Delete {
                session.will = None;
            }
            session.will.as_ref().map(|will| will.delay_s.min(session_expiry_s))
        });
        let has_room = self.sessions.bytes() + state_bytes(&state) <= self.limits.sessions_bytes_max();
        self.parked_left_out_count += u64::from(!has_room);
        if session_expiry_s == 0 || !has_room {
            self.end_session(number, now, effects);
            return;
        }
        if will_delay_s == Some(0) {
            self.publish_will(number, now, effects);
        }
        let will_at = will_delay_s.filter(|delay_s| *delay_s > 0).and_then(|delay_s| after_s(now, delay_s));
        let expires_at = after_s(now, session_expiry_s);
        self.sessions.park(number, Parked { state, will_at, expires_at });
        if let Some(Pending { connection, request }) = self.sessions.take_pending(number) {
            self.resume_session(number, connection, *request, now, effects);
        }
    }

    /// The home's part of the end of a session with its connection: every partition knows already.
    pub(crate) fn release_session(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        will: WillFate,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let number = session.number;
        if session.home != self.partition || !self.sessions.is_held(number, connection) {
            return;
        }
        if will == WillFate::Publish {
            self.publish_will(number, now, effects);
        }
        let pending = self.sessions.end(number).pending;
        self.serve(pending, effects);
    }

    /// The home's part of the loss of a connection.
    pub(crate) fn lose_session(&mut self, connection: ConnectionAddress, now: Instant, effects: &mut Effects<Effect>) {
        let Some(number) = self.sessions.of_connection(connection) else { return };
        if self.sessions.is_held(number, connection) {
            self.end_session(number, now, effects);
        } else {
            self.sessions.take_pending(number);
        }
    }

    /// Ends sessions and publishes Wills whose time has come.
    pub(crate) fn sweep_sessions(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        while let Some((due, number)) = self.sessions.first_due()
            && due <= now
        {
            if !self.has_room(effects) {
                // It stays due.
                return;
            }
            self.act_on_due(number, now, effects);
        }
    }

    /// Publishes the Will of a parked session, or ends it, as it is due; whether it is still there.
    fn act_on_due(&mut self, number: u64, now: Instant, effects: &mut Effects<Effect>) -> bool {
        let Holder::Parked(parked) = &self.sessions.get(number).holder else { return true };
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_past(parked.expires_at) {
            self.end_session(number, now, effects);
            return false;
        }
        if is_past(parked.will_at) {
            self.publish_will(number, now, effects);
        }
        true
    }

    /// Gives a parked session to a connection, or a new one where it ends at this moment.
    fn resume_session(
        &mut self,
        number: u64,
        connection: ConnectionAddress,
        request: AttachRequest,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if !self.act_on_due(number, now, effects) {
            self.begin_session(connection, request, effects);
            return;
        }
        if request.clean_start {
            self.end_session(number, now, effects);
            self.begin_session(connection, request, effects);
            return;
        }
        if !self.has_session_room(&request) {
            self.refuse(connection, effects);
            return;
        }
        let session = SessionId { home: self.partition, number };
        let state = self.sessions.resume(number, connection, request);
        effects.push(Effect::Attached { connection, session, state });
    }

    fn begin_session(&mut self, connection: ConnectionAddress, request: AttachRequest, effects: &mut Effects<Effect>) {
        let is_full = self.sessions.count() >= self.limits.sessions_count_max as usize;
        if is_full || !self.has_session_room(&request) {
            self.refuse(connection, effects);
            return;
        }
        self.told.sessions_are_full = false;
        let number = self.sessions.begin(connection, request);
        let session = SessionId { home: self.partition, number };
        effects.push(Effect::Attached { connection, session, state: None });
    }

    fn has_session_room(&self, request: &AttachRequest) -> bool {
        let bytes = will_bytes(request.will.as_deref());
        bytes == 0 || self.sessions.bytes() + bytes <= self.limits.sessions_bytes_max()
    }

    fn refuse(&mut self, connection: ConnectionAddress, effects: &mut Effects<Effect>) {
        self.sessions_refused_count += 1;
        effects.push(Effect::AttachRefused { connection, refusal: Refusal::QuotaExceeded });
        if !self.told.sessions_are_full {
            self.told.sessions_are_full = true;
            effects.push(Effect::Report(Report::SessionsLimitReached));
        }
    }

    /// Ends a session of which the other partitions do not know it yet; its Will is published, unless it was or must not be.
    /// Whoever waits for it gets a new one.
    fn end_session(&mut self, number: u64, now: Instant, effects: &mut Effects<Effect>) {
        self.publish_will(number, now, effects);
        let pending = self.sessions.end(number).pending;
        effects.push(Effect::EndSession { session: SessionId { home: self.partition, number } });
        self.serve(pending, effects);
    }

    fn serve(&mut self, pending: Option<Box<Pending>>, effects: &mut Effects<Effect>) {
        if let Some(pending) = pending {
            let Pending { connection, request } = *pending;
            self.begin_session(connection, *request, effects);
        }
    }

    /// Publishes the Will of a session, where it has one, and forgets it.
    fn publish_will(&mut self, number: u64, now: Instant, effects: &mut Effects<Effect>) {
        if self.sessions.get(number).will.is_none() {
            return;
        }
        let will = self.sessions.change(number, |session| {
            if let Holder::Parked(parked) = &mut session.holder {
                parked.will_at = None;
            }
            session.will.take()
        });
        let Some(will) = will else { return };
        let SessionWill { publication, .. } = *will;
        // The date follows from the date of CONNECT and the monotonic clock.
        let received_utc = publication.received_utc().saturating_add(now - publication.received_at());
        let publication = publication.received_again(now, received_utc);
        let session = SessionId { home: self.partition, number };
        let partition = partition_of(publication.topic_name(), self.partitions_count);
        self.wills_published_count += 1;
        effects.push(Effect::PublishWill { session, partition, publication });
    }
}
