//! The effects of an opcua-subscription, translated.

use contract::{Acknowledge, Effects, Publisher, SourceIndex};
use opcua_subscription::{AcknowledgeAt, Effect};

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Envelope, Report, ShellRequest, Surroundings};

pub(crate) fn route<S: Surroundings + ?Sized>(
    source: SourceIndex,
    effects: &mut Effects<Effect>,
    router: &mut Router<'_, S>,
) -> Aftermath {
    let mut aftermath = Aftermath::Lives;
    while let Some(effect) = effects.pop() {
        router.surroundings.effect(ActorEffect::OpcUa(&effect));
        match effect {
            Effect::Connect | Effect::Disconnect | Effect::Send { .. } | Effect::SaveState(_) => {
                router.request(ShellRequest::OpcUa(source, effect));
            }
            Effect::Publish { partition, token, publications, acknowledge } => {
                let acknowledge = match acknowledge {
                    AcknowledgeAt::Accepted => Acknowledge::Accepted,
                    AcknowledgeAt::Delivered => Acknowledge::AcceptedAndDelivered,
                };
                let publisher = Publisher::OpcUa(source);
                let message = broker_partition::Message::Publish { publisher, token, publications, acknowledge };
                router.send(Address::Partition(partition), Envelope::Partition(partition, message));
            }
            Effect::Report(report) => router.report(Address::OpcUa(source), Report::OpcUa(report)),
            Effect::Stopped => aftermath = Aftermath::Stopped,
        }
    }
    router.observe(effects);
    aftermath
}
