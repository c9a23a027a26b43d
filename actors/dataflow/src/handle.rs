//! What a dataflow does with each message.

use std::ops::Range;

use contract::{Actor, Credit, DropReason, Effects, Epoch, Event, EventId, Instant, Offset, PartitionIndex, Record};

use crate::allowance::Allowance;
use crate::effect::{Effect, Settlement};
use crate::message::Message;
use crate::state::{Dataflow, Stopping};

impl Actor for Dataflow {
    type Message = Message;
    type Effect = Effect;

    fn handle(&mut self, message: Message, _now: Instant, effects: &mut Effects<Effect>) {
        match message {
            Message::Reset { partition } => self.handle_reset(partition, effects),
            Message::Records { partition, epoch, records } => self.handle_records(partition, epoch, records, effects),
            Message::Settled { partition, epoch, offsets, released } => {
                self.ledger.delivered += u64::from(self.release(partition, released));
                effects.push(Effect::Settled(self.settlement(partition, epoch, offsets, released.count)));
                self.grant(partition, effects);
            }
            Message::DeadLettered { partition, epoch, offsets, released } => {
                let known = self.release(partition, released);
                self.ledger.drop_records(DropReason::DeadLetter, u64::from(known));
                effects.push(Effect::DeadLettered(self.settlement(partition, epoch, offsets, released.count)));
                self.grant(partition, effects);
            }
            Message::Stop => {
                if self.stopping == Stopping::No {
                    self.stopping = Stopping::Draining;
                }
            }
        }
        self.tell_when_drained(effects);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant, _effects: &mut Effects<Effect>) {}
}

impl Dataflow {
    fn handle_reset(&mut self, partition: PartitionIndex, effects: &mut Effects<Effect>) {
        let window = self.window();
        self.partitions.entry(partition).or_insert_with(|| Allowance::new(window)).forget();
        self.grant(partition, effects);
    }

    fn handle_records(
        &mut self,
        partition: PartitionIndex,
        epoch: Epoch,
        records: Vec<Record>,
        effects: &mut Effects<Effect>,
    ) {
        let allowance = self.partitions.get_mut(&partition).expect("a partition sends after its reset was answered");
        self.ledger.accepted += records.len() as u64;
        let mut events = Vec::with_capacity(records.len());
        let mut filtered: Vec<Range<Offset>> = Vec::new();
        let mut filtered_count = 0;
        for Record { offset, publication } in records {
            let bytes = publication.size_bytes() as u64;
            allowance.arrive(bytes);
            if let Some(output) = self.program.run(publication) {
                let id = EventId { flow: self.program.flow(), partition, epoch, offset };
                events.push(Event { id, key: output.key, publication: output.publication });
            } else {
                allowance.settle(Credit { count: 1, bytes });
                filtered_count += 1;
                match filtered.last_mut() {
                    Some(range) if range.end == offset => range.end = offset.next(),
                    Some(_) | None => filtered.push(offset..offset.next()),
                }
            }
        }
        if !events.is_empty() {
            effects.push(Effect::Events(events));
        }
        if filtered_count > 0 {
            self.ledger.filtered += u64::from(filtered_count);
            effects.push(Effect::Filtered(self.settlement(partition, epoch, filtered, filtered_count)));
            self.grant(partition, effects);
        }
    }

    /// Counts records as no longer under way; how many of them this instance had sent.
    fn release(&mut self, partition: PartitionIndex, released: Credit) -> u32 {
        self.partitions.get_mut(&partition).map_or(0, |allowance| allowance.settle(released))
    }

    fn grant(&mut self, partition: PartitionIndex, effects: &mut Effects<Effect>) {
        if self.stopping != Stopping::No {
            return;
        }
        if let Some(credit) = self.partitions.get_mut(&partition).and_then(Allowance::grant) {
            effects.push(Effect::Credit { partition, credit });
        }
    }

    fn settlement(
        &self,
        partition: PartitionIndex,
        epoch: Epoch,
        offsets: Vec<Range<Offset>>,
        count: u32,
    ) -> Settlement {
        Settlement { flow: self.program.flow(), partition, epoch, offsets, count }
    }

