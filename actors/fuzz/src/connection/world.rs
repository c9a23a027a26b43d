//! What surrounds a connection: its socket's shell, its home and its partitions, as their contracts have them, and every bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::{AccessRules, Principal};
use bytes::Bytes;
use contract::{
    Actor, AttachRequest, ConnectionAddress, CoreIndex, Effects, Instant, PartitionIndex, Publication, PublishToken,
    Refusal, SessionId, SessionState, SubscribeResult, SubscribeToken, partition_of,
};
use mqtt::{ProtocolVersion, ReasonCode};
use mqtt_connection::{Authentication, Connection, ConnectionConfig, EFFECTS_COUNT_MAX, Effect, Message};

use super::client;
use super::mirror::Mirror;
use super::partitions::Partitions;
use crate::choices::Choices;

mod bounds;

/// Steps that may be due at once after one message.
const STEPS_AT_ONCE_MAX: usize = 10_000;

/// What an earlier connection left.
#[derive(Debug)]
pub(super) struct Left {
    state: Box<SessionState>,
    partitions: Partitions,
    now: Instant,
}

/// A connection and what it talks to.
#[derive(Debug)]
pub(super) struct World {
    config: Arc<ConnectionConfig>,
    connection: Connection,
    now: Instant,
    effects: Effects<Effect>,
    mirror: Mirror,
    is_paused: bool,
    is_socket_closed: bool,
    unwritten_bytes: usize,
    received_bytes: usize,
    is_authentication_asked: bool,
    attach: Attach,
    left: Option<Left>,
    /// Whether the session that was given had left something: Session Present.
    is_resumed: Option<bool>,
    publishes: BTreeMap<PublishToken, Batch>,
    subscribes: Vec<Asked>,
    partitions: Partitions,
    /// Partitions that owe `Suspended`.
    suspending: Vec<PartitionIndex>,
    parked: Option<Box<SessionState>>,
    counts: Counts,
}

/// How far the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attach {
    NotAsked,
    Asked(Box<AttachRequest>),
    Refused,
    Held(SessionId),
    Suspending(SessionId),
    Released,
}

/// Publications that no partition has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    partition: PartitionIndex,
    count: usize,
    bytes: usize,
}

/// A SUBSCRIBE or UNSUBSCRIBE that some partitions have not answered.
#[derive(Debug)]
struct Asked {
    token: SubscribeToken,
    partitions: Vec<PartitionIndex>,
    filters_count: usize,
    is_subscribe: bool,
}

/// Effects that come once.
#[derive(Debug, Default)]
struct Counts {
    closes: u32,
    ends: u32,
    gone: u32,
}

