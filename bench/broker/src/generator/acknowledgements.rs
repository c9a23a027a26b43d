//! A publisher's QoS 1 messages that wait for PUBACK, and which of all were acknowledged.

use std::collections::BTreeSet;

/// Packet Identifiers (MQTT §2.2.1): 1 to this, in turn.
const IDENTIFIERS_COUNT: u64 = 65_535;
/// Refused messages that are remembered; more are counted and forgotten.
const REFUSED_MAX: usize = 65_536;

/// The Packet Identifier of a publisher's message.
pub(crate) fn identifier(sequence: u64) -> u16 {
    u16::try_from(sequence % IDENTIFIERS_COUNT + 1).expect("the remainder is below 65,535")
}

/// What one publisher has in flight.
#[derive(Debug)]
pub(crate) struct Acknowledgements {
    /// A bit for each Packet Identifier: set while PUBACK is awaited.
    waiting: Box<[u64]>,
    waiting_count: u16,
    /// Messages refused with a Reason Code from 0x80 on.
    refused: BTreeSet<u64>,
    refused_count: u64,
    /// PUBACKs of messages that waited for none.
    strays_count: u64,
}

impl Acknowledgements {
    /// Nothing in flight.
    pub(crate) fn new() -> Self {
        Self {
            waiting: vec![0; 1_024].into(),
            waiting_count: 0,
            refused: BTreeSet::new(),
            refused_count: 0,
            strays_count: 0,
        }
    }

    /// Messages that wait for PUBACK.
    pub(crate) fn waiting_count(&self) -> u16 {
        self.waiting_count
    }

    /// Messages that the broker refused.
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused_count
    }

    /// PUBACKs that nobody waited for.
    pub(crate) fn strays_count(&self) -> u64 {
        self.strays_count
    }

    /// Whether message `sequence` may be published within `window`.
    #[inline]
    pub(crate) fn is_free(&self, sequence: u64, window: u16) -> bool {
        self.waiting_count < window && !self.is_waiting(identifier(sequence))
    }

    /// Message `sequence` goes out. It must be free.
    #[inline]
    pub(crate) fn publish(&mut self, sequence: u64) {
        let identifier = usize::from(identifier(sequence));
        self.waiting[identifier / 64] |= 1 << (identifier % 64);
        self.waiting_count += 1;
    }

    /// PUBACK came. `published` is how many messages went out so far.
    #[inline]
    pub(crate) fn acknowledge(&mut self, packet_identifier: u16, reason_code: u8, published: u64) {
        if !self.is_waiting(packet_identifier) {
            self.strays_count += 1;
            return;
        }
        let at = usize::from(packet_identifier);
        self.waiting[at / 64] &= !(1 << (at % 64));
        self.waiting_count -= 1;
        if reason_code >= 0x80 {
            self.refused_count += 1;
            if self.refused.len() < REFUSED_MAX {
                self.refused.extend(newest_with(packet_identifier, published));
            }
        }
    }

    /// Whether the broker acknowledged message `sequence` of the `published` ones.
    pub(crate) fn is_acknowledged(&self, sequence: u64, published: u64) -> bool {
        let identifier = identifier(sequence);
        let waits = self.is_waiting(identifier) && newest_with(identifier, published) == Some(sequence);
        sequence < published && !waits && !self.refused.contains(&sequence)
    }

    #[inline]
    fn is_waiting(&self, packet_identifier: u16) -> bool {
        let at = usize::from(packet_identifier);
        self.waiting[at / 64] & (1 << (at % 64)) != 0
    }
}

/// The newest of the first `published` messages that has `packet_identifier`.
fn newest_with(packet_identifier: u16, published: u64) -> Option<u64> {
    let newest = published.checked_sub(1)?;
    let back = (newest + IDENTIFIERS_COUNT - (u64::from(packet_identifier) - 1)) % IDENTIFIERS_COUNT;
    newest.checked_sub(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_never_zero_and_come_round() {
        assert_eq!((identifier(0), identifier(65_534), identifier(65_535)), (1, 65_535, 1));
        assert_eq!(newest_with(1, 1), Some(0));
        assert_eq!(newest_with(2, 1), None);
        assert_eq!(newest_with(1, 70_000), Some(65_535));
        assert_eq!(newest_with(65_535, 70_000), Some(65_534));
    }

    #[test]
    fn a_window_is_kept_and_an_acknowledgement_frees_it() {
        let mut acknowledgements = Acknowledgements::new();
        for sequence in 0..3 {
            assert!(acknowledgements.is_free(sequence, 3));
            acknowledgements.publish(sequence);
        }
        assert!(!acknowledgements.is_free(3, 3));
        acknowledgements.acknowledge(identifier(1), 0, 3);
        assert!(acknowledgements.is_free(3, 3));
        let acknowledged = [0, 1, 2].map(|sequence| acknowledgements.is_acknowledged(sequence, 3));
        assert_eq!(acknowledged, [false, true, false]);
        assert!(!acknowledgements.is_acknowledged(3, 3), "nobody published it");
    }

    #[test]
    fn an_identifier_in_flight_is_not_used_again() {
        let mut acknowledgements = Acknowledgements::new();
        acknowledgements.publish(0);
        assert!(!acknowledgements.is_free(65_535, 100));
        assert!(acknowledgements.is_free(65_536, 100));
    }

    #[test]
    fn refusals_and_strays_are_counted() {
        let mut acknowledgements = Acknowledgements::new();
        acknowledgements.publish(0);
        acknowledgements.acknowledge(1, 0x97, 1);
        acknowledgements.acknowledge(1, 0, 1);
        assert_eq!((acknowledgements.refused_count(), acknowledgements.strays_count()), (1, 1));
        assert_eq!(acknowledgements.waiting_count(), 0);
        assert!(!acknowledgements.is_acknowledged(0, 1), "refused: the broker owes it to nobody");
    }
}
