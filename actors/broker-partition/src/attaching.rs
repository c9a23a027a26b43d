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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{PublicationDraft, SESSION_EXPIRY_NEVER};

    use super::*;
    use crate::Message;
    use crate::testing::{PARTITION, PARTITIONS_COUNT, World, connection, draft, publish};

    #[test]
    fn a_parked_session_is_given_to_the_next_connection_with_what_it_left() {
        let mut world = World::new();
        assert_eq!(attach(&mut world, 1, REQUEST), [attached(1, 0, None)]);
        assert_eq!(park(&mut world, 1, 0, 60), []);
        assert_eq!(["sessions", "sessions_parked"].map(|name| world.counter(name)), [1, 1]);
        assert_eq!(attach(&mut world, 2, REQUEST), [attached(2, 0, Some(state()))]);
        assert_eq!(["sessions_parked", "sessions_bytes", "unknown"].map(|name| world.counter(name)), [0, 0, 0]);
        assert_eq!(park(&mut world, 1, 0, 60), [], "the older connection has it no longer");
        assert_eq!(world.counter("unknown"), 1);
    }

    #[test]
    fn a_session_expires_so_long_after_its_connection() {
        let mut world = World::new();
        attach(&mut world, 1, REQUEST);
        park(&mut world, 1, 0, 60);
        assert_eq!(world.wait(Duration::from_millis(59_999)), []);
        assert_eq!(world.wait(Duration::from_millis(1)), [ended(0)]);
        assert_eq!(attach(&mut world, 2, REQUEST), [attached(2, 1, None)], "a new one has a new name");
        park(&mut world, 2, 1, SESSION_EXPIRY_NEVER);
        assert_eq!(contract::Actor::poll_timeout(&world.actor), None);
        attach(&mut world, 3, REQUEST);
        park(&mut world, 3, 1, 60);
        world.now = Instant::from_millis(120_000);
        assert_eq!(attach(&mut world, 4, REQUEST), [ended(1), attached(4, 2, None)], "before its timeout was called");
        assert_eq!(park(&mut world, 4, 2, 0), [ended(2)], "DISCONNECT may shorten it to nothing");
        assert_eq!(world.counter("sessions"), 0);
    }

    #[test]
    fn clean_start_ends_the_session_before() {
        let mut world = World::new();
        attach(&mut world, 1, REQUEST);
        park(&mut world, 1, 0, 60);
        let clean = Request { clean_start: true, ..REQUEST };
        assert_eq!(attach(&mut world, 2, clean), [ended(0), attached(2, 1, None)]);
        let taken_over = Effect::TakenOver { connection: connection(2) };
        assert_eq!(attach(&mut world, 3, clean), [taken_over]);
        assert_eq!(park(&mut world, 2, 1, 60), [ended(1), attached(3, 2, None)]);
    }

    #[test]
    fn a_take_over_waits_until_the_older_connection_has_released_the_session() {
        let mut world = World::new();
        attach(&mut world, 1, REQUEST);
        let taken_over = |slot| Effect::TakenOver { connection: connection(slot) };
        assert_eq!(attach(&mut world, 2, REQUEST), [taken_over(1)]);
        assert_eq!(attach(&mut world, 3, REQUEST), [taken_over(2)], "a newer one replaces it; the older is told once");
        assert_eq!(park(&mut world, 1, 0, 60), [attached(3, 0, Some(state()))]);
        assert_eq!(attach(&mut world, 4, REQUEST), [taken_over(3)]);
        assert_eq!(detach(&mut world, 3, 0, WillFate::Publish), [attached(4, 1, None)]);
        assert_eq!(attach(&mut world, 5, REQUEST), [taken_over(4)]);
        world.step(Message::Lost { connection: connection(5) });
        assert_eq!(detach(&mut world, 4, 1, WillFate::Publish), [], "who waited was lost");
        assert_eq!(["sessions", "unknown"].map(|name| world.counter(name)), [0, 0]);
    }

    #[test]
    fn a_lost_connection_ends_its_session_and_publishes_its_will() {
        let mut world = World::new();
        attach(&mut world, 1, Request { will_delay_s: Some(9), ..REQUEST });
        attach(&mut world, 2, REQUEST);
        let effects = world.step(Message::Lost { connection: connection(1) });
        assert_eq!(effects, [will(&world, 0), ended(0), attached(2, 1, None)]);
        assert_eq!(world.step(Message::Lost { connection: connection(1) }), []);
    }

    #[test]
    fn a_will_is_published_after_its_delay_or_at_the_end_of_the_session() {
        let mut world = World::new();
        let mut start = |delay_s, expiry_s| {
            let session = world.actor.sessions.count();
            let number = attach(&mut world, 1, Request { will_delay_s: Some(delay_s), ..REQUEST });
            let [Effect::Attached { session, .. }] = number[..] else { panic!("{session} {number:?}") };
            let mut seen = park(&mut world, 1, session.number, expiry_s);
            let mut waited_s = 0;
            while !seen.iter().any(|each| matches!(each, Effect::PublishWill { .. })) {
                seen = world.wait(Duration::from_secs(1));
                waited_s += 1;
            }
            let effects = attach(&mut world, 2, Request { clean_start: true, ..REQUEST });
            let [.., Effect::Attached { session, .. }] = effects[..] else { panic!("{effects:?}") };
            assert!(!effects.iter().any(|each| matches!(each, Effect::PublishWill { .. })), "once");
            detach(&mut world, 2, session.number, WillFate::Publish);
            waited_s
        };
        assert_eq!([start(0, 60), start(5, 60), start(60, 7), start(5, SESSION_EXPIRY_NEVER)], [0, 5, 7, 5]);
    }

    #[test]
    fn a_will_is_not_published_when_its_client_took_leave_or_came_back_before_its_delay() {
        let mut world = World::new();
        let with_will = Request { will_delay_s: Some(5), ..REQUEST };
        attach(&mut world, 1, with_will);
        world.step(park_message(1, 0, 60, WillFate::Delete));
        assert_eq!(world.wait(Duration::from_secs(10)), []);
        attach(&mut world, 2, with_will);
        park(&mut world, 2, 0, 60);
        world.wait(Duration::from_secs(4));
        assert_eq!(attach(&mut world, 3, REQUEST).len(), 1);
        assert_eq!(detach(&mut world, 3, 0, WillFate::Publish), [], "the new connection has none");
        attach(&mut world, 4, Request { will_delay_s: Some(5), ..REQUEST });
        assert_eq!(detach(&mut world, 4, 1, WillFate::Delete), []);
        attach(&mut world, 5, Request { will_delay_s: Some(5), ..REQUEST });
        assert_eq!(detach(&mut world, 5, 2, WillFate::Publish), [will(&world, 2)], "the session ends: no delay");
        assert_eq!(world.counter("wills_published"), 1);
    }

    #[test]
    fn a_will_is_received_when_it_is_published() {
        let mut world = World::new();
        world.wait(Duration::from_secs(3));
        attach(&mut world, 1, Request { will_delay_s: Some(5), ..REQUEST });
        park(&mut world, 1, 0, 60);
        let effects = world.wait(Duration::from_secs(5));
        let [Effect::PublishWill { publication, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(publication.received_at(), world.now);
        let five_seconds = contract::UtcTime::TICKS_PER_SECOND * 5;
        assert_eq!(publication.received_utc().ticks(), five_seconds, "CONNECT had the date 0");
    }

    #[test]
    fn the_limit_of_sessions_refuses_and_frees_again() {
        let mut world = World::with(|limits| limits.sessions_count_max = 1);
        let other = Request { client_identifier: "d", ..REQUEST };
        attach(&mut world, 1, REQUEST);
        let refused = |slot| Effect::AttachRefused { connection: connection(slot), refusal: Refusal::QuotaExceeded };
        assert_eq!(attach(&mut world, 2, other), [refused(2), Effect::Report(Report::SessionsLimitReached)]);
        assert_eq!(attach(&mut world, 3, other), [refused(3)], "told once");
        assert_eq!(attach(&mut world, 4, REQUEST).len(), 1, "a take-over needs no room");
        assert_eq!(detach(&mut world, 1, 0, WillFate::Delete), [attached(4, 1, None)]);
        assert_eq!(["sessions", "sessions_refused"].map(|name| world.counter(name)), [1, 2]);
    }

    #[test]
    fn wills_and_parked_sessions_have_a_share_of_the_budget_and_end_beyond_it() {
        let will_bytes = will_publication(Instant::ZERO).size_bytes() as u64;
        let parked_bytes = state_bytes(&state());
        let mut world = World::with(|limits| limits.spill_bytes = (will_bytes + parked_bytes) * 4);
        attach(&mut world, 1, Request { will_delay_s: Some(60), ..REQUEST });
        assert_eq!((world.counter("sessions_bytes"), world.actor.bytes()), (will_bytes, will_bytes));
        assert_eq!(park(&mut world, 1, 0, 60), []);
        assert_eq!(world.actor.bytes(), will_bytes + parked_bytes);
        let refused = attach(&mut world, 2, Request { client_identifier: "d", will_delay_s: Some(1), ..REQUEST });
        assert!(matches!(refused[0], Effect::AttachRefused { .. }));
        assert_eq!(attach(&mut world, 3, Request { client_identifier: "d", ..REQUEST }), [attached(3, 1, None)]);
        assert_eq!(park(&mut world, 3, 1, 60), [ended(1)]);
        assert_eq!(world.counter("sessions_left_out"), 1);
    }

    #[derive(Clone, Copy)]
    struct Request {
        client_identifier: &'static str,
        clean_start: bool,
        will_delay_s: Option<u32>,
    }

    const REQUEST: Request = Request { client_identifier: "c", clean_start: false, will_delay_s: None };

    fn attach(world: &mut World, slot: u32, request: Request) -> Vec<Effect> {
        let Request { client_identifier, clean_start, will_delay_s } = request;
        let publication = will_publication(world.now);
        let will = will_delay_s.map(|delay_s| Box::new(SessionWill { publication, delay_s }));
        let client_identifier = client_identifier.into();
        let request = Box::new(AttachRequest { client_identifier, clean_start, session_expiry_s: 60, will });
        world.step(Message::Attach { connection: connection(slot), request })
    }

    fn will_publication(now: Instant) -> contract::Publication {
        publish(&PublicationDraft { received_at: now, ..draft("will") }, b"gone")
    }

    fn state() -> SessionState {
        SessionState { received: vec![7], ..SessionState::default() }
    }

    fn own(number: u64) -> SessionId {
        SessionId { home: PARTITION, number }
    }

    fn attached(slot: u32, number: u64, state: Option<SessionState>) -> Effect {
        Effect::Attached { connection: connection(slot), session: own(number), state: state.map(Box::new) }
    }

    fn ended(number: u64) -> Effect {
        Effect::EndSession { session: own(number) }
    }

    /// The Will of a session, given and published at this moment.
    fn will(world: &World, number: u64) -> Effect {
        let (session, partition) = (own(number), partition_of(b"will", PARTITIONS_COUNT));
        Effect::PublishWill { session, partition, publication: will_publication(world.now) }
    }

    fn park_message(slot: u32, number: u64, session_expiry_s: u32, will: WillFate) -> Message {
        let state = Box::new(state());
        Message::Park { session: own(number), connection: connection(slot), state, session_expiry_s, will }
    }

    fn park(world: &mut World, slot: u32, number: u64, session_expiry_s: u32) -> Vec<Effect> {
        world.step(park_message(slot, number, session_expiry_s, WillFate::Publish))
    }

    fn detach(world: &mut World, slot: u32, number: u64, will: WillFate) -> Vec<Effect> {
        world.step(Message::Detach { session: own(number), connection: connection(slot), will })
    }
}
