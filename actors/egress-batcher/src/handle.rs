//! What an egress batcher does with each message, and with each timeout.

use contract::{Actor, Effects, Event, Instant};

use crate::effect::{Effect, Report};
use crate::event_size::encoded_bytes_max;
use crate::hub_partition::HubPartition;
use crate::hub_partition_hash::hub_partition_of;
use crate::message::{Failure, Message};
use crate::state::{EgressBatcher, Stopping};

/// Attempts that fail in a row before a person is told that the hub is away.
const AWAY_AFTER_FAILURES: u32 = 3;

impl Actor for EgressBatcher {
    type Message = Message;
    type Effect = Effect;

    fn handle(&mut self, message: Message, now: Instant, effects: &mut Effects<Effect>) {
        match message {
            Message::Publish(events) => self.handle_publish(events, now, effects),
            Message::Opened { hub_partitions_count, message_bytes_max } => {
                self.handle_opened(hub_partitions_count, message_bytes_max, now, effects);
            }
            Message::OpenFailed(failure) => self.handle_open_failed(failure, now, effects),
            Message::PartitionsRefreshed { hub_partitions_count } => {
                self.set_hub_partitions_count(hub_partitions_count, effects);
            }
            Message::Settled { batch_id, outcome } => self.handle_settled(batch_id, outcome, now, effects),
            Message::Stop => {
                if self.stopping == Stopping::No {
                    self.stopping = Stopping::Draining;
                }
            }
        }
        self.end_step(now, effects);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.stopping == Stopping::Done {
            return None;
        }
        let sending = if self.route.is_open() { self.next_send_due() } else { None };
        [self.linger_deadline, self.route.due_at(), sending].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        if self.linger_deadline.is_some_and(|at| at <= now) {
            self.end_linger();
        }
        if self.route.is_open() && self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = Some(now + self.limits.refresh_interval);
            effects.push(Effect::RefreshPartitions);
        }
        self.end_step(now, effects);
    }
}

impl EgressBatcher {
    /// What every step ends with: what may be started is started.
    fn end_step(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        if self.stopping == Stopping::Draining {
            self.end_linger();
            if self.pending_count == 0 {
                self.stopping = Stopping::Done;
                effects.push(Effect::Stopped);
            }
        }
        if self.stopping != Stopping::Done && self.route.start_attempt(now) {
            effects.push(Effect::Open);
        }
        self.send_ready(now, effects);
    }

    fn handle_publish(&mut self, events: Vec<Event>, now: Instant, effects: &mut Effects<Effect>) {
        let pending_count = self.pending_count + events.len();
        assert!(pending_count <= self.limits.pending_count_max, "dataflows give no more credit than a batcher holds");
        self.pending_count = pending_count;
        self.ledger.accepted += events.len() as u64;
        for event in events {
            self.pending_bytes += event.publication.size_bytes() as u64;
            if self.hub_partitions.is_empty() {
                self.unplaced.push_back((event, now));
            } else {
                self.place(event, now, now, effects);
            }
        }
    }

    fn handle_opened(
        &mut self,
        hub_partitions_count: u16,
        message_bytes_max: Option<u64>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        self.route.opened();
        if std::mem::take(&mut self.is_away_told) {
            effects.push(Effect::Report(Report::HubBack));
        }
        self.refresh_at = Some(now + self.limits.refresh_interval);
        if let Some(bytes) = message_bytes_max {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.limits.batch_bytes_max = self.limits.batch_bytes_max.min(bytes);
        }
        self.set_hub_partitions_count(hub_partitions_count, effects);
        if !self.unplaced.is_empty() {
            while let Some((event, arrived_at)) = self.unplaced.pop_front() {
                self.place(event, arrived_at, now, effects);
            }
            // What waited for the hub has waited long enough.
            self.end_linger();
        }
    }

