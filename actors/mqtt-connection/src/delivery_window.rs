//! The deliveries under way to one client: credit of each partition, Packet Identifiers and stages, and what waits to be sent.

use std::collections::{BTreeSet, VecDeque};

use contract::{Credit, Delivery, DeliveryNumber, PartitionIndex, QoS};
use mqtt::PacketIdentifier;

/// Packet Identifiers are 1 to 65,535 in turn.
pub(crate) const PACKET_IDENTIFIERS_COUNT: u64 = 65_535;

/// Everything about deliveries of a client that subscribed; others do not have it.
#[derive(Debug)]
pub(crate) struct DeliveryWindow {
    /// By partition.
    pub(crate) shares: Box<[Share]>,
    /// Partitions that have their first credit: those below.
    pub(crate) credited_until: u16,
    /// What one partition may have under way at most.
    share_max: Credit,
    /// In the order of arrival.
    pub(crate) waiting: VecDeque<(PartitionIndex, Delivery)>,
    /// Exchanges that are not complete, in the order of their Packet Identifiers; `None`: complete before an older one.
    pub(crate) in_flight: VecDeque<Option<InFlight>>,
    /// How many Packet Identifiers were used before the first one in flight.
    pub(crate) first_sequence: u64,
    /// Exchanges that were begun or continued over this connection and are not complete: what the client's Receive Maximum
    /// limits.
    open_count: usize,
    /// Exchanges of an earlier connection below `resend_at` were sent again; those up to `resend_end` are to be.
    pub(crate) resend_at: u64,
    pub(crate) resend_end: u64,
    /// The client's Topic Filters as it wrote them; bounded by subscriptions per client.
    pub(crate) topic_filters: BTreeSet<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Credit that the partition has, or that is on its way to it.
    pub(crate) given: Credit,
    /// Deliveries that came and are not settled.
    pub(crate) unsettled: Credit,
}

/// A delivery of `QoS` 1 or 2 whose exchange with the client is not complete.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) partition: PartitionIndex,
    pub(crate) number: DeliveryNumber,
    pub(crate) bytes: u64,
    pub(crate) qos: QoS,
    /// `QoS` 2: PUBREC came, and PUBCOMP is awaited.
    pub(crate) is_released: bool,
    /// What the next connection sends again; `None` where the session ends with this one.
    pub(crate) delivery: Option<Delivery>,
}

/// A delivery that is settled, as its partition knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) partition: PartitionIndex,
    pub(crate) number: DeliveryNumber,
    pub(crate) bytes: u64,
}

impl InFlight {
    fn settled(&self) -> Settled {
        Settled { partition: self.partition, number: self.number, bytes: self.bytes }
    }
}

/// What an acknowledgement of the client means.
#[derive(Debug)]
pub(crate) enum Acknowledged {
    /// The delivery is settled.
    Settled(Settled),
    /// It was settled before, and the exchange goes on as before.
    Again,
    /// Nothing in flight has that Packet Identifier.
    Unknown,
    /// The exchange under way with that Packet Identifier wants another packet.
    OutOfPlace,
}

impl DeliveryWindow {
    /// Shares `total` among `partitions_count` partitions, at least 1 record and 1 byte each.
    pub(crate) fn new(total: Credit, partitions_count: u16) -> Self {
        let share_max = Credit {
            count: (total.count / u32::from(partitions_count)).max(1),
            bytes: (total.bytes / u64::from(partitions_count)).max(1),
        };
        Self {
            shares: vec![Share::default(); usize::from(partitions_count)].into(),
            credited_until: 0,
            share_max,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            first_sequence: 0,
            open_count: 0,
            resend_at: 0,
            resend_end: 0,
            topic_filters: BTreeSet::new(),
        }
    }

    /// A delivery came; its credit is spent.
    ///
    /// # Panics
    /// When the partition had no credit for it.
    pub(crate) fn arrive(&mut self, partition: PartitionIndex, delivery: Delivery) {
        let bytes = delivery.publication.size_bytes() as u64;
        self.shares[usize::from(partition.0)].given.spend(bytes);
        self.hold(partition, bytes);
        self.waiting.push_back((partition, delivery));
    }

    /// A delivery is here and not settled.
    pub(crate) fn hold(&mut self, partition: PartitionIndex, bytes: u64) {
        let unsettled = &mut self.shares[usize::from(partition.0)].unsettled;
        unsettled.count += 1;
        unsettled.bytes += bytes;
    }

    /// A delivery is settled.
    pub(crate) fn settle(&mut self, partition: PartitionIndex, bytes: u64) {
        let unsettled = &mut self.shares[usize::from(partition.0)].unsettled;
        unsettled.count -= 1;
        unsettled.bytes -= bytes;
    }

