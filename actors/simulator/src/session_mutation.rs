//! Damage to sessions: to what is parked, to Wills, to what partitions hear.

use std::collections::{BTreeMap, BTreeSet};

use broker_partition::Message as ToPartition;
use contract::{
    Acknowledge, ConnectionAddress, Delivery, DeliveryNumber, DeliveryStage, PartitionIndex, Publication, PublishToken,
    Publisher, QoS, SessionId, SessionState, partition_of,
};
use mqtt_connection::Message as ToConnection;
use wiring::Envelope;

use crate::Mutation;
use crate::mutation::Fate;

/// Whether it is damage to what partitions are told of sessions.
pub(crate) fn is_of_sessions(mutation: Mutation) -> bool {
    mutation > Mutation::CreditLost
}

/// Does damage that needs no memory.
fn damage_session(mutation: Mutation, envelope: &mut Envelope, extra: &mut Vec<Envelope>) -> Fate {
    match (mutation, &mut *envelope) {
        (_, Envelope::Partition(_, ToPartition::Park { state, .. })) => damage_parked(mutation, state),
        (
            Mutation::SessionForgotten,
            Envelope::Connection(_, ToConnection::Attached { state: state @ Some(_), .. }),
        ) => {
            *state = None;
            Fate::Changed
        }
        (Mutation::WillTwice, Envelope::Partition(_, ToPartition::Publish { publisher: Publisher::Will(_), .. })) => {
            extra.push(envelope.clone());
            Fate::Changed
        }
        (Mutation::WillLost, Envelope::Partition(_, ToPartition::Publish { publisher: Publisher::Will(_), .. }))
        | (Mutation::ResumeLost, Envelope::Partition(_, ToPartition::Resume { .. }))
        | (Mutation::EndSessionLost, Envelope::Partition(_, ToPartition::EndSession { .. })) => Fate::Lost,
        (Mutation::SuspendLost, Envelope::Partition(partition, ToPartition::Suspend { connection, .. })) => {
            extra.push(Envelope::Connection(*connection, ToConnection::Suspended { partition: *partition }));
            Fate::Lost
        }
        (_, _) => Fate::Untouched,
    }
}

fn damage_parked(mutation: Mutation, state: &mut SessionState) -> Fate {
    let is_released = |stage: &DeliveryStage| matches!(stage, DeliveryStage::Released(_));
    let mut published = (0..state.in_flight.len()).filter(|index| !is_released(&state.in_flight[*index].stage));
    let (first, second) = (published.next(), published.next());
    let released = state.in_flight.iter().position(|delivery| is_released(&delivery.stage));
    let waiting = state.waiting.iter().position(|(_, delivery)| delivery.qos != QoS::AtMostOnce);
    match (mutation, first, second) {
        (Mutation::PacketIdentifierForgotten, Some(first), _) => state.in_flight[first].packet_identifier ^= 0x4000,
        (Mutation::InFlightLost, Some(first), _) => drop(state.in_flight.remove(first)),
        (Mutation::ResentOutOfOrder, Some(first), Some(second)) => state.in_flight.swap(first, second),
        (Mutation::PubrelNotResent, ..) if released.is_some() => {
            released.map(|index| state.in_flight.remove(index));
        }
        (Mutation::WaitingLost, ..) if waiting.is_some() => {
            waiting.map(|index| state.waiting.remove(index));
        }
        (Mutation::ReceivedForgotten, ..) if !state.received.is_empty() => {
            state.received.remove(0);
        }
        (_, _, _) => return Fate::Untouched,
    }
    Fate::Changed
}

/// What some damage must remember.
#[derive(Debug)]
pub(crate) struct SessionMemory {
    partitions_count: u16,
    /// By Client Identifier, the Will of its last CONNECT, where it is delayed.
    wills: BTreeMap<Box<str>, Publication>,
    /// The Will before, for a connection that waits for its session.
    before: BTreeMap<ConnectionAddress, Publication>,
    /// Sessions at rest.
    parked: BTreeSet<SessionId>,
    /// What they missed.
    missed: BTreeMap<SessionId, Publication>,
}

