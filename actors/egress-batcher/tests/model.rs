//! A batcher against a hub that answers as a seed says: whatever it answers, no record is lost, each settles exactly
//! once, each key keeps its order, and memory stays within the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use contract::{
    Actor, BatchId, Effects, Epoch, Event, EventId, FlowIndex, HubPartitionIndex, Instant, MESSAGE_EXPIRY_NEVER,
    Offset, PartitionIndex, PublicationArena, PublicationDraft, QoS, UtcTime,
};
use egress_batcher::{
    BATCH_OVERHEAD_BYTES, Effect, EgressBatcher, Failure, Limits, Message, Outcome, Send, Settlement,
};

const EVENTS_COUNT: u64 = 600;
const SEEDS_COUNT: u64 = 300;
const KEYS_COUNT: u64 = 12;

#[test]
fn whatever_the_hub_answers_every_record_settles_once_and_keys_keep_their_order() {
    let mut seen = BTreeSet::new();
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    for seed in only.map_or(0..SEEDS_COUNT, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        world.run();
        seen.extend(std::mem::take(&mut world.seen));
    }
    if only.is_none() {
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ALL_ANSWERS, "a run that never met one of them proves less");
    }
}

const ALL_ANSWERS: [&str; 14] = [
    "accepted",
    "connection lost",
    "late",
    "modified",
    "not found",
    "open failed",
    "partitions grew",
    "refused",
    "released",
    "server busy",
    "size exceeded",
    "timed out",
    "transient",
    "unauthorized",
];

