//! The effects of an mqtt-connection, translated.

use broker_partition::Message as ToPartition;
use contract::{Acknowledge, ConnectionAddress, Effects, PartitionIndex, Publisher};
use mqtt_connection::{Effect, EndReason};

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Envelope, Report, ShellRequest, SocketRequest, Surroundings};

/// What a connection's step left beside its messages.
pub(crate) struct ConnectionStep {
    pub(crate) aftermath: Aftermath,
    pub(crate) end_reason: Option<EndReason>,
}

pub(crate) fn route<S: Surroundings + ?Sized>(
    connection: ConnectionAddress,
    effects: &mut Effects<Effect>,
    router: &mut Router<'_, S>,
) -> ConnectionStep {
    let mut step = ConnectionStep { aftermath: Aftermath::Lives, end_reason: None };
    while let Some(effect) = effects.pop() {
        router.surroundings.effect(ActorEffect::Connection(&effect));
        match effect {
            Effect::Write(bytes) => socket(connection, SocketRequest::Write(bytes), router),
            Effect::PauseReading => socket(connection, SocketRequest::PauseReading, router),
            Effect::ResumeReading => socket(connection, SocketRequest::ResumeReading, router),
            Effect::Close => socket(connection, SocketRequest::Close, router),
            Effect::Attach { partition, client_identifier } => {
                to_partition(partition, ToPartition::Attach { connection, client_identifier }, router);
            }
            Effect::Publish { partition, token, publications } => {
                let publisher = Publisher::Connection(connection);
                let acknowledge = Acknowledge::Accepted;
                to_partition(partition, ToPartition::Publish { publisher, token, publications, acknowledge }, router);
            }
            Effect::Subscribe { token, subscriptions } => router.send_to_partitions(|| ToPartition::Subscribe {
                connection,
                token,
                subscriptions: subscriptions.clone(),
            }),
            Effect::Unsubscribe { token, topic_filters } => router.send_to_partitions(|| ToPartition::Unsubscribe {
                connection,
                token,
                topic_filters: topic_filters.clone(),
            }),
            Effect::Credit { partition, credit } => {
                to_partition(partition, ToPartition::SubscriberCredit { connection, credit }, router);
            }
            Effect::DeliveriesSettled { partition, numbers, outcome } => {
                to_partition(partition, ToPartition::DeliveriesSettled { connection, numbers, outcome }, router);
            }
            Effect::Detach => router.send_to_partitions(|| ToPartition::Detach { connection }),
            Effect::Ended(reason) => {
                step.end_reason = Some(reason);
                router.report(Address::Connection(connection), Report::Connection(reason));
            }
            Effect::Gone => step.aftermath = Aftermath::Stopped,
        }
    }
    router.observe(effects);
    step
}

fn socket<S: Surroundings + ?Sized>(connection: ConnectionAddress, request: SocketRequest, router: &mut Router<'_, S>) {
    router.request(ShellRequest::Socket(connection, request));
}

fn to_partition<S: Surroundings + ?Sized>(partition: PartitionIndex, message: ToPartition, router: &mut Router<'_, S>) {
    router.send(Address::Partition(partition), Envelope::Partition(partition, message));
}