impl SessionMemory {
    pub(crate) fn new(partitions_count: u16) -> Self {
        Self {
            partitions_count,
            wills: BTreeMap::new(),
            before: BTreeMap::new(),
            parked: BTreeSet::new(),
            missed: BTreeMap::new(),
        }
    }

    /// Does damage to a session.
    pub(crate) fn damage(&mut self, mutation: Mutation, envelope: &mut Envelope, extra: &mut Vec<Envelope>) -> Fate {
        if mutation == Mutation::WillThoughResumed {
            self.publish_a_will_though_resumed(envelope, extra)
        } else if mutation == Mutation::QosZeroThoughAway {
            self.keep_qos_zero(envelope)
        } else {
            damage_session(mutation, envelope, extra)
        }
    }

    fn publish_a_will_though_resumed(&mut self, envelope: &Envelope, extra: &mut Vec<Envelope>) -> Fate {
        match envelope {
            Envelope::Partition(_, ToPartition::Attach { connection, request }) => {
                let before = self.wills.remove(&request.client_identifier);
                self.before.extend(before.map(|will| (*connection, will)));
                let will = request.will.as_ref().filter(|will| will.delay_s > 0);
                self.wills.extend(will.map(|will| (request.client_identifier.clone(), will.publication.clone())));
                Fate::Untouched
            }
            Envelope::Connection(connection, ToConnection::Attached { session, state: Some(_) }) => {
                let Some(publication) = self.before.remove(connection) else { return Fate::Untouched };
                let owner = partition_of(publication.topic_name(), self.partitions_count);
                let message = ToPartition::Publish {
                    publisher: Publisher::Will(*session),
                    token: PublishToken(0),
                    publications: vec![publication],
                    acknowledge: Acknowledge::Accepted,
                };
                extra.push(Envelope::Partition(owner, message));
                Fate::Changed
            }
            Envelope::OpcUa(..)
            | Envelope::Connection(..)
            | Envelope::Partition(..)
            | Envelope::Flow(..)
            | Envelope::Batcher(..)
            | Envelope::Host(_) => Fate::Untouched,
        }
    }

    fn keep_qos_zero(&mut self, envelope: &mut Envelope) -> Fate {
        match envelope {
            Envelope::Partition(_, ToPartition::Park { session, .. }) => {
                self.parked.insert(*session);
                Fate::Untouched
            }
            Envelope::Partition(_, ToPartition::Publish { publisher: Publisher::Connection(_), publications, .. }) => {
                let is_it = |made: &&Publication| made.qos() == QoS::AtMostOnce && made.topic_name() == b"m/0/a";
                if let Some(publication) = publications.iter().find(is_it) {
                    let missed = self.parked.iter().map(|session| (*session, publication.clone()));
                    self.missed.extend(missed);
                }
                Fate::Untouched
            }
            Envelope::Connection(_, ToConnection::Attached { session, state: Some(state) }) => {
                self.parked.remove(session);
                let Some(publication) = self.missed.remove(session).filter(|_| !state.credits.is_empty()) else {
                    return Fate::Untouched;
                };
                let delivery = Delivery {
                    number: DeliveryNumber(1 << 40),
                    offset: None,
                    publication,
                    qos: QoS::AtMostOnce,
                    retain: false,
                    subscription_identifiers: Box::default(),
                };
                state.waiting.push((PartitionIndex(0), delivery));
                Fate::Changed
            }
            Envelope::OpcUa(..)
            | Envelope::Connection(..)
            | Envelope::Partition(..)
            | Envelope::Flow(..)
            | Envelope::Batcher(..)
            | Envelope::Host(_) => Fate::Untouched,
        }
    }
}