    fn handle_open_failed(&mut self, failure: Failure, now: Instant, effects: &mut Effects<Effect>) {
        match failure {
            Failure::NotFound | Failure::Unauthorized | Failure::Refused => self.park_route(failure, now, effects),
            Failure::ServerBusy
            | Failure::Transient
            | Failure::TimedOut
            | Failure::ConnectionLost
            | Failure::SizeExceeded => {
                self.route.fail(failure, now, &mut self.dice, self.limits.retry_delay_max);
                if self.route.failures_count() >= AWAY_AFTER_FAILURES && !self.is_away_told {
                    self.is_away_told = true;
                    effects.push(Effect::Report(Report::HubAway(failure)));
                }
            }
        }
    }

    /// Parks the whole route, and tells it unless something is parked already.
    pub(crate) fn park_route(&mut self, failure: Failure, now: Instant, effects: &mut Effects<Effect>) {
        if !self.is_parked() {
            effects.push(Effect::Report(Report::RouteParked(failure)));
        }
        self.route.park(now, self.limits.park_delay);
    }

    /// Adds hub partitions. Events that wait keep their place; from here on keys are spread over all.
    fn set_hub_partitions_count(&mut self, found: u16, effects: &mut Effects<Effect>) {
        let before = self.hub_partitions_count();
        if found < before {
            effects.push(Effect::Report(Report::PartitionsShrank { before, found }));
        }
        self.hub_partitions.resize_with(usize::from(found.max(before).max(1)), HubPartition::default);
    }

    fn hub_partitions_count(&self) -> u16 {
        u16::try_from(self.hub_partitions.len()).expect("counted by a u16")
    }

    /// Puts an event into the batch that fills for its key; a batch that has no room closes at once.
    fn place(&mut self, event: Event, arrived_at: Instant, now: Instant, effects: &mut Effects<Effect>) {
        let event_bytes = encoded_bytes_max(&event);
        let queue = if event.key.is_empty() {
            &mut self.keyless
        } else {
            let index = hub_partition_of(&event.key, self.hub_partitions_count());
            &mut self.hub_partitions[usize::from(index.0)].queue
        };
        if !queue.open.has_room_for(event_bytes, &self.limits) {
            let batch = queue.open.close(self.batch_ids.give(), now, effects);
            queue.closed.push_back(batch);
        }
        if queue.open.is_empty() {
            self.linger_deadline.get_or_insert(now + self.limits.linger);
        }
        queue.open.push(event, event_bytes, arrived_at);
        if queue.open.is_full(&self.limits) {
            queue.open.make_due();
        }
    }

