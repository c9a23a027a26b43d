//! Flows: their credit, what they settle, and their restarts.

use std::ops::Range;

use contract::{Credit, DropReason, Effects, Epoch, FlowIndex, Hop, Instant, Offset};

use crate::effect::Effect;
use crate::message::FlowOutcome;
use crate::records::Holder;
use crate::state::BrokerPartition;
use crate::subscribing::add;

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
            self.unknown_count += range.end.0.saturating_sub(range.start.0) - count;
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
