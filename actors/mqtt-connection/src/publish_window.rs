//! The client's publications that partitions have not accepted yet, and the PUBACKs that wait for them.

use std::collections::VecDeque;

use contract::PublishToken;
use mqtt::{PacketIdentifier, ReasonCode};

/// An emptied queue keeps room for at most so many entries, so that an idle connection stays small.
const KEPT_ENTRIES_MAX: usize = 8;

/// Batches under way to partitions, in the order of their tokens, and acknowledgements in the order of receipt.
///
/// A batch goes to one partition; PUBACKs wait for their batch and for those before them (MQTT-4.6.0-2).
#[derive(Debug, Default)]
pub(crate) struct PublishWindow {
    batches: VecDeque<Batch>,
    first_token: u64,
    acknowledgements: VecDeque<Acknowledgement>,
    unanswered_count: u32,
    unanswered_bytes: u64,
}

#[derive(Debug)]
struct Batch {
    /// The Reason Code of its PUBACKs, once the partition answered.
    answer: Option<ReasonCode>,
    publications_count: u32,
    bytes: u64,
    /// PUBACKs that wait for it.
    acknowledgements_count: u32,
}

#[derive(Debug)]
struct Acknowledgement {
    packet_identifier: PacketIdentifier,
    awaits: Awaits,
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

    /// `QoS` 1 publications without PUBACK.
    pub(crate) fn unacknowledged_count(&self) -> usize {
        self.acknowledgements.len()
    }

    /// Opens a batch.
    pub(crate) fn open(&mut self) -> PublishToken {
        self.batches.push_back(Batch { answer: None, publications_count: 0, bytes: 0, acknowledgements_count: 0 });
        PublishToken(self.first_token + self.batches.len() as u64 - 1)
    }

    /// Adds a publication to the batch `token`; with a Packet Identifier, its PUBACK is owed.
    pub(crate) fn add(&mut self, token: PublishToken, bytes: usize, packet_identifier: Option<PacketIdentifier>) {
        let batch = self.batch(token).expect("a batch takes publications while its step lasts");
        batch.publications_count += 1;
        batch.bytes += bytes as u64;
        batch.acknowledgements_count += u32::from(packet_identifier.is_some());
        self.unanswered_count += 1;
        self.unanswered_bytes += bytes as u64;
        if let Some(packet_identifier) = packet_identifier {
            self.acknowledgements.push_back(Acknowledgement { packet_identifier, awaits: Awaits::Batch(token) });
        }
    }

    /// Owes a PUBACK whose Reason Code needs no partition.
    pub(crate) fn add_decided(&mut self, packet_identifier: PacketIdentifier, reason_code: ReasonCode) {
        self.acknowledgements.push_back(Acknowledgement { packet_identifier, awaits: Awaits::Nothing(reason_code) });
    }

    /// A partition answered; says how many publications it was about and how many of them owe a PUBACK. `None` for a token
    /// that is not under way.
    pub(crate) fn answer(&mut self, token: PublishToken, reason_code: ReasonCode) -> Option<(u32, u32)> {
        let batch = self.batch(token).filter(|batch| batch.answer.is_none())?;
        batch.answer = Some(reason_code);
        let (count, bytes, acknowledgements_count) =
            (batch.publications_count, batch.bytes, batch.acknowledgements_count);
        self.unanswered_count -= count;
        self.unanswered_bytes -= bytes;
        Some((count, acknowledgements_count))
    }

    /// Takes the next PUBACK that may be written.
    pub(crate) fn next_acknowledgement(&mut self) -> Option<(PacketIdentifier, ReasonCode)> {
        let next = self.acknowledgements.front()?;
        let packet_identifier = next.packet_identifier;
        let reason_code = match next.awaits {
            Awaits::Nothing(reason_code) => reason_code,
            Awaits::Batch(token) => {
                let batch = self.batch(token).expect("a batch stays until its PUBACKs are written");
                let reason_code = batch.answer?;
                batch.acknowledgements_count -= 1;
                reason_code
            }
        };
        self.acknowledgements.pop_front();
        Some((packet_identifier, reason_code))
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

    fn batch(&mut self, token: PublishToken) -> Option<&mut Batch> {
        let index = usize::try_from(token.0.checked_sub(self.first_token)?).ok()?;
        self.batches.get_mut(index)
    }
}
