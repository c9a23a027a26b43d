//! The effects of an mqtt-connection, translated.

use broker_partition::Message as ToPartition;
use contract::{Acknowledge, ConnectionAddress, Effects, Publisher};
use mqtt_connection::{Effect, EndReason};

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Report, ShellRequest, SocketRequest, Surroundings};

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
            Effect::Authenticate { step, credentials } => {
                router.request(ShellRequest::Authenticate(connection, step, credentials));
            }
            Effect::Attach { partition, request } => {
                router.send_to_partition(partition, ToPartition::Attach { connection, request });
            }
            Effect::Resume { session } => router.send_to_partitions(|| ToPartition::Resume { session, connection }),
            Effect::Publish { partition, token, publications } => {
                let publisher = Publisher::Connection(connection);
                let acknowledge = Acknowledge::Accepted;
                router
                    .send_to_partition(partition, ToPartition::Publish { publisher, token, publications, acknowledge });
            }
            Effect::Subscribe { session, token, subscriptions } => router.send_to_partitions(|| {
                ToPartition::Subscribe { session, connection, token, subscriptions: subscriptions.clone() }
            }),
            Effect::Unsubscribe { session, token, topic_filters } => router.send_to_partitions(|| {
                ToPartition::Unsubscribe { session, connection, token, topic_filters: topic_filters.clone() }
            }),
            Effect::SubscriberCredit { partition, session, credit } => {
                router.send_to_partition(partition, ToPartition::SubscriberCredit { session, connection, credit });
            }
            Effect::DeliveriesSettled { partition, session, numbers, outcome } => {
                let message = ToPartition::DeliveriesSettled { session, connection, numbers, outcome };
                router.send_to_partition(partition, message);
            }
            Effect::Suspend { session } => router.send_to_partitions(|| ToPartition::Suspend { session, connection }),
            Effect::Park { partition, session, state, session_expiry_s, will } => {
                let message = ToPartition::Park { session, connection, state, session_expiry_s, will };
                router.send_to_partition(partition, message);
            }
            Effect::Detach { session, will } => {
                router.send_to_partitions(|| ToPartition::Detach { session, connection, will });
            }
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
