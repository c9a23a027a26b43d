//! A home under generated steps: every Attach is answered once, a session is at one connection at a time, ends once, and its Will is
//! published at most once.
//!
//! `SEED=n` replays one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_partition::{BrokerPartition, Effect, Message, PartitionConfig, PartitionLimits, QueueWhenFull};
use contract::{
    Actor, AttachRequest, ConnectionAddress, CoreIndex, Counters, Effects, Epoch, Instant, MESSAGE_EXPIRY_NEVER,
    PartitionIndex, PublicationArena, PublicationDraft, QoS, SessionId, SessionState, SessionWill, UtcTime, WillFate,
};

const HOME: PartitionIndex = PartitionIndex(0);
const SESSIONS_COUNT_MAX: u32 = 3;
const IDENTIFIERS: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn a_home_answers_each_client_once_and_ends_each_session_once() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    for seed in only.map_or(0..300, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.generated_step();
        }
        world.drain();
    }
}

struct World {
    seed: u64,
    dice: u64,
    now: Instant,
    actor: BrokerPartition,
    effects: Effects<Effect>,
    connections_count: u32,
    /// Connections without an answer to their Attach, with the Client Identifier.
    unanswered: BTreeMap<ConnectionAddress, &'static str>,
    /// Connections that have a session.
    holders: BTreeMap<ConnectionAddress, SessionId>,
    identifiers: BTreeMap<SessionId, &'static str>,
    parked: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    /// Sessions whose Will may be published.
    wills: BTreeSet<SessionId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = PartitionLimits {
            shard_bytes_max: 1 << 20,
            spill_bytes: 1 << 19,
            message_bytes_max: 1 << 16,
            subscriber_queue_count_max: 10,
            subscriber_queue_bytes_max: 1 << 16,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 0,
            retained_bytes_max: 0,
            subscriptions_per_client_max: 10,
            subscriptions_count_max: 100,
            shared_subscriptions_count_max: 10,
            sessions_count_max: SESSIONS_COUNT_MAX,
        };
        let config =
            PartitionConfig { partition: HOME, partitions_count: 1, epoch: Epoch(1), flows: Vec::new(), limits };
        Self {
            seed,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Instant::ZERO,
            actor: BrokerPartition::new(config),
            effects: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
            connections_count: 0,
            unanswered: BTreeMap::new(),
            holders: BTreeMap::new(),
            identifiers: BTreeMap::new(),
            parked: BTreeSet::new(),
            ended: BTreeSet::new(),
            wills: BTreeSet::new(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).expect("31 bits") % end
    }

    fn generated_step(&mut self) {
        match self.below(8) {
            0..3 => self.attach(),
            3 => self.release(true),
            4 => self.release(false),
            5 => self.lose(),
            _ => {
                let milliseconds = self.below(3_000) as u64;
                self.wait(Duration::from_millis(milliseconds));
            }
        }
    }

    fn attach(&mut self) {
        let identifier = IDENTIFIERS[self.below(IDENTIFIERS.len())];
        let connection = ConnectionAddress { core: CoreIndex(0), slot: self.connections_count, generation: 0 };
        self.connections_count += 1;
        let draft = PublicationDraft {
            topic_name: "will",
            properties: &[],
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: self.now,
            received_utc: UtcTime::default(),
        };
        let publication = PublicationArena::new(64).begin(&draft).finish(1);
        let delay_s = u32::try_from(self.below(4)).expect("a small number");
        let request = AttachRequest {
            client_identifier: identifier.into(),
            clean_start: self.below(3) == 0,
            session_expiry_s: 5,
            will: Some(Box::new(SessionWill { publication, delay_s })),
        };
        self.unanswered.insert(connection, identifier);
        self.step(Message::Attach { connection, request: Box::new(request) });
    }

    fn some_holder(&mut self) -> Option<(ConnectionAddress, SessionId)> {
        let at = self.below(self.holders.len().max(1));
        self.holders.iter().nth(at).map(|(connection, session)| (*connection, *session))
    }