    fn tell_when_drained(&mut self, effects: &mut Effects<Effect>) {
        if self.stopping == Stopping::Draining && self.under_way_count() == 0 {
            self.stopping = Stopping::Done;
            effects.push(Effect::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::FlowIndex;

    use super::*;
    use crate::program::{Config, KeyChoice, Program};
    use crate::state::Limits;
    use crate::state::tests::publication;

    const P0: PartitionIndex = PartitionIndex(0);
    const EPOCH: Epoch = Epoch(5);

    #[test]
    fn a_partition_gets_its_equal_part_when_it_is_reset() {
        let mut flow = Flow::new(2);
        assert_eq!(flow.reset(), [credit(5, 500)]);
    }

    #[test]
    fn records_become_events_that_carry_their_identity() {
        let mut flow = Flow::new(1);
        flow.reset();
        let effects = flow.records(&[(7, "a/1")]);
        let id = EventId { flow: FlowIndex(3), partition: P0, epoch: EPOCH, offset: Offset(7) };
        let expected = Event { id, key: "a/1".into(), publication: publication("a/1") };
        assert_eq!(effects, [Effect::Events(vec![expected])]);
        assert_eq!(flow.actor.ledger().queued(), Ok(1));
    }

    #[test]
    fn records_left_out_settle_at_once_by_exact_offsets_and_give_their_credit_back() {
        let mut flow = Flow::new(1);
        flow.reset();
        let effects = flow.records(&[(1, "x"), (2, "x"), (3, "a/1"), (4, "x"), (9, "x")]);
        let left_out = vec![Offset(1)..Offset(3), Offset(4)..Offset(5), Offset(9)..Offset(10)];
        assert!(matches!(&effects[0], Effect::Events(events) if events.len() == 1));
        assert_eq!(effects[1], Effect::Filtered(settlement(left_out, 4)));
        assert_eq!(effects[2], credit(4, 4 * size("x")));
        assert!(flow.actor.ledger().balances(1));
    }

    #[test]
    fn credit_comes_back_when_the_destination_has_settled() {
        let mut flow = Flow::new(1);
        flow.reset();
        flow.records(&[(1, "a/1"), (2, "a/2")]);
        let offsets = vec![Offset(1)..Offset(3)];
        let released = Credit { count: 2, bytes: 2 * size("a/1") };
        let effects = flow.step(Message::Settled { partition: P0, epoch: EPOCH, offsets: offsets.clone(), released });
        assert_eq!(effects, [Effect::Settled(settlement(offsets, 2)), credit(2, 2 * size("a/1"))]);
        assert_eq!((flow.actor.ledger().delivered, flow.actor.under_way_count()), (2, 0));
    }

    #[test]
    fn dead_letters_are_counted_as_dropped() {
        let mut flow = Flow::new(1);
        flow.reset();
        flow.records(&[(1, "a/1")]);
        let offsets = vec![Offset(1)..Offset(2)];
        let released = Credit { count: 1, bytes: size("a/1") };
        let effects =
            flow.step(Message::DeadLettered { partition: P0, epoch: EPOCH, offsets: offsets.clone(), released });
        assert_eq!(effects[0], Effect::DeadLettered(settlement(offsets, 1)));
        assert_eq!(flow.actor.ledger().dropped_sum(), 1);
        assert!(flow.actor.ledger().balances(0));
    }

    #[test]
    fn a_partition_that_restarts_gets_only_what_is_not_under_way() {
        let mut flow = Flow::new(1);
        flow.reset();
        flow.records(&[(1, "a/1"), (2, "a/2")]);
        assert_eq!(flow.reset(), [credit(8, 1_000 - 2 * size("a/1"))]);
    }

    #[test]
    fn after_stop_no_credit_is_given_and_the_last_settlement_is_told() {
        let mut flow = Flow::new(1);
        flow.reset();
        flow.records(&[(1, "a/1")]);
        assert_eq!(flow.step(Message::Stop), []);
        let offsets = vec![Offset(1)..Offset(2)];
        let released = Credit { count: 1, bytes: size("a/1") };
        let effects = flow.step(Message::Settled { partition: P0, epoch: EPOCH, offsets: offsets.clone(), released });
        assert_eq!(effects, [Effect::Settled(settlement(offsets, 1)), Effect::Stopped]);
        assert_eq!(flow.step(Message::Stop), []);
    }

    #[test]
    #[should_panic(expected = "credit is asked for before it is spent")]
    fn a_partition_that_sends_without_credit_has_a_bug() {
        let mut flow = Flow::new(10);
        flow.reset();
        flow.records(&[(1, "a/1"), (2, "a/1")]);
    }

    // What the tests lean on: an actor with 10 records and 1,000 bytes for all partitions.

    struct Flow {
        actor: Dataflow,
        effects: Effects<Effect>,
    }

    impl Flow {
        fn new(partitions_count: u16) -> Self {
            let config =
                Config { flow: FlowIndex(3), sources: vec!["a/+".into(), "a/#".into()], key: KeyChoice::TopicName };
            let limits = Limits { under_way: Credit { count: 10, bytes: 1_000 }, partitions_count };
            let actor = Dataflow::new(Program::compile(&config).unwrap(), limits);
            Self { actor, effects: Effects::new(Dataflow::EFFECTS_COUNT_MAX) }
        }

        fn step(&mut self, message: Message) -> Vec<Effect> {
            self.actor.handle(message, Instant::ZERO, &mut self.effects);
            std::iter::from_fn(|| self.effects.pop()).collect()
        }

        fn reset(&mut self) -> Vec<Effect> {
            self.step(Message::Reset { partition: P0 })
        }

        fn records(&mut self, records: &[(u64, &str)]) -> Vec<Effect> {
            let record =
                |&(offset, topic): &(u64, &str)| Record { offset: Offset(offset), publication: publication(topic) };
            self.step(Message::Records { partition: P0, epoch: EPOCH, records: records.iter().map(record).collect() })
        }
    }

    fn credit(count: u32, bytes: u64) -> Effect {
        Effect::Credit { partition: P0, credit: Credit { count, bytes } }
    }

    fn settlement(offsets: Vec<Range<Offset>>, count: u32) -> Settlement {
        Settlement { flow: FlowIndex(3), partition: P0, epoch: EPOCH, offsets, count }
    }

    fn size(topic_name: &str) -> u64 {
        publication(topic_name).size_bytes() as u64
    }
}