    /// Every batch that was begun may go.
    fn end_linger(&mut self) {
        self.linger_deadline = None;
        self.keyless.open.make_due();
        for hub_partition in &mut self.hub_partitions {
            hub_partition.queue.open.make_due();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Outcome;
    use crate::testing::*;

    #[test]
    fn the_first_timeout_asks_for_a_client() {
        let mut batcher = Batcher::away();
        assert_eq!(batcher.actor.poll_timeout(), Some(Instant::ZERO));
        assert_eq!(batcher.timeout(), [Effect::Open]);
        assert_eq!(batcher.actor.poll_timeout(), None);
    }

    #[test]
    fn an_event_waits_for_company_until_the_linger_of_the_first_is_over() {
        let mut batcher = Batcher::open(1);
        assert_eq!(batcher.publish([event(0, 1, "k")]), []);
        batcher.advance_ms(60);
        assert_eq!(batcher.publish([event(0, 2, "k")]), []);
        assert_eq!(batcher.actor.poll_timeout(), Some(Instant::from_millis(100)));
        batcher.advance_ms(39);
        assert_eq!(batcher.timeout(), []);
        batcher.advance_ms(1);
        assert_eq!(batcher.sent_offsets(), [vec![1, 2]]);
    }

    #[test]
    fn one_deadline_serves_the_batches_of_all_hub_partitions() {
        let mut batcher = Batcher::open(32);
        batcher.publish((0..20).map(|n| event(0, n, &format!("k{n}"))));
        batcher.advance_ms(100);
        assert!(batcher.sent_offsets().len() > 10);
        assert_eq!(batcher.actor.poll_timeout(), Some(Instant::from_millis(600_000)), "only the refresh is left");
    }

    #[test]
    fn a_batch_that_is_full_goes_at_once() {
        let mut batcher = Batcher::open(1);
        batcher.publish((0..9).map(|n| event(0, n, "k")));
        assert_eq!(sent(&batcher.publish([event(0, 9, "k")])).len(), 1, "ten events are the limit");
        assert_eq!(batcher.actor.pending_count(), 10);

        let mut batcher = Batcher::open(1);
        batcher.publish([event_of_bytes(0, 1, "k", 2_000)]);
        let effects = batcher.publish([event_of_bytes(0, 2, "k", 2_000)]);
        assert_eq!(offsets_of(&sent(&effects)[0]), [1], "both exceed 4,000 bytes with what an event adds");
    }

    #[test]
    fn an_event_larger_than_a_batch_travels_alone() {
        let mut batcher = Batcher::open(1);
        let effects = batcher.publish([event_of_bytes(0, 1, "k", 9_000)]);
        assert_eq!(offsets_of(&sent(&effects)[0]), [1]);
    }

    #[test]
    fn while_the_hub_is_away_events_wait_and_then_all_go() {
        let mut batcher = Batcher::away();
        assert_eq!(batcher.timeout(), [Effect::Open]);
        batcher.publish((0..25).map(|n| event(0, n, "k")));
        let mut attempts = 0;
        let mut told = 0;
        let is_report = |effect: &Effect| matches!(effect, Effect::Report(_));
        while batcher.now < Instant::from_millis(60_000) {
            let mut effects = batcher.step(Message::OpenFailed(Failure::ConnectionLost));
            attempts += 1;
            told += effects.iter().filter(|effect| is_report(effect)).count();
            effects.retain(|effect| !is_report(effect));
            if effects.is_empty() {
                batcher.now = batcher.actor.poll_timeout().unwrap().max(batcher.now);
                while batcher.timeout().is_empty() {
                    batcher.now = batcher.actor.poll_timeout().unwrap();
                }
            }
        }
        assert!((5..40).contains(&attempts), "{attempts} attempts in a minute");
        assert_eq!(told, 1, "that it is away");
        let mut offsets = Vec::new();
        let mut effects = batcher.opened(1);
        assert_eq!(effects[0], Effect::Report(Report::HubBack));
        while let [send] = &sent(&effects)[..] {
            offsets.extend(offsets_of(send));
            effects = batcher.settle(send.batch_id, Outcome::Accepted);
        }
        assert_eq!(offsets, (0..25).collect::<Vec<_>>());
        assert!(batcher.actor.ledger().balances(0));
    }

    #[test]
    fn partitions_are_asked_for_now_and_then_and_new_ones_are_used() {
        let mut batcher = Batcher::open(1);
        batcher.advance_ms(600_000);
        assert_eq!(batcher.timeout(), [Effect::RefreshPartitions]);
        batcher.step(Message::PartitionsRefreshed { hub_partitions_count: 2 });
        let (one, other) = two_keys_of_two_hub_partitions();
        batcher.publish([event(0, 1, &one), event(0, 2, &other)]);
        assert_eq!(batcher.advance_and_send(100).len(), 2);
        let shrank = Effect::Report(Report::PartitionsShrank { before: 2, found: 1 });
        assert_eq!(batcher.step(Message::PartitionsRefreshed { hub_partitions_count: 1 }), [shrank]);
    }

    #[test]
    fn after_stop_nothing_lingers_and_the_end_is_told_once() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k")]);
        let send = sent(&batcher.step(Message::Stop)).remove(0);
        let effects = batcher.settle(send.batch_id, Outcome::Accepted);
        assert!(matches!(effects[..], [Effect::Settled(_), Effect::Stopped]));
        assert_eq!(batcher.actor.poll_timeout(), None);
        assert_eq!(batcher.step(Message::Stop), []);
    }

    #[test]
    #[should_panic(expected = "dataflows give no more credit than a batcher holds")]
    fn more_events_than_credit_is_a_bug() {
        Batcher::open(1).publish((0..101).map(|n| event(0, n, "k")));
    }
}