    /// What is to be added to a partition's credit: all that its share lacks, once that is half of it.
    pub(crate) fn refill(&mut self, partition: PartitionIndex) -> Option<Credit> {
        let share = &mut self.shares[usize::from(partition.0)];
        let lack = Credit {
            count: self.share_max.count.saturating_sub(share.given.count + share.unsettled.count),
            bytes: self.share_max.bytes.saturating_sub(share.given.bytes + share.unsettled.bytes),
        };
        if lack.count < self.share_max.count.div_ceil(2) && lack.bytes < self.share_max.bytes.div_ceil(2) {
            return None;
        }
        share.given.count += lack.count;
        share.given.bytes += lack.bytes;
        Some(lack)
    }

    /// Whether one more exchange may begin where `window_max` may be open: at most so many are, and from the oldest Packet
    /// Identifier in flight to the newest it is at most twice as far, so that a client that leaves its oldest unacknowledged (it
    /// must not, MQTT-4.6.0-2) waits for itself in bounded memory.
    pub(crate) fn allows_one(&self, window_max: usize) -> bool {
        let span_max = (2 * window_max).min(usize::from(u16::MAX) - 1);
        self.allows_resend(window_max) && self.in_flight.len() < span_max
    }

    /// Whether one more exchange of an earlier connection may go on where `window_max` may be open.
    pub(crate) fn allows_resend(&self, window_max: usize) -> bool {
        self.open_count < window_max
    }

    /// The Packet Identifier of what is sent next.
    pub(crate) fn next_packet_identifier(&self) -> PacketIdentifier {
        packet_identifier_of(self.first_sequence + self.in_flight.len() as u64)
    }

    /// A delivery was sent with the next Packet Identifier, which is answered.
    pub(crate) fn send(&mut self, in_flight: InFlight) -> PacketIdentifier {
        let packet_identifier = self.next_packet_identifier();
        self.in_flight.push_back(Some(in_flight));
        self.open_count += 1;
        packet_identifier
    }

    /// The next exchange of an earlier connection that is to go on over this one; it is open once [`DeliveryWindow::reopen`] says
    /// so.
    pub(crate) fn next_resend(&mut self) -> Option<(PacketIdentifier, &InFlight)> {
        self.resend_at = self.resend_at.max(self.first_sequence);
        while self.resend_at < self.resend_end {
            let index = usize::try_from(self.resend_at - self.first_sequence).expect("within the queue");
            if self.in_flight[index].is_some() {
                let in_flight = self.in_flight[index].as_ref().expect("just seen");
                return Some((packet_identifier_of(self.resend_at), in_flight));
            }
            self.resend_at += 1;
        }
        None
    }

    /// What [`DeliveryWindow::next_resend`] named was sent again.
    pub(crate) fn reopen(&mut self) {
        self.resend_at += 1;
        self.open_count += 1;
    }

    /// What [`DeliveryWindow::next_resend`] named is given up.
    pub(crate) fn give_up_resend(&mut self) {
        let index = self.resend_at.checked_sub(self.first_sequence).and_then(|index| usize::try_from(index).ok());
        let Some(index) = index else { return };
        self.resend_at += 1;
        let Some(given_up) = self.in_flight.get_mut(index) else { return };
        *given_up = None;
        self.forget_complete();
    }

    /// PUBACK came.
    pub(crate) fn acknowledge(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        let index = self.index_of(packet_identifier);
        match self.find(index) {
            None => Acknowledged::Unknown,
            Some(in_flight) if in_flight.qos == QoS::ExactlyOnce => Acknowledged::OutOfPlace,
            Some(_) => self.complete(index),
        }
    }

    /// PUBREC came; with a failure it ends the exchange (MQTT 5.0 §4.3.3).
    pub(crate) fn receive(&mut self, packet_identifier: PacketIdentifier, is_failure: bool) -> Acknowledged {
        let index = self.index_of(packet_identifier);
        let Some(in_flight) = self.find(index) else { return Acknowledged::Unknown };
        match (in_flight.qos, in_flight.is_released) {
            (QoS::ExactlyOnce, true) => Acknowledged::Again,
            (QoS::ExactlyOnce, false) if is_failure => self.complete(index),
            (QoS::ExactlyOnce, false) => {
                in_flight.is_released = true;
                in_flight.delivery = None;
                Acknowledged::Settled(in_flight.settled())
            }
            (QoS::AtMostOnce | QoS::AtLeastOnce, _) => Acknowledged::OutOfPlace,
        }
    }

