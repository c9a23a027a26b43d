//! Flows: their credit, what they settle, and their restarts.

use std::ops::Range;

use contract::{Credit, DropReason, Effects, Epoch, FlowIndex, Hop, Instant, Offset};

use crate::effect::Effect;
use crate::message::FlowOutcome;
use crate::records::Holder;
use crate::sending::add;
use crate::state::BrokerPartition;

impl BrokerPartition {
    pub(crate) fn handle_flow_credit(&mut self, flow: FlowIndex, credit: Credit) {
        match self.find_flow(flow) {
            Some(position) => add(&mut self.flows[position].credit, credit),
            None => self.unknown_count += 1,
        }
    }

    pub(crate) fn handle_flow_restarted(&mut self, flow: FlowIndex, effects: &mut Effects<Effect>) {
        match self.find_flow(flow) {
            Some(position) => {
                self.flows[position].restart();
                effects.push(Effect::FlowReset { flow });
            }
            None => self.unknown_count += 1,
        }
    }

    pub(crate) fn handle_flow_settled(
        &mut self,
        flow: FlowIndex,
        epoch: Epoch,
        offsets: &[Range<Offset>],
        outcome: FlowOutcome,
    ) {
        let position = self.find_flow(flow).filter(|_| epoch == self.epoch);
        let Some(position) = position else {
            self.unknown_count += 1;
            return;
        };
        let Self { flows, records, watches, delivered, .. } = self;
        let cursor = &mut flows[position];
        for range in offsets {
            let count = cursor.settle(range, |record| {
                let Some(watch) = records.release(record, Holder::Flow) else { return };
                let waiting = watches.get_mut(watch.0);
                waiting.records_count -= 1;
                if waiting.records_count == 0 {
                    let watch = watches.remove(watch.0);
                    delivered.push_back((watch.publisher, watch.token));
                }
            });
            match outcome {
                FlowOutcome::Delivered => cursor.ledger.delivered += count,
                FlowOutcome::Filtered => cursor.ledger.filtered += count,
                FlowOutcome::DeadLettered => cursor.ledger.drop_records(DropReason::DeadLetter, count),
            }
            let unknown_count = range.end.0.saturating_sub(range.start.0) - count;
            self.unknown_count = self.unknown_count.saturating_add(unknown_count);
        }
    }

    /// Sends flows what their credit allows.
    pub(crate) fn send_to_flows(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        for position in 0..self.flows.len() {
            if !self.flows[position].may_send() {
                continue;
            }
            if !self.has_room(effects) {
                self.continue_at = Some(now);
                return;
            }
            let Self { flows, records, epoch, .. } = self;
            let cursor = &mut flows[position];
            let taken = cursor.take_records(records, |record| {
                let record = records.get(record);
                let points_count = record.publication.points_count().max(1);
                effects.observe(Hop::AcceptedToDataflow, now - record.accepted_at, points_count);
            });
            effects.push(Effect::FlowRecords { flow: cursor.flow, epoch: *epoch, records: taken });
        }
    }

    fn find_flow(&self, flow: FlowIndex) -> Option<usize> {
        self.flows.binary_search_by_key(&flow, |cursor| cursor.flow).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::testing::{EPOCH, FLOW, World, flow_offsets, publication};

    #[test]
    fn records_wait_for_credit_and_go_in_the_order_of_the_log() {
        let mut world = World::new();
        for topic_name in ["f/a", "x", "f/b", "f/c"] {
            assert_eq!(flow_offsets(&world.publish(topic_name)), [0; 0]);
        }
        assert_eq!(flow_offsets(&world.flow_credit(2)), [0, 2]);
        assert_eq!(flow_offsets(&world.flow_credit(2)), [3]);
        assert_eq!(flow_offsets(&world.publish("f/d")), [4], "what is left of the credit");
    }

    #[test]
    fn bytes_are_credit_too_and_the_last_record_may_exceed_them() {
        let mut world = World::new();
        for _ in 0..3 {
            world.publish("f/a");
        }
        let bytes = publication("f/a").size_bytes() as u64 + 1;
        let credit = Credit { count: 10, bytes };
        assert_eq!(flow_offsets(&world.step(Message::FlowCredit { flow: FLOW, credit })), [0, 1]);
    }

    #[test]
    fn a_record_that_several_filters_of_a_flow_match_is_taken_once() {
        let mut world = World::with_flows(&[(FLOW, &["a/+", "a/#", "#"])], |_| {});
        world.flow_credit(10);
        assert_eq!(flow_offsets(&world.publish("a/b")), [0]);
        assert_eq!(world.counter("accepted"), 1);
    }

    #[test]
    fn settlements_come_in_any_order_and_each_fate_is_counted() {
        let mut world = World::new();
        world.flow_credit(10);
        for _ in 0..6 {
            world.publish("f/a");
        }
        world.flow_settled(4..6, FlowOutcome::Delivered);
        world.flow_settled(0..1, FlowOutcome::Filtered);
        world.flow_settled(2..3, FlowOutcome::DeadLettered);
        assert_eq!(
            ["delivered", "filtered", "dropped_dead_letter", "queued"].map(|name| world.counter(name)),
            [2, 1, 1, 2]
        );
    }

    #[test]
    fn what_does_not_belong_here_is_ignored_and_counted() {
        let mut world = World::new();
        world.flow_credit(10);
        world.publish("f/a");
        let offsets = vec![Offset(0)..Offset(1)];
        let outcome = FlowOutcome::Delivered;
        for (flow, epoch) in [(FLOW, Epoch(4)), (FlowIndex(9), EPOCH)] {
            assert_eq!(world.step(Message::FlowSettled { flow, epoch, offsets: offsets.clone(), outcome }), []);
        }
        world.flow_settled(0..1, outcome);
        world.flow_settled(0..1, outcome);
        assert_eq!(["delivered", "unknown"].map(|name| world.counter(name)), [1, 3]);
    }

    #[test]
    fn a_flow_that_was_made_anew_is_sent_what_was_under_way_again() {
        let mut world = World::new();
        world.flow_credit(2);
        for _ in 0..3 {
            world.publish("f/a");
        }
        assert_eq!(world.step(Message::FlowRestarted { flow: FLOW }), [Effect::FlowReset { flow: FLOW }]);
        assert_eq!(world.flow_settled(1..2, FlowOutcome::Delivered), [], "a settlement of the first sending");
        assert_eq!(flow_offsets(&world.flow_credit(10)), [0, 2]);
        world.flow_settled(0..1, FlowOutcome::Delivered);
        world.flow_settled(2..3, FlowOutcome::Delivered);
        assert_eq!(["delivered", "redelivered", "queued"].map(|name| world.counter(name)), [3, 1, 0]);
        assert_eq!(world.log.count(), 0);
    }
}