/// One batcher, one hub, and what must be true of both.
struct World {
    seed: u64,
    dice: u64,
    now: Instant,
    batcher: EgressBatcher,
    effects: Effects<Effect>,
    limits: Limits,
    /// What the lane will say, and when.
    answers: BTreeMap<(Instant, u64), Message>,
    answers_count: u64,
    under_way: BTreeMap<HubPartitionIndex, BatchId>,
    hub_partitions_count: u16,
    published: u64,
    /// By hub partition and key: offsets as the hub stored them.
    stored: BTreeMap<(HubPartitionIndex, Bytes), Vec<u64>>,
    settled: BTreeSet<Offset>,
    dead: BTreeSet<Offset>,
    seen: BTreeSet<&'static str>,
    stopped: bool,
    /// Faults end here, so that what is left can drain.
    heals_at: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = Limits {
            batch_bytes_max: 6_000,
            events_per_batch_max: 15,
            linger: Duration::from_millis(20),
            batches_in_flight_max: 3,
            pending_count_max: 80,
            throughput_units: seed.is_multiple_of(4).then_some(1),
            ..Limits::default()
        };
        let batcher = EgressBatcher::new(limits, seed);
        let effects = Effects::new(batcher.effects_count_max());
        Self {
            seed,
            dice: seed.wrapping_mul(2).wrapping_add(1),
            now: Instant::ZERO,
            batcher,
            effects,
            limits,
            answers: BTreeMap::new(),
            answers_count: 0,
            under_way: BTreeMap::new(),
            hub_partitions_count: 4,
            published: 0,
            stored: BTreeMap::new(),
            settled: BTreeSet::new(),
            dead: BTreeSet::new(),
            seen: BTreeSet::new(),
            stopped: false,
            heals_at: Instant::from_millis(120_000),
        }
    }

    fn run(&mut self) {
        for step in 0.. {
            assert!(step < 2_000_000, "seed={}: it never ends", self.seed);
            if self.published == EVENTS_COUNT {
                self.handle(Message::Stop);
            } else {
                self.publish_some();
            }
            let answer_at = self.answers.keys().next().map(|(at, _)| *at);
            let timeout_at = self.batcher.poll_timeout();
            match (answer_at, timeout_at) {
                (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                    self.now = self.now.max(at);
                    let (_, message) = self.answers.pop_first().expect("its time was read");
                    self.handle(message);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    self.batcher.handle_timeout(self.now, &mut self.effects);
                    self.carry_out();
                }
                (None | Some(_), None) => break,
            }
        }
        self.check_end();
    }

    fn publish_some(&mut self) {
        let room = self.limits.pending_count_max - self.batcher.pending_count();
        let count = self.roll(8).min(room as u64).min(EVENTS_COUNT - self.published);
        let first = self.published;
        self.published += count;
        let events = (first..self.published).map(|offset| self.event(offset)).collect();
        self.handle(Message::Publish(events));
    }

    fn event(&mut self, offset: u64) -> Event {
        let draft = PublicationDraft {
            topic_name: "t",
            properties: &[],
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: self.now,
            received_utc: UtcTime::default(),
        };
        let mut arena = PublicationArena::new(256);
        let mut builder = arena.begin(&draft);
        builder.put(&vec![b'x'; usize::try_from(self.roll(900)).expect("small")]);
        let key = match self.roll(KEYS_COUNT + 1) {
            0 => Bytes::new(),
            key => format!("key {key}").into(),
        };
        let id = EventId { flow: FlowIndex(1), partition: PartitionIndex(2), epoch: Epoch(3), offset: Offset(offset) };
        Event { id, key, publication: builder.finish(1) }
    }

    fn handle(&mut self, message: Message) {
        if let Message::Settled { batch_id, .. } = &message {
            self.under_way.retain(|_, under_way| under_way != batch_id);
        }
        self.batcher.handle(message, self.now, &mut self.effects);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop() {
            match effect {
                Effect::Open => self.answer_open(),
                Effect::RefreshPartitions => {
                    self.hub_partitions_count += 1;
                    self.seen.insert("partitions grew");
                    let hub_partitions_count = self.hub_partitions_count;
                    self.answer(5, Message::PartitionsRefreshed { hub_partitions_count });
                }
                Effect::Send(send) => self.receive(&send),
                Effect::Settled(settlements) => self.note(&settlements, false),
                Effect::DeadLettered(settlements) => self.note(&settlements, true),
                Effect::Report(_) => {}
                Effect::Stopped => {
                    assert!(!self.stopped, "seed={}: stopped twice", self.seed);
                    self.stopped = true;
                }
            }
        }
        let ledger = self.batcher.ledger();
        assert!(ledger.balances(self.batcher.pending_count() as u64), "seed={}: {ledger:?}", self.seed);
        assert!(self.batcher.pending_count() <= self.limits.pending_count_max, "seed={}", self.seed);
        assert!(self.batcher.in_flight_count() <= self.limits.batches_in_flight_max, "seed={}", self.seed);
        assert_eq!(self.batcher.in_flight_count(), self.under_way.len(), "seed={}", self.seed);
    }

    fn answer_open(&mut self) {
        let failures = [Failure::ConnectionLost, Failure::TimedOut, Failure::Unauthorized];
        if self.is_faulty() && self.roll(3) == 0 {
            self.seen.insert("open failed");
            let failure = failures[usize::try_from(self.roll(3)).expect("small")];
            return self.answer(10, Message::OpenFailed(failure));
        }
        let hub_partitions_count = self.hub_partitions_count;
        self.answer(10, Message::Opened { hub_partitions_count, message_bytes_max: Some(5_000) });
    }

    /// What the hub does with a batch, and what the lane will say about it.
    fn receive(&mut self, send: &Send) {
        assert_eq!(self.under_way.insert(send.hub_partition, send.batch_id), None, "seed={}: two under way", self.seed);
        assert!(send.events.len() <= self.limits.events_per_batch_max, "seed={}", self.seed);
        let bytes: usize = send.events.iter().map(egress_batcher::encoded_bytes_max).sum();
        assert!(send.events.len() == 1 || BATCH_OVERHEAD_BYTES + bytes <= 5_000, "seed={}: {bytes} bytes", self.seed);
        let (name, outcome, is_stored, delay_ms) = self.judge(send);
        self.seen.insert(name);
        if is_stored {
            for event in send.events.iter() {
                let stored = self.stored.entry((send.hub_partition, event.key.clone())).or_default();
                stored.push(event.id.offset.0);
            }
        }
        let delay_ms = delay_ms + if self.roll(20) == 0 { 2_000 } else { 0 };
        self.answer(delay_ms, Message::Settled { batch_id: send.batch_id, outcome });
    }

    fn judge(&mut self, send: &Send) -> (&'static str, Outcome, bool, u64) {
        if send.events.iter().any(|event| is_too_large(event.id.offset)) {
            return ("size exceeded", Outcome::Failed(Failure::SizeExceeded), false, 3);
        }
        if !self.is_faulty() {
            return ("accepted", Outcome::Accepted, true, 3);
        }
        let half = self.roll(2) == 0;
        match self.roll(24) {
            0 => ("released", Outcome::Released, false, 3),
            1 => ("modified", Outcome::Modified, false, 3),
            2 => ("server busy", Outcome::Failed(Failure::ServerBusy), false, 3),
            3 => ("transient", Outcome::Failed(Failure::Transient), false, 3),
            4 => ("timed out", Outcome::Failed(Failure::TimedOut), half, 15_000),
            5 => ("connection lost", Outcome::Failed(Failure::ConnectionLost), half, 1),
            6 => ("not found", Outcome::Failed(Failure::NotFound), false, 3),
            7 => ("unauthorized", Outcome::Failed(Failure::Unauthorized), false, 3),
            8 => ("refused", Outcome::Failed(Failure::Refused), false, 3),
            9 => ("late", Outcome::Accepted, true, 9_000),
            _ => ("accepted", Outcome::Accepted, true, 3),
        }
    }

    fn note(&mut self, settlements: &[Settlement], dead: bool) {
        for settlement in settlements {
            let mut count = 0;
            for range in &settlement.offsets {
                for offset in range.start.0..range.end.0 {
                    assert!(self.settled.insert(Offset(offset)), "seed={}: {offset} settled twice", self.seed);
                    if dead {
                        self.dead.insert(Offset(offset));
                    }
                    count += 1;
                }
            }
            assert_eq!(count, settlement.released.count, "seed={}: credit and offsets differ", self.seed);
        }
    }

    fn check_end(&self) {
        let seed = self.seed;
        assert!(self.stopped, "seed={seed}: it went silent with {} pending", self.batcher.pending_count());
        assert_eq!(self.settled.len() as u64, EVENTS_COUNT, "seed={seed}");
        let too_large: BTreeSet<Offset> =
            (0..EVENTS_COUNT).map(Offset).filter(|offset| is_too_large(*offset)).collect();
        assert_eq!(self.dead, too_large, "seed={seed}");
        let mut found = BTreeSet::new();
        for ((hub_partition, key), offsets) in &self.stored {
            let mut newest = None;
            for offset in offsets {
                // What was stored before is a duplicate; what was not must be newer than all that was.
                if found.insert(*offset) && !key.is_empty() {
                    assert!(newest < Some(*offset), "seed={seed}: {key:?} of {hub_partition}: {offsets:?}");
                    newest = Some(*offset);
                }
            }
        }
        assert_eq!((found.len() + too_large.len()) as u64, EVENTS_COUNT, "seed={seed}");
    }

    fn answer(&mut self, delay_ms: u64, message: Message) {
        self.answers_count += 1;
        self.answers.insert((self.now + Duration::from_millis(delay_ms), self.answers_count), message);
    }

    fn is_faulty(&self) -> bool {
        self.now < self.heals_at
    }

    /// A number below `bound` (a linear congruential generator).
    fn roll(&mut self, bound: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % bound
    }
}

/// The hub takes none of these, in any batch.
fn is_too_large(offset: Offset) -> bool {
    offset.0 % 97 == 13
}