    /// PUBCOMP came: the exchange is complete.
    pub(crate) fn finish(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        let index = self.index_of(packet_identifier);
        match self.find(index) {
            None => Acknowledged::Unknown,
            Some(in_flight) if in_flight.is_released => {
                self.complete(index);
                Acknowledged::Again
            }
            Some(_) => Acknowledged::OutOfPlace,
        }
    }

    /// What is in flight over this connection at that place.
    fn find(&mut self, index: usize) -> Option<&mut InFlight> {
        if self.is_to_be_resent(index) {
            return None;
        }
        self.in_flight.get_mut(index)?.as_mut()
    }

    fn complete(&mut self, index: usize) -> Acknowledged {
        let Some(place) = self.in_flight.get_mut(index) else { return Acknowledged::Unknown };
        let Some(settled) = place.as_ref().map(InFlight::settled) else { return Acknowledged::Unknown };
        *place = None;
        self.open_count -= 1;
        if index == 0 {
            self.forget_complete();
        }
        Acknowledged::Settled(settled)
    }

    fn forget_complete(&mut self) {
        while let Some(None) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first_sequence += 1;
        }
    }

    fn is_to_be_resent(&self, index: usize) -> bool {
        let sequence = self.first_sequence + index as u64;
        self.resend_at <= sequence && sequence < self.resend_end
    }

    fn index_of(&self, packet_identifier: PacketIdentifier) -> usize {
        self.index_of_place(u64::from(packet_identifier.get() - 1))
    }

    /// How far behind the first one in flight the next Packet Identifier stands whose place among all, from 0, is `place`.
    pub(crate) fn index_of_place(&self, place: u64) -> usize {
        let first = self.first_sequence % PACKET_IDENTIFIERS_COUNT;
        let index = (place + PACKET_IDENTIFIERS_COUNT - first) % PACKET_IDENTIFIERS_COUNT;
        usize::try_from(index).expect("at most 65,534")
    }

    /// Gives back the room of queues that are empty.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        if self.in_flight.is_empty() && self.in_flight.capacity() > 8 {
            self.in_flight = VecDeque::new();
        }
    }
}

/// The Packet Identifier after so many others.
pub(crate) fn packet_identifier_of(sequence: u64) -> PacketIdentifier {
    let number = u16::try_from(sequence % PACKET_IDENTIFIERS_COUNT + 1).expect("at most 65,535");
    PacketIdentifier::new(number).expect("at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(number: u64) -> InFlight {
        InFlight {
            partition: PartitionIndex(0),
            number: DeliveryNumber(number),
            bytes: 1,
            qos: QoS::AtLeastOnce,
            is_released: false,
            delivery: None,
        }
    }

    #[test]
    fn packet_identifiers_skip_zero_when_they_start_again() {
        let mut window = DeliveryWindow::new(Credit { count: 1, bytes: 1 }, 1);
        for number in 0..200_000_u64 {
            let packet_identifier = window.send(in_flight(number));
            assert_eq!(u64::from(packet_identifier.get()), number % 65_535 + 1);
            assert!(
                matches!(window.acknowledge(packet_identifier), Acknowledged::Settled(each) if each.number.0 == number)
            );
            assert!(matches!(window.acknowledge(packet_identifier), Acknowledged::Unknown));
        }
    }

    #[test]
    fn a_client_that_leaves_its_oldest_unacknowledged_waits_for_it_at_twice_its_window() {
        let mut window = DeliveryWindow::new(Credit { count: 9, bytes: 9 }, 1);
        let oldest = window.send(in_flight(0));
        let mut sent_count = 1;
        while window.allows_one(3) {
            let packet_identifier = window.send(in_flight(sent_count));
            assert!(matches!(window.acknowledge(packet_identifier), Acknowledged::Settled(_)));
            sent_count += 1;
        }
        assert_eq!(sent_count, 6);
        assert!(matches!(window.acknowledge(oldest), Acknowledged::Settled(_)));
        assert!(window.allows_one(3) && window.in_flight.is_empty());
    }

    #[test]
    fn the_packets_of_a_qos_2_exchange_have_their_order() {
        let mut window = DeliveryWindow::new(Credit { count: 9, bytes: 9 }, 1);
        let id = window.send(InFlight { qos: QoS::ExactlyOnce, ..in_flight(0) });
        assert!(matches!(window.acknowledge(id), Acknowledged::OutOfPlace));
        assert!(matches!(window.finish(id), Acknowledged::OutOfPlace));
        assert!(matches!(window.receive(id, false), Acknowledged::Settled(_)));
        assert!(matches!(window.receive(id, true), Acknowledged::Again));
        assert!(!window.allows_one(1), "PUBCOMP is awaited");
        assert!(matches!(window.finish(id), Acknowledged::Again));
        assert!(matches!(window.finish(id), Acknowledged::Unknown));
        assert!(window.allows_one(1));
    }
}
