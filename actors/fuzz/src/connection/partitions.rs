//! The partitions of a connection, as their contract has them: credit, deliveries, and what rests while nobody is connected.

use std::collections::BTreeSet;
use std::ops::Range;

use contract::{
    Credit, Delivery, DeliveryNumber, DeliveryStage, Instant, MESSAGE_EXPIRY_NEVER, PartitionIndex, Publication,
    PublicationArena, PublicationDraft, QoS, SessionState, UtcTime,
};

use crate::choices::Choices;

/// What one partition has sent, and may send.
#[derive(Clone, Debug, Default)]
struct Partition {
    credit: Credit,
    next_number: u64,
    unsettled: BTreeSet<u64>,
    is_suspended: bool,
}

/// All partitions of a session.
#[derive(Clone, Debug)]
pub(super) struct Partitions(Vec<Partition>);

impl Partitions {
    pub(super) fn new(count: u16) -> Self {
        Self(vec![Partition::default(); usize::from(count)])
    }

    /// The session has a connection again.
    pub(super) fn resume(&mut self) {
        self.0.iter_mut().for_each(|partition| partition.is_suspended = false);
    }

    /// One partition takes its leave of the connection.
    pub(super) fn suspend(&mut self, partition: PartitionIndex) {
        self.0[usize::from(partition.0)].is_suspended = true;
    }

    pub(super) fn give(&mut self, partition: PartitionIndex, more: Credit) {
        let credit = &mut self.0[usize::from(partition.0)].credit;
        credit.count += more.count;
        credit.bytes += more.bytes;
    }

    /// As many deliveries of one partition as are wanted and its credit allows.
    pub(super) fn deliver(&mut self, choices: &mut Choices<'_>, now: Instant) -> (PartitionIndex, Vec<Delivery>) {
        let qos = choices.pick(&[QoS::AtLeastOnce, QoS::AtMostOnce, QoS::ExactlyOnce]);
        let count = 1 + choices.below(40);
        let payload_bytes = choices.pick(&[4, 0, 60, 20_000]);
        let message_expiry_s = choices.pick(&[None, Some(1), Some(0)]);
        let index = choices.below(self.0.len());
        let publication = publication(now, payload_bytes, message_expiry_s);
        let partition = &mut self.0[index];
        let mut deliveries = Vec::new();
        while deliveries.len() < count && partition.credit.allows_one() && !partition.is_suspended {
            partition.credit.spend(publication.size_bytes() as u64);
            partition.unsettled.insert(partition.next_number);
            deliveries.push(Delivery {
                number: DeliveryNumber(partition.next_number),
                offset: None,
                publication: publication.clone(),
                qos,
                retain: count % 2 == 1,
                subscription_identifiers: if count > 30 { Box::from([7, 268_435_455]) } else { Box::default() },
            });
            partition.next_number += 1;
        }
        (PartitionIndex(u16::try_from(index).expect("few")), deliveries)
    }

    /// What became of deliveries.
    pub(super) fn settle(&mut self, partition: PartitionIndex, numbers: &[Range<DeliveryNumber>]) {
        let unsettled = &mut self.0[usize::from(partition.0)].unsettled;
        assert!(numbers.windows(2).all(|pair| pair[0].end < pair[1].start), "ascending: {numbers:?}");
        for number in numbers.iter().flat_map(|range| range.start.0..range.end.0) {
            assert!(unsettled.remove(&number), "{number} is settled once");
        }
    }

    /// The most that one partition has under way or may send.
    pub(super) fn under_way_max(&self) -> usize {
        let under_way = |partition: &Partition| partition.credit.count as usize + partition.unsettled.len();
        self.0.iter().map(under_way).max().unwrap_or(0)
    }

    /// The state that a connection left has everything that it had, and nothing else.
    pub(super) fn check_parked(&self, state: &SessionState) {
        if state.credits.is_empty() {
            assert!(self.0.iter().all(|partition| partition.credit == Credit::default()), "credit is left behind");
            assert!(state.in_flight.is_empty() && state.waiting.is_empty());
            return;
        }
        assert!(self.0.iter().map(|partition| &partition.credit).eq(&state.credits), "the credit that is left");
        let mut parked = vec![BTreeSet::new(); self.0.len()];
        let in_flight = state.in_flight.iter().filter_map(|parked| match &parked.stage {
            DeliveryStage::Published(delivery) => Some((parked.partition, delivery.number)),
            DeliveryStage::Released(_) => None,
        });
        let waiting = state.waiting.iter().map(|(partition, delivery)| (*partition, delivery.number));
        for (partition, number) in in_flight.chain(waiting) {
            assert!(parked[usize::from(partition.0)].insert(number.0), "{number:?} is parked once");
        }
        assert!(self.0.iter().map(|partition| &partition.unsettled).eq(&parked), "what is not settled is parked");
        let identifiers: BTreeSet<u16> = state.in_flight.iter().map(|parked| parked.packet_identifier).collect();
        assert_eq!(identifiers.len(), state.in_flight.len(), "each has a Packet Identifier of its own");
        assert!(!identifiers.contains(&0));
    }
}

fn publication(now: Instant, payload_bytes: usize, message_expiry_s: Option<u32>) -> Publication {
    let draft = PublicationDraft {
        topic_name: "a/b",
        properties: &[0x26, 0, 1, b'k', 0, 1, b'v'],
        qos: QoS::ExactlyOnce,
        retain: false,
        message_expiry_s: message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
        received_at: now,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(1_024);
    let mut builder = arena.begin(&draft);
    builder.put(&vec![7; payload_bytes]);
    builder.finish(1)
}
