//! Named damage between actors: what the invariants must catch.

use contract::{Instant, PublishToken};
use wiring::Envelope;

use crate::session_mutation::{SessionMemory, is_of_sessions};

/// One kind of damage, done once in a run; or at every occasion, where a client that connects anew would not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// A partition's records for a flow lose one.
    RecordDropped,
    /// Two events of one topic change places on their way to the batcher.
    EventsSwapped,
    /// An event gets another id on its way to the batcher.
    EventIdChanged,
    /// An event is sent twice, the second time under another id.
    EventDuplicated,
    /// A settlement reaches one offset too far.
    CursorTooFar,
    /// A settlement is lost.
    SettlementLost,
    /// A settlement comes twice.
    SettlementTwice,
    /// A publication is acknowledged and thrown away.
    AcknowledgedEarly,
    /// A publication is acknowledged under another token.
    AcceptedForAnother,
    /// An acceptance is lost.
    AcceptanceLost,
    /// A delivery to a subscriber is lost.
    DeliveryLost,
    /// Two deliveries to a subscriber change places.
    DeliveriesSwapped,
    /// A Released batch is taken for an accepted one.
    ReleasedTakenForAccepted,
    /// A flow's credit counts twice.
    CreditDoubled,
    /// A flow's credit is lost.
    CreditLost,
    /// A session is parked with another Packet Identifier for a delivery in flight.
    PacketIdentifierForgotten,
    /// A session is parked without a delivery whose PUBREL is to be sent again.
    PubrelNotResent,
    /// A session is parked without a Packet Identifier of a `QoS` 2 publication that was accepted.
    ReceivedForgotten,
    /// A session is parked with two deliveries in flight in the wrong order.
    ResentOutOfOrder,
    /// A session is parked without a delivery in flight.
    InFlightLost,
    /// A session is parked without a delivery that waited.
    WaitingLost,
    /// A session that was parked is not given to the next connection.
    SessionForgotten,
    /// A Will is published although its session was continued.
    WillThoughResumed,
    /// A Will is not published.
    WillLost,
    /// A Will is published twice.
    WillTwice,
    /// A message of `QoS` 0 is kept for a subscriber that was away.
    QosZeroThoughAway,
    /// A partition does not hear that a session has a connection again.
    ResumeLost,
    /// A partition does not hear that a session has lost its connection.
    SuspendLost,
    /// A partition does not hear that a session has ended.
    EndSessionLost,
}

impl Mutation {
    /// All kinds.
    pub const ALL: [Self; 29] = [
        Self::RecordDropped,
        Self::EventsSwapped,
        Self::EventIdChanged,
        Self::EventDuplicated,
        Self::CursorTooFar,
        Self::SettlementLost,
        Self::SettlementTwice,
        Self::AcknowledgedEarly,
        Self::AcceptedForAnother,
        Self::AcceptanceLost,
        Self::DeliveryLost,
        Self::DeliveriesSwapped,
        Self::ReleasedTakenForAccepted,
        Self::CreditDoubled,
        Self::CreditLost,
        Self::PacketIdentifierForgotten,
        Self::PubrelNotResent,
        Self::ReceivedForgotten,
        Self::ResentOutOfOrder,
        Self::InFlightLost,
        Self::WaitingLost,
        Self::SessionForgotten,
        Self::WillThoughResumed,
        Self::WillLost,
        Self::WillTwice,
        Self::QosZeroThoughAway,
        Self::ResumeLost,
        Self::SuspendLost,
        Self::EndSessionLost,
    ];
}

/// Does one kind of damage, at the first occasion after a time.
#[derive(Debug)]
pub(crate) struct Mutator {
    mutation: Option<Mutation>,
    not_before: Instant,
    /// An answer that the damage makes up, to be sent along.
    pub(crate) extra: Vec<Envelope>,
    pub(crate) is_done: bool,
    memory: SessionMemory,
}

impl Mutator {
    pub(crate) fn new(mutation: Option<Mutation>, not_before: Instant, partitions_count: u16) -> Self {
        let memory = SessionMemory::new(partitions_count);
        Self { mutation, not_before, extra: Vec::new(), is_done: false, memory }
    }

    /// Whether the next Released outcome is to be taken for an accepted one.
    pub(crate) fn takes_released_for_accepted(&mut self, now: Instant) -> bool {
        let does = self.mutation == Some(Mutation::ReleasedTakenForAccepted) && !self.is_done && now >= self.not_before;
        self.is_done |= does;
        does
    }

