//! The client's publications that partitions have not accepted yet, and the PUBACKs and PUBRECs that wait for them.

use std::collections::VecDeque;

use contract::{PartitionIndex, PublishToken};
use mqtt::{KeptTopicName, PacketIdentifier, ReasonCode, TopicName};

use crate::receipts::Receipts;

/// An emptied queue keeps room for at most so many entries, so that an idle connection stays small.
const KEPT_ENTRIES_MAX: usize = 8;

/// Batches under way to partitions, in the order of their tokens, and acknowledgements in the order of receipt.
///
/// A batch goes to one partition; acknowledgements wait for their batch and for those before them (MQTT-4.6.0-2, MQTT-4.6.0-3).
#[derive(Debug, Default)]
pub(crate) struct PublishWindow {
    batches: VecDeque<Batch>,
    first_token: u64,
    acknowledgements: VecDeque<Acknowledgement>,
    /// `QoS` 2 publications from PUBLISH to PUBREL.
    pub(crate) receipts: Receipts,
    unanswered_count: u32,
    unanswered_bytes: u64,
    pub(crate) recent_topic: RecentTopic,
}

/// The topic of the last publication: most clients publish to few, and one that is the same need not be checked again.
#[derive(Debug, Default)]
pub(crate) struct RecentTopic {
    pub(crate) name: KeptTopicName,
    /// Who owns it.
    pub(crate) partition: PartitionIndex,
}

impl RecentTopic {
    /// Keeps a topic, unless it is long.
    pub(crate) fn keep(&mut self, name: TopicName<'_>, partition: PartitionIndex) {
        if name.as_str().len() <= RECENT_TOPIC_BYTES_MAX {
            self.name.keep(name);
            self.partition = partition;
        }
    }
}

/// A longer Topic Name is not kept, so that a connection stays small.
const RECENT_TOPIC_BYTES_MAX: usize = 256;

#[derive(Debug)]
struct Batch {
    /// The Reason Code of its acknowledgements, once the partition answered.
    answer: Option<ReasonCode>,
    publications_count: u32,
    bytes: u64,
    /// Acknowledgements that wait for it.
    acknowledgements_count: u32,
}

#[derive(Debug)]
struct Acknowledgement {
    packet_identifier: PacketIdentifier,
    kind: AcknowledgementKind,
    awaits: Awaits,
}

/// Which packet acknowledges a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcknowledgementKind {
    /// Of `QoS` 1.
    Puback,
    /// Of `QoS` 2.
    Pubrec,
}

#[derive(Clone, Copy, Debug)]
enum Awaits {
    Batch(PublishToken),
    Nothing(ReasonCode),
}

impl PublishWindow {
    /// Publications that no partition has answered.
    pub(crate) const fn unanswered_count(&self) -> u32 {
        self.unanswered_count
    }

    /// Bytes of these.
    pub(crate) const fn unanswered_bytes(&self) -> u64 {
        self.unanswered_bytes
    }

    /// Acknowledgements that are owed and not written.
    pub(crate) fn owed_count(&self) -> usize {
        self.acknowledgements.len()
    }

    /// `QoS` 1 publications without PUBACK and `QoS` 2 publications without PUBCOMP: what Receive Maximum limits (MQTT 5.0 §4.9).
    pub(crate) fn unacknowledged_count(&self) -> usize {
        self.acknowledgements.len() + self.receipts.at_rest_count()
    }

    /// Opens a batch.
    pub(crate) fn open(&mut self) -> PublishToken {
        self.batches.push_back(Batch { answer: None, publications_count: 0, bytes: 0, acknowledgements_count: 0 });
        PublishToken(self.first_token + self.batches.len() as u64 - 1)
    }

    /// Adds a publication to the batch `token`; with a Packet Identifier, its acknowledgement is owed.
    pub(crate) fn add(
        &mut self,
        token: PublishToken,
        bytes: usize,
        owed: Option<(PacketIdentifier, AcknowledgementKind)>,
    ) {
        let batch = self.batch(token).expect("a batch takes publications while its step lasts");
        batch.publications_count += 1;
        batch.bytes += bytes as u64;
        batch.acknowledgements_count += u32::from(owed.is_some());
        self.unanswered_count += 1;
        self.unanswered_bytes += bytes as u64;
        if let Some((packet_identifier, kind)) = owed {
            if kind == AcknowledgementKind::Pubrec {
                self.receipts.add(packet_identifier);
            }
            let awaits = Awaits::Batch(token);
            self.acknowledgements.push_back(Acknowledgement { packet_identifier, kind, awaits });
        }
    }

