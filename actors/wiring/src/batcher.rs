//! The effects of an egress-batcher, translated.

use contract::{Effects, FlowIndex};
use egress_batcher::{Effect, Settlement};

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Envelope, LaneRequest, Report, ShellRequest, Surroundings};

pub(crate) fn route<S: Surroundings + ?Sized>(
    flow: FlowIndex,
    effects: &mut Effects<Effect>,
    router: &mut Router<'_, S>,
) -> Aftermath {
    let mut aftermath = Aftermath::Lives;
    while let Some(effect) = effects.pop() {
        router.surroundings.effect(ActorEffect::Batcher(&effect));
        match effect {
            Effect::Open => router.request(ShellRequest::Lane(flow, LaneRequest::Open)),
            Effect::RefreshPartitions => router.request(ShellRequest::Lane(flow, LaneRequest::RefreshPartitions)),
            Effect::Send(send) => router.request(ShellRequest::Lane(flow, LaneRequest::Send(send))),
            Effect::Settled(settlements) => {
                for Settlement { flow, partition, epoch, offsets, released } in settlements {
                    let address = router.topology.flow_of(flow, partition);
                    let message = dataflow::Message::Settled { partition, epoch, offsets, released };
                    router.send(Address::Flow(address), Envelope::Flow(address, message));
                }
            }
            Effect::DeadLettered(settlements) => {
                for Settlement { flow, partition, epoch, offsets, released } in settlements {
                    let address = router.topology.flow_of(flow, partition);
                    let message = dataflow::Message::DeadLettered { partition, epoch, offsets, released };
                    router.send(Address::Flow(address), Envelope::Flow(address, message));
                }
            }
            Effect::Report(report) => router.report(Address::Batcher(flow), Report::Batcher(report)),
            Effect::Stopped => {
                router.request(ShellRequest::Lane(flow, LaneRequest::Close));
                aftermath = Aftermath::Stopped;
            }
        }
    }
    router.observe(effects);
    aftermath
}
