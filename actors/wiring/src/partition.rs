//! The effects of a broker-partition, translated.

use broker_partition::{Effect, Message as ToPartition};
use contract::{
    Acknowledge, ConnectionAddress, Effects, FlowIndex, LogResponse, PartitionIndex, PublishToken, Publisher,
};
use mqtt_connection::Message as ToConnection;
use opcua_subscription::Message as ToOpcUa;

use crate::routing::{Aftermath, Router};
use crate::{ActorEffect, Address, Envelope, PartitionLog, Report, Surroundings};

/// Routes effects; requests to the log are made at once, and its answers pushed to `answers`.
pub(crate) fn route<S: Surroundings + ?Sized>(
    partition: PartitionIndex,
    log: &mut dyn PartitionLog,
    effects: &mut Effects<Effect>,
    answers: &mut Vec<LogResponse>,
    router: &mut Router<'_, S>,
) -> Aftermath {
    let mut aftermath = Aftermath::Lives;
    while let Some(effect) = effects.pop() {
        router.surroundings.effect(ActorEffect::Partition(&effect));
        match effect {
            Effect::Log(request) => log.request(request, answers),
            Effect::Accepted { publisher, token } => accepted(publisher, token, router),
            Effect::Delivered { publisher, token } => match publisher {
                Publisher::OpcUa(source) => {
                    let envelope = Envelope::OpcUa(source, ToOpcUa::Delivered { token });
                    router.send(Address::OpcUa(source), envelope);
                }
                // Connections ask for acceptance only, a Will and the server for nothing.
                Publisher::Connection(_) | Publisher::Will(_) | Publisher::Server => {}
            },
            Effect::Refused { publisher, token, refusal } => match publisher {
                Publisher::Connection(connection) => {
                    to_connection(connection, ToConnection::Refused { token, refusal }, router);
                }
                Publisher::OpcUa(source) => {
                    unreachable!("publications of Session {source} wait and are not refused ({refusal})")
                }
                Publisher::Will(session) => unreachable!("the Will of {session} is dropped, not refused ({refusal})"),
                Publisher::Server => unreachable!("what the server tells is dropped, not refused ({refusal})"),
            },
            Effect::Attached { connection, session, state } => {
                to_connection(connection, ToConnection::Attached { session, state }, router);
            }
            Effect::AttachRefused { connection, refusal } => {
                to_connection(connection, ToConnection::AttachRefused { refusal }, router);
            }
            Effect::TakenOver { connection } => to_connection(connection, ToConnection::TakenOver, router),
            Effect::Subscribed { connection, token, results } => {
                to_connection(connection, ToConnection::Subscribed { partition, token, results }, router);
            }
            Effect::Unsubscribed { connection, token, existed } => {
                to_connection(connection, ToConnection::Unsubscribed { partition, token, existed }, router);
            }
            Effect::Suspended { connection } => {
                to_connection(connection, ToConnection::Suspended { partition }, router);
            }
            Effect::EndSession { session } => router.send_to_partitions(|| ToPartition::EndSession { session }),
            Effect::PublishWill { session, partition: owner, publication } => {
                let message = ToPartition::Publish {
                    publisher: Publisher::Will(session),
                    token: PublishToken(0),
                    publications: vec![publication],
                    acknowledge: Acknowledge::Accepted,
                };
                router.send_to_partition(owner, message);
            }
            Effect::Deliver { connection, deliveries } => {
                to_connection(connection, ToConnection::Deliver { partition, deliveries }, router);
            }
            Effect::FlowReset { flow } => to_flow(flow, partition, dataflow::Message::Reset { partition }, router),
            Effect::FlowRecords { flow, epoch, records } => {
                to_flow(flow, partition, dataflow::Message::Records { partition, epoch, records }, router);
            }
            Effect::Report(report) => router.report(Address::Partition(partition), Report::Partition(report)),
            Effect::Stopped => aftermath = Aftermath::Stopped,
        }
    }
    router.observe(effects);
    aftermath
}

fn accepted<S: Surroundings + ?Sized>(publisher: Publisher, token: PublishToken, router: &mut Router<'_, S>) {
    match publisher {
        Publisher::OpcUa(source) => {
            router.send(Address::OpcUa(source), Envelope::OpcUa(source, ToOpcUa::Accepted { token }));
        }
        Publisher::Connection(connection) => to_connection(connection, ToConnection::Accepted { token }, router),
        Publisher::Will(_) | Publisher::Server => {}
    }
}

fn to_connection<S: Surroundings + ?Sized>(
    connection: ConnectionAddress,
    message: ToConnection,
    router: &mut Router<'_, S>,
) {
    router.send(Address::Connection(connection), Envelope::Connection(connection, message));
}

fn to_flow<S: Surroundings + ?Sized>(
    flow: FlowIndex,
    partition: PartitionIndex,
    message: dataflow::Message,
    router: &mut Router<'_, S>,
) {
    let address = router.topology.flow_of(flow, partition);
    router.send(Address::Flow(address), Envelope::Flow(address, message));
}