    /// Owes an acknowledgement whose Reason Code needs no partition.
    pub(crate) fn add_decided(
        &mut self,
        packet_identifier: PacketIdentifier,
        kind: AcknowledgementKind,
        reason_code: ReasonCode,
    ) {
        let awaits = Awaits::Nothing(reason_code);
        self.acknowledgements.push_back(Acknowledgement { packet_identifier, kind, awaits });
    }

    /// A partition answered; says how many publications it was about and how many of them owe an acknowledgement. `None` for a
    /// token that is not under way.
    pub(crate) fn answer(&mut self, token: PublishToken, reason_code: ReasonCode) -> Option<(u32, u32)> {
        let batch = self.batch(token).filter(|batch| batch.answer.is_none())?;
        batch.answer = Some(reason_code);
        let (count, bytes, acknowledgements_count) =
            (batch.publications_count, batch.bytes, batch.acknowledgements_count);
        self.unanswered_count -= count;
        self.unanswered_bytes -= bytes;
        Some((count, acknowledgements_count))
    }

    /// Takes the next acknowledgement that may be written.
    pub(crate) fn next_acknowledgement(&mut self) -> Option<(PacketIdentifier, AcknowledgementKind, ReasonCode)> {
        let &Acknowledgement { packet_identifier, kind, awaits } = self.acknowledgements.front()?;
        let reason_code = match awaits {
            Awaits::Nothing(reason_code) => reason_code,
            Awaits::Batch(token) => {
                let batch = self.batch(token).expect("a batch stays until its acknowledgements are written");
                let reason_code = batch.answer?;
                batch.acknowledgements_count -= 1;
                reason_code
            }
        };
        self.acknowledgements.pop_front();
        if kind == AcknowledgementKind::Pubrec {
            self.receipts.answered(packet_identifier, !reason_code.is_failure());
        }
        Some((packet_identifier, kind, reason_code))
    }

    /// Whether a `QoS` 2 publication waits for a partition.
    pub(crate) fn awaits_receipts(&self) -> bool {
        self.acknowledgements.iter().any(|owed| {
            let Awaits::Batch(token) = owed.awaits else { return false };
            owed.kind == AcknowledgementKind::Pubrec && self.answer_of(token).is_none()
        })
    }

    /// The Packet Identifiers of `QoS` 2 publications that were accepted and not released, in the order of receipt: what is parked.
    /// Those that no partition accepted are sent again by the client.
    pub(crate) fn park(mut self) -> Vec<u16> {
        for owed in std::mem::take(&mut self.acknowledgements) {
            if owed.kind == AcknowledgementKind::Pubrec {
                let answer = match owed.awaits {
                    Awaits::Nothing(reason_code) => Some(reason_code),
                    Awaits::Batch(token) => self.answer_of(token),
                };
                let is_accepted = answer.is_some_and(|reason_code| !reason_code.is_failure());
                self.receipts.answered(owed.packet_identifier, is_accepted);
            }
        }
        self.receipts.into_identifiers()
    }

    /// Forgets batches that are answered and acknowledged.
    pub(crate) fn forget_settled(&mut self) {
        while self.batches.front().is_some_and(|batch| batch.answer.is_some() && batch.acknowledgements_count == 0) {
            self.batches.pop_front();
            self.first_token += 1;
        }
        if self.batches.is_empty() && self.batches.capacity() > KEPT_ENTRIES_MAX {
            self.batches = VecDeque::new();
        }
        if self.acknowledgements.is_empty() && self.acknowledgements.capacity() > KEPT_ENTRIES_MAX {
            self.acknowledgements = VecDeque::new();
        }
    }

    fn answer_of(&self, token: PublishToken) -> Option<ReasonCode> {
        let index = usize::try_from(token.0.checked_sub(self.first_token)?).ok()?;
        self.batches.get(index)?.answer
    }

    fn batch(&mut self, token: PublishToken) -> Option<&mut Batch> {
        let index = usize::try_from(token.0.checked_sub(self.first_token)?).ok()?;
        self.batches.get_mut(index)
    }
}
