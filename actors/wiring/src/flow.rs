//! The effects of a dataflow, translated.

use broker_partition::{FlowOutcome, Message as ToPartition};
use contract::{Effects, PartitionIndex};
use dataflow::{Effect, Settlement};

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Envelope, FlowAddress, Surroundings};

pub(crate) fn route<S: Surroundings + ?Sized>(
    address: FlowAddress,
    effects: &mut Effects<Effect>,
    router: &mut Router<'_, S>,
) -> Aftermath {
    let mut aftermath = Aftermath::Lives;
    let flow = address.flow;
    while let Some(effect) = effects.pop() {
        router.surroundings.effect(ActorEffect::Flow(&effect));
        match effect {
            Effect::Events(events) => {
                let message = egress_batcher::Message::Publish(events);
                router.send(Address::Batcher(flow), Envelope::Batcher(flow, message));
            }
            Effect::Filtered(settlement) => settled(settlement, FlowOutcome::Filtered, router),
            Effect::Settled(settlement) => settled(settlement, FlowOutcome::Delivered, router),
            Effect::DeadLettered(settlement) => settled(settlement, FlowOutcome::DeadLettered, router),
            Effect::Credit { partition, credit } => {
                to_partition(partition, ToPartition::FlowCredit { flow, credit }, router);
            }
            Effect::Stopped => aftermath = Aftermath::Stopped,
        }
    }
    router.observe(effects);
    aftermath
}

fn settled<S: Surroundings + ?Sized>(settlement: Settlement, outcome: FlowOutcome, router: &mut Router<'_, S>) {
    let Settlement { flow, partition, epoch, offsets, count: _ } = settlement;
    to_partition(partition, ToPartition::FlowSettled { flow, epoch, offsets, outcome }, router);
}

fn to_partition<S: Surroundings + ?Sized>(partition: PartitionIndex, message: ToPartition, router: &mut Router<'_, S>) {
    router.send(Address::Partition(partition), Envelope::Partition(partition, message));
}