    pub(crate) fn pass(&mut self, envelope: Envelope, now: Instant) -> Option<Envelope> {
        let Some(mutation) = self.mutation.filter(|_| !self.is_done && now >= self.not_before) else {
            return Some(envelope);
        };
        let mut envelope = envelope;
        let fate = if is_of_sessions(mutation) {
            self.memory.damage(mutation, &mut envelope, &mut self.extra)
        } else {
            damage(mutation, &mut envelope, &mut self.extra)
        };
        self.is_done = fate != Fate::Untouched && mutation != Mutation::DeliveriesSwapped;
        (fate != Fate::Lost).then_some(envelope)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Untouched,
    Changed,
    Lost,
}

fn damage(mutation: Mutation, envelope: &mut Envelope, extra: &mut Vec<Envelope>) -> Fate {
    match (mutation, &mut *envelope) {
        (Mutation::RecordDropped, Envelope::Flow(_, dataflow::Message::Records { records, .. }))
            if records.len() > 1 =>
        {
            records.remove(0);
            Fate::Changed
        }
        (Mutation::EventsSwapped, Envelope::Batcher(_, egress_batcher::Message::Publish(events))) => {
            swap_events(events)
        }
        (Mutation::EventIdChanged, Envelope::Batcher(_, egress_batcher::Message::Publish(events))) => {
            events[0].id.offset.0 += 1_000_000;
            Fate::Changed
        }
        (Mutation::EventDuplicated, Envelope::Batcher(_, egress_batcher::Message::Publish(events))) => {
            let mut again = events[0].clone();
            again.id.epoch.0 += 1;
            events.push(again);
            Fate::Changed
        }
        (Mutation::CursorTooFar, Envelope::Partition(_, broker_partition::Message::FlowSettled { offsets, .. })) => {
            let last = offsets.last_mut().expect("a settlement has a range");
            last.end = last.end.next();
            Fate::Changed
        }
        (Mutation::SettlementTwice, Envelope::Partition(_, broker_partition::Message::FlowSettled { .. })) => {
            extra.push(envelope.clone());
            Fate::Changed
        }
        (Mutation::SettlementLost, Envelope::Partition(_, broker_partition::Message::FlowSettled { .. }))
        | (Mutation::CreditLost, Envelope::Partition(_, broker_partition::Message::FlowCredit { .. }))
        | (Mutation::AcceptanceLost, Envelope::Connection(_, mqtt_connection::Message::Accepted { .. })) => Fate::Lost,
        (
            Mutation::AcknowledgedEarly,
            Envelope::Partition(_, broker_partition::Message::Publish { publisher, token, .. }),
        ) if !matches!(publisher, contract::Publisher::Will(_)) => {
            extra.push(accepted(*publisher, *token));
            Fate::Lost
        }
        (Mutation::AcceptedForAnother, Envelope::Connection(_, mqtt_connection::Message::Accepted { token })) => {
            *token = PublishToken(token.0 + 1);
            Fate::Changed
        }
        (Mutation::DeliveryLost, Envelope::Connection(_, mqtt_connection::Message::Deliver { deliveries, .. })) => {
            deliveries.remove(0);
            if deliveries.is_empty() { Fate::Lost } else { Fate::Changed }
        }
        (
            Mutation::DeliveriesSwapped,
            Envelope::Connection(_, mqtt_connection::Message::Deliver { deliveries, .. }),
        ) => {
            let same =
                |a: usize, b: usize| deliveries[a].publication.topic_name() == deliveries[b].publication.topic_name();
            let pair = (1..deliveries.len()).find(|index| same(index - 1, *index));
            let Some(index) = pair else { return Fate::Untouched };
            let publication = deliveries[index].publication.clone();
            deliveries[index].publication = std::mem::replace(&mut deliveries[index - 1].publication, publication);
            Fate::Changed
        }
        (Mutation::CreditDoubled, Envelope::Partition(_, broker_partition::Message::FlowCredit { credit, .. })) => {
            credit.count *= 2;
            credit.bytes *= 2;
            Fate::Changed
        }
        (_, _) => Fate::Untouched,
    }
}

fn swap_events(events: &mut [contract::Event]) -> Fate {
    let pair = (1..events.len()).find(|index| events[index - 1].key == events[*index].key);
    let Some(index) = pair else { return Fate::Untouched };
    events.swap(index - 1, index);
    Fate::Changed
}

fn accepted(publisher: contract::Publisher, token: PublishToken) -> Envelope {
    match publisher {
        contract::Publisher::OpcUa(source) => Envelope::OpcUa(source, opcua_subscription::Message::Accepted { token }),
        contract::Publisher::Connection(connection) => {
            Envelope::Connection(connection, mqtt_connection::Message::Accepted { token })
        }
        contract::Publisher::Will(_) | contract::Publisher::Server => unreachable!("it waits for no answer"),
    }
}