    fn release(&mut self, parks: bool) {
        let Some((connection, session)) = self.some_holder() else { return };
        let will = if self.below(2) == 0 { WillFate::Delete } else { WillFate::Publish };
        if will == WillFate::Delete {
            self.wills.remove(&session);
        }
        self.holders.remove(&connection);
        if parks {
            self.parked.insert(session);
            let session_expiry_s = u32::try_from(self.below(6)).expect("a small number");
            let state = Box::new(SessionState::default());
            self.step(Message::Park { session, connection, state, session_expiry_s, will });
        } else {
            assert!(self.ended.insert(session), "seed={}", self.seed);
            self.step(Message::Detach { session, connection, will });
            assert!(!self.wills.contains(&session), "seed={}: published as the session ends", self.seed);
        }
    }

    fn lose(&mut self) {
        if self.below(2) == 0 {
            let Some((connection, _)) = self.some_holder() else { return };
            self.parked.insert(self.holders.remove(&connection).expect("it has one"));
            self.step(Message::Lost { connection });
        } else if let Some((connection, _)) = self.unanswered.pop_first() {
            self.step(Message::Lost { connection });
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.actor.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.actor.handle_timeout(self.now, &mut self.effects);
            self.drain_effects();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while !self.holders.is_empty() {
            self.release(true);
        }
        assert!(self.unanswered.is_empty(), "seed={}: {:?}", self.seed, self.unanswered);
        self.wait(Duration::from_secs(10));
        assert!(self.parked.is_empty() && self.wills.is_empty(), "seed={}", self.seed);
        assert_eq!(self.actor.bytes(), 0, "seed={}", self.seed);
    }

    fn step(&mut self, message: Message) {
        self.actor.handle(message, self.now, &mut self.effects);
        self.drain_effects();
        let (mut sessions_count, mut parked_count) = (None, None);
        self.actor.visit_counters(&mut |name, value| match name {
            "sessions" => sessions_count = Some(value),
            "sessions_parked" => parked_count = Some(value),
            _ => {}
        });
        let all_count = self.holders.len() + self.parked.len();
        assert_eq!(sessions_count, Some(all_count as u64), "seed={}", self.seed);
        assert_eq!(parked_count, Some(self.parked.len() as u64), "seed={}", self.seed);
        assert!(all_count <= SESSIONS_COUNT_MAX as usize, "seed={}", self.seed);
    }

    fn drain_effects(&mut self) {
        let seed = self.seed;
        while let Some(effect) = self.effects.pop() {
            if let Effect::Attached { connection, session, state } = effect {
                let identifier = self.unanswered.remove(&connection).expect("it asked");
                let known = *self.identifiers.entry(session).or_insert(identifier);
                assert_eq!((known, session.home), (identifier, HOME), "seed={seed}");
                assert_eq!(self.parked.remove(&session), state.is_some(), "seed={seed}: what was parked comes back");
                assert!(!self.ended.contains(&session), "seed={seed}: no name is given again");
                assert!(!self.holders.values().any(|other| *other == session), "seed={seed}: at one connection");
                self.holders.insert(connection, session);
                self.wills.insert(session);
            } else if let Effect::AttachRefused { connection, .. } = effect {
                assert!(self.unanswered.remove(&connection).is_some(), "seed={seed}: answered once");
            } else if let Effect::TakenOver { connection } = effect {
                let has_answer = self.holders.contains_key(&connection);
                assert!(self.unanswered.remove(&connection).is_some() != has_answer, "seed={seed}");
            } else if let Effect::EndSession { session } = effect {
                assert!(self.parked.remove(&session) && self.ended.insert(session), "seed={seed}: ends once");
                assert!(!self.wills.contains(&session), "seed={seed}: its Will comes no later");
            } else if let Effect::PublishWill { session, .. } = effect {
                assert!(self.wills.remove(&session), "seed={seed}: once, and only where it may be");
            }
        }
    }
}
