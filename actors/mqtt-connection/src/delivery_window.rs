//! The deliveries under way to one client: credit of each partition, Packet Identifiers, and what waits to be sent.

use std::collections::VecDeque;

use contract::{Credit, Delivery, DeliveryNumber, PartitionIndex};
use mqtt::PacketIdentifier;

/// Packet Identifiers are 1 to 65,535 in turn.
const PACKET_IDENTIFIERS_COUNT: u64 = 65_535;

/// Everything about deliveries of a client that subscribed; others do not have it.
#[derive(Debug)]
pub(crate) struct DeliveryWindow {
    /// By partition.
    shares: Box<[Share]>,
    /// Partitions that have their first credit: those below.
    pub(crate) credited_until: u16,
    /// What one partition may have under way at most.
    share_max: Credit,
    /// In the order of arrival.
    pub(crate) waiting: VecDeque<(PartitionIndex, Delivery)>,
    /// `QoS` 1 deliveries without PUBACK, in the order of their Packet Identifiers; `None`: acknowledged before an older one.
    in_flight: VecDeque<Option<InFlight>>,
    /// How many Packet Identifiers were used before the first one in flight.
    first_sequence: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// Credit that the partition has, or that is on its way to it.
    given: Credit,
    /// Deliveries that came and are not settled.
    unsettled: Credit,
}

/// A `QoS` 1 delivery that the client has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) partition: PartitionIndex,
    pub(crate) number: DeliveryNumber,
    pub(crate) bytes: u64,
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
        }
    }

    /// A delivery came; its credit is spent.
    ///
    /// # Panics
    /// When the partition had no credit for it.
    pub(crate) fn arrive(&mut self, partition: PartitionIndex, delivery: Delivery) {
        let bytes = delivery.publication.size_bytes() as u64;
        let share = &mut self.shares[usize::from(partition.0)];
        share.given.spend(bytes);
        share.unsettled.count += 1;
        share.unsettled.bytes += bytes;
        self.waiting.push_back((partition, delivery));
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

    /// Packet Identifiers from the oldest in flight to the newest; what the client's Receive Maximum limits. A client that
    /// acknowledges out of order (it must not, MQTT-4.6.0-2) waits for its own oldest one.
    pub(crate) fn in_flight_span(&self) -> usize {
        self.in_flight.len()
    }

    /// Gives a delivery its Packet Identifier.
    pub(crate) fn send(&mut self, in_flight: InFlight) -> PacketIdentifier {
        let sequence = self.first_sequence + self.in_flight.len() as u64;
        self.in_flight.push_back(Some(in_flight));
        let number = u16::try_from(sequence % PACKET_IDENTIFIERS_COUNT + 1).expect("at most 65,535");
        PacketIdentifier::new(number).expect("at least 1")
    }

    /// The client acknowledged; `None` where nothing in flight has that Packet Identifier.
    pub(crate) fn acknowledge(&mut self, packet_identifier: PacketIdentifier) -> Option<InFlight> {
        let place = u64::from(packet_identifier.get() - 1);
        let first = self.first_sequence % PACKET_IDENTIFIERS_COUNT;
        let index = (place + PACKET_IDENTIFIERS_COUNT - first) % PACKET_IDENTIFIERS_COUNT;
        let in_flight = self.in_flight.get_mut(usize::try_from(index).ok()?)?.take()?;
        while let Some(None) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first_sequence += 1;
        }
        Some(in_flight)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(number: u64) -> InFlight {
        InFlight { partition: PartitionIndex(0), number: DeliveryNumber(number), bytes: 1 }
    }

    #[test]
    fn packet_identifiers_skip_zero_when_they_start_again() {
        let mut window = DeliveryWindow::new(Credit { count: 1, bytes: 1 }, 1);
        for number in 0..200_000_u64 {
            let packet_identifier = window.send(in_flight(number));
            assert_eq!(u64::from(packet_identifier.get()), number % 65_535 + 1);
            assert_eq!(window.acknowledge(packet_identifier).map(|each| each.number), Some(DeliveryNumber(number)));
            assert!(window.acknowledge(packet_identifier).is_none());
        }
    }

    #[test]
    fn a_client_that_acknowledges_out_of_order_waits_for_its_oldest() {
        let mut window = DeliveryWindow::new(Credit { count: 9, bytes: 9 }, 1);
        let sent: Vec<PacketIdentifier> = (0..3).map(|number| window.send(in_flight(number))).collect();
        assert!(window.acknowledge(sent[2]).is_some());
        assert!(window.acknowledge(sent[1]).is_some());
        assert_eq!(window.in_flight_span(), 3);
        assert!(window.acknowledge(sent[0]).is_some());
        assert_eq!(window.in_flight_span(), 0);
    }
}