impl World {
    /// A socket was accepted; `left` is what the client's session left before.
    pub(super) fn new(config: &Arc<ConnectionConfig>, left: Option<Left>) -> Self {
        let address = ConnectionAddress { core: CoreIndex(1), slot: 2, generation: 3 };
        let now = left.as_ref().map_or(Instant::from_millis(1_000), |left| left.now);
        Self {
            connection: Connection::new(Arc::clone(config), address, now),
            now,
            effects: Effects::new(EFFECTS_COUNT_MAX),
            mirror: Mirror::new(config.packet_bytes_max, config.deliveries_count_max),
            is_paused: false,
            is_socket_closed: false,
            unwritten_bytes: 0,
            received_bytes: 0,
            is_authentication_asked: false,
            attach: Attach::NotAsked,
            left,
            is_resumed: None,
            publishes: BTreeMap::new(),
            subscribes: Vec::new(),
            partitions: Partitions::new(config.partitions_count),
            suspending: Vec::new(),
            parked: None,
            counts: Counts::default(),
            config: Arc::clone(config),
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.mirror.version()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.counts.gone > 0
    }

    /// Bytes come, at once or in two parts; none while the socket is not read.
    pub(super) fn receive(&mut self, bytes: &[u8], is_split: bool) {
        let (first, second) = bytes.split_at(if is_split { bytes.len() / 2 } else { 0 });
        for part in [first, second] {
            if part.is_empty() || self.is_paused || self.is_socket_closed {
                continue;
            }
            self.mirror.send(part);
            self.received_bytes = part.len();
            self.message(Message::Received(Bytes::copy_from_slice(part)));
        }
    }

    /// Who knows the clients answers.
    pub(super) fn authenticated(&mut self, choices: &mut Choices<'_>) {
        if !std::mem::take(&mut self.is_authentication_asked) {
            return;
        }
        let has_method = self.mirror.connect.as_ref().is_some_and(|connect| connect.authentication_method.is_some());
        let data = Bytes::copy_from_slice(choices.pick(&[&b""[..], b"data"]));
        self.message(match choices.byte() % 8 {
            0 => Message::Authenticated { result: Err(ReasonCode::NOT_AUTHORIZED), data: Bytes::new() },
            1..=3 if has_method => Message::AuthenticationContinues { data },
            _ => Message::Authenticated { result: Ok(Arc::new(Principal::anonymous("c"))), data },
        });
    }

    /// The home answers: for the most part it gives the session.
    pub(super) fn attached(&mut self, choices: &mut Choices<'_>) {
        let Attach::Asked(request) = &self.attach else { return };
        let session = SessionId { home: self.home_of(request), number: 7 };
        match choices.byte() % 8 {
            6 => {
                self.attach = Attach::Refused;
                self.message(Message::AttachRefused { refusal: Refusal::QuotaExceeded });
            }
            7 => {
                self.attach = Attach::Refused;
                self.message(Message::TakenOver);
            }
            _ => {
                let left = self.left.take().filter(|_| !request.clean_start);
                self.attach = Attach::Held(session);
                self.is_resumed = Some(left.is_some());
                let state = left.map(|Left { state, partitions, .. }| {
                    self.partitions = partitions;
                    self.mirror.resume(&state);
                    state
                });
                self.message(Message::Attached { session, state });
            }
        }
    }

    fn home_of(&self, request: &AttachRequest) -> PartitionIndex {
        partition_of(request.client_identifier.as_bytes(), self.config.partitions_count)
    }

    /// One batch, the first or a later one, is accepted or refused.
    pub(super) fn answer_publish(&mut self, choices: &mut Choices<'_>) {
        let index = choices.below(self.publishes.len().clamp(1, 256));
        let Some(token) = self.publishes.keys().copied().nth(index) else { return };
        self.publishes.remove(&token);
        self.message(match choices.byte() % 8 {
            0 => Message::Refused { token, refusal: Refusal::QuotaExceeded },
            1 => Message::Refused { token, refusal: Refusal::TooLarge },
            _ => Message::Accepted { token },
        });
    }

    /// Partitions answer one request: one of them, or all.
    pub(super) fn answer_subscribe(&mut self, choices: &mut Choices<'_>) {
        if self.subscribes.is_empty() {
            return;
        }
        let index = choices.below(self.subscribes.len());
        let (answers, is_well) = (choices.pick(&[u16::MAX, 1]), !choices.flag());
        self.answer_request(index, answers, is_well);
    }

    fn answer_request(&mut self, index: usize, answers: u16, is_well: bool) {
        let Asked { token, mut partitions, filters_count, is_subscribe } = self.subscribes.remove(index);
        for _ in 0..answers {
            let Some(partition) = partitions.pop() else { break };
            self.message(if is_subscribe {
                let result = if is_well { SubscribeResult::Granted } else { SubscribeResult::QuotaExceeded };
                Message::Subscribed { partition, token, results: vec![result; filters_count] }
            } else {
                Message::Unsubscribed { partition, token, existed: vec![is_well; filters_count] }
            });
        }
        if !partitions.is_empty() {
            self.subscribes.insert(0, Asked { token, partitions, filters_count, is_subscribe });
        }
    }

    /// One partition suspends: it answers nothing and delivers nothing from then on.
    pub(super) fn suspended(&mut self, choices: &mut Choices<'_>) {
        if self.suspending.is_empty() {
            return;
        }
        let partition = self.suspending.swap_remove(choices.below(self.suspending.len()));
        self.publishes.retain(|_, batch| batch.partition != partition);
        self.partitions.suspend(partition);
        self.message(Message::Suspended { partition });
    }

    /// A partition delivers, as far as its credit goes.
    pub(super) fn deliver(&mut self, choices: &mut Choices<'_>) {
        let (partition, deliveries) = self.partitions.deliver(choices, self.now);
        if !deliveries.is_empty() {
            self.message(Message::Deliver { partition, deliveries });
        }
    }

    /// The socket takes a part of what was written, or all.
    pub(super) fn written(&mut self, choices: &mut Choices<'_>) {
        let bytes = choices.pick(&[usize::MAX, 1, 50, 1_000]).min(self.unwritten_bytes);
        self.unwritten_bytes -= bytes;
        if bytes > 0 && !self.is_socket_closed {
            self.message(Message::Written { bytes });
        }
    }

    /// The client goes on with one delivery, or with each that is in flight, or releases one of its publications.
    pub(super) fn acknowledge(&mut self, choices: &mut Choices<'_>) {
        let (index, kind) = (usize::from(choices.byte()), choices.byte() % 4);
        if kind == 3 {
            let Some(packet_identifier) = self.mirror.releasable(index) else { return };
            self.receive(&client::packet(0x62, &packet_identifier.to_be_bytes()), false);
            return;
        }
        for _ in 0..if kind == 2 { self.mirror.in_flight_count() } else { 1 } {
            let Some((first_byte, packet_identifier)) = self.mirror.next_answer(index) else { break };
            self.receive(&client::packet(first_byte, &packet_identifier.to_be_bytes()), false);
        }
    }

    /// The socket takes all that is written, until nothing more comes.
    pub(super) fn drain(&mut self) {
        while self.unwritten_bytes > 0 && !self.is_socket_closed {
            let bytes = std::mem::take(&mut self.unwritten_bytes);
            self.message(Message::Written { bytes });
        }
    }

    /// Time passes; every step is taken when it is due.
    pub(super) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.connection.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now, &mut self.effects);
            self.settle_down();
        }
        self.now = end;
    }

    pub(super) fn take_over(&mut self) {
        if matches!(self.attach, Attach::Held(_) | Attach::Suspending(_) | Attach::Released) {
            self.message(Message::TakenOver);
        }
    }

    /// Other access rules hold: everything is allowed, or nothing.
    pub(super) fn access_changed(&mut self, is_denied: bool) {
        let nothing = AccessRules::compile(&[]).expect("no rule is wrong");
        self.message(Message::AccessChanged(Arc::new(if is_denied { nothing } else { AccessRules::allow_all() })));
    }

    pub(super) fn stop(&mut self) {
        self.message(Message::Stop);
    }

    pub(super) fn close(&mut self) {
        if !self.is_socket_closed {
            self.is_socket_closed = true;
            self.unwritten_bytes = 0;
            self.message(Message::SocketClosed);
        }
    }

    /// The socket closes, and all that is owed is answered: it ends, once, and says nothing afterwards. What its session left.
    pub(super) fn end(mut self) -> Option<Left> {
        let was_closed_by_it = self.counts.closes > 0;
        self.close();
        let nothing = &mut Choices::new(&[]);
        for _ in 0..STEPS_AT_ONCE_MAX {
            if self.is_gone() {
                break;
            }
            if std::mem::take(&mut self.is_authentication_asked) {
                let result = Ok(Arc::new(Principal::anonymous("c")));
                self.message(Message::Authenticated { result, data: Bytes::new() });
            }
            self.attached(nothing);
            while let Some((token, _)) = self.publishes.pop_first() {
                self.message(Message::Accepted { token });
            }
            while !self.subscribes.is_empty() {
                self.answer_request(0, u16::MAX, true);
            }
            self.suspended(nothing);
            if let Some(due) = self.connection.poll_timeout() {
                self.advance(due - self.now);
            }
        }
        let Counts { closes, ends, gone } = self.counts;
        assert_eq!((ends, gone), (1, 1), "it ends");
        assert!(
            matches!(self.attach, Attach::NotAsked | Attach::Refused | Attach::Released),
            "the session is given back: {:?}",
            self.attach
        );
        assert!(closes <= 1);
        assert!(self.mirror.is_between_packets() || !was_closed_by_it, "what it wrote before its end is whole");
        assert_eq!(self.connection.buffered_bytes(), 0, "it holds nothing");
        assert_eq!(self.connection.poll_timeout(), None, "nothing is due");
        for token in std::mem::take(&mut self.publishes).into_keys() {
            self.message(Message::Accepted { token });
        }
        while !self.subscribes.is_empty() {
            self.answer_request(0, u16::MAX, false);
        }
        self.stop();
        let Self { left, parked, partitions, now, .. } = self;
        left.or_else(|| parked.map(|state| Left { state, partitions, now }))
    }

    fn message(&mut self, message: Message) {
        self.connection.handle(message, self.now, &mut self.effects);
        self.settle_down();
    }

    /// Takes the effects, and the steps that are due at once.
    fn settle_down(&mut self) {
        self.observe();
        let mut steps = 0;
        while self.connection.poll_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.effects);
            self.observe();
            steps += 1;
            assert!(steps < STEPS_AT_ONCE_MAX, "steps that are due at once come to an end");
        }
        self.check_bounds();
    }

    fn observe(&mut self) {
        while let Some(effect) = self.effects.pop() {
            assert!(!self.is_gone(), "Gone is the last effect, not {effect:?}");
            self.take(effect);
        }
        self.effects.drain_observations();
    }

    fn take(&mut self, effect: Effect) {
        let is_socket = matches!(effect, Effect::Write(_) | Effect::PauseReading | Effect::ResumeReading);
        assert!(!is_socket || self.counts.closes == 0, "after Close the socket is left alone");
        assert!(!is_socket || !self.is_socket_closed, "a closed socket is left alone");
        match effect {
            Effect::Write(bytes) => {
                assert!(!bytes.is_empty());
                self.unwritten_bytes += bytes.len();
                if let Some(session_present) = self.mirror.write(&bytes) {
                    assert_eq!(Some(session_present), self.is_resumed, "Session Present (MQTT-3.2.2-2)");
                }
            }
            Effect::PauseReading => assert!(!std::mem::replace(&mut self.is_paused, true), "paused twice"),
            Effect::ResumeReading => assert!(std::mem::replace(&mut self.is_paused, false), "resumed twice"),
            Effect::Close => self.counts.closes += 1,
            Effect::Authenticate { .. } => {
                assert_eq!(self.config.authentication, Authentication::Required);
                assert!(!std::mem::replace(&mut self.is_authentication_asked, true), "one at a time");
            }
            Effect::Attach { partition, request } => {
                assert_eq!(self.attach, Attach::NotAsked);
                assert_eq!(partition, self.home_of(&request));
                self.attach = Attach::Asked(request);
            }
            Effect::Publish { partition, token, publications } => self.take_batch(partition, token, &publications),
            Effect::Ended(_) => self.counts.ends += 1,
            Effect::Gone => self.counts.gone += 1,
            Effect::Resume { .. }
            | Effect::Subscribe { .. }
            | Effect::Unsubscribe { .. }
            | Effect::SubscriberCredit { .. }
            | Effect::DeliveriesSettled { .. }
            | Effect::Suspend { .. }
            | Effect::Park { .. }
            | Effect::Detach { .. } => self.take_of_session(effect),
        }
    }

    /// Takes an effect about the session, which is this connection's.
    fn take_of_session(&mut self, effect: Effect) {
        let (Attach::Held(held) | Attach::Suspending(held)) = self.attach else {
            panic!("{effect:?} is about a session that is not this connection's")
        };
        let is_held = matches!(self.attach, Attach::Held(_));
        assert!(is_held || matches!(effect, Effect::Park { .. }), "{effect:?} comes too late");
        match effect {
            Effect::Resume { session } => {
                assert_eq!((session, self.is_resumed), (held, Some(true)));
                self.partitions.resume();
            }
            Effect::Subscribe { session, token, subscriptions } => {
                assert_eq!(session, held);
                self.ask(token, subscriptions.len(), true);
            }
            Effect::Unsubscribe { session, token, topic_filters } => {
                assert_eq!(session, held);
                self.ask(token, topic_filters.len(), false);
            }
            Effect::SubscriberCredit { partition, session, credit } => {
                assert_eq!(session, held);
                self.partitions.give(partition, credit);
            }
            Effect::DeliveriesSettled { partition, session, numbers, outcome: _ } => {
                assert_eq!(session, held);
                self.partitions.settle(partition, &numbers);
            }
            Effect::Suspend { session } => {
                assert_eq!(session, held);
                self.attach = Attach::Suspending(session);
                self.suspending = (0..self.config.partitions_count).map(PartitionIndex).collect();
            }
            Effect::Park { partition, session, state, session_expiry_s, will: _ } => {
                assert_eq!((partition, session), (held.home, held));
                assert!(self.suspending.is_empty() && session_expiry_s > 0);
                self.partitions.check_parked(&state);
                self.attach = Attach::Released;
                self.parked = Some(state);
            }
            Effect::Detach { session, will: _ } => {
                assert_eq!(session, held);
                self.attach = Attach::Released;
                self.partitions = Partitions::new(self.config.partitions_count);
            }
            Effect::Write(_)
            | Effect::PauseReading
            | Effect::ResumeReading
            | Effect::Close
            | Effect::Authenticate { .. }
            | Effect::Attach { .. }
            | Effect::Publish { .. }
            | Effect::Ended(_)
            | Effect::Gone => unreachable!("not about a session"),
        }
    }

    fn take_batch(&mut self, partition: PartitionIndex, token: PublishToken, publications: &[Publication]) {
        assert!(!publications.is_empty());
        for publication in publications {
            assert_eq!(partition, partition_of(publication.topic_name(), self.config.partitions_count));
        }
        let bytes = publications.iter().map(Publication::size_bytes).sum();
        let before = self.publishes.insert(token, Batch { partition, count: publications.len(), bytes });
        assert_eq!(before, None, "{token:?} names one batch");
    }

    fn ask(&mut self, token: SubscribeToken, filters_count: usize, is_subscribe: bool) {
        assert!(filters_count > 0);
        assert!(self.subscribes.iter().all(|asked| asked.token != token), "{token:?} names one request");
        let partitions = (0..self.config.partitions_count).map(PartitionIndex).collect();
        self.subscribes.push(Asked { token, partitions, filters_count, is_subscribe });
    }
}
