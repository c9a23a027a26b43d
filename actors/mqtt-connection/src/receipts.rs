//! `QoS` 2 publications of the client from PUBLISH to PUBREL: each is published once, however often it comes (MQTT 5.0 §4.3.3).

use std::collections::BTreeMap;

use mqtt::PacketIdentifier;

/// Packet Identifiers that are not released. At most 65,535; Receive Maximum bounds them for 5.0.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    by_identifier: BTreeMap<PacketIdentifier, Receipt>,
    next_order: u64,
    /// Those whose PUBREC is owed.
    owed_count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Receipt {
    /// Its place in the order of receipt.
    order: u64,
    /// A PUBREC for it stands in the queue of acknowledgements.
    is_owed: bool,
}

/// What a `QoS` 2 PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To be published.
    New,
    /// It was published before, and its PUBREC is owed.
    Owed,
    /// It was published before, and its PUBREC is to be written again.
    Again,
}

impl Receipts {
    /// Goes on from the Packet Identifiers that an earlier connection left.
    pub(crate) fn resume(identifiers: &[u16]) -> Self {
        let mut receipts = Self::default();
        for identifier in identifiers.iter().filter_map(|number| PacketIdentifier::new(*number)) {
            receipts.add(identifier);
            receipts.answered(identifier, true);
        }
        receipts
    }

    /// Those whose PUBREC was written: PUBREL is awaited.
    pub(crate) fn at_rest_count(&self) -> usize {
        self.by_identifier.len() - self.owed_count
    }

    /// A PUBLISH came. Where its PUBREC is to be written again, it is owed from here on.
    pub(crate) fn arrive(&mut self, packet_identifier: PacketIdentifier) -> Arrival {
        match self.by_identifier.get_mut(&packet_identifier) {
            None => Arrival::New,
            Some(receipt) if receipt.is_owed => Arrival::Owed,
            Some(receipt) => {
                receipt.is_owed = true;
                self.owed_count += 1;
                Arrival::Again
            }
        }
    }

    /// Keeps the identifier of a new one, whose PUBREC is owed.
    pub(crate) fn add(&mut self, packet_identifier: PacketIdentifier) {
        let receipt = Receipt { order: self.next_order, is_owed: true };
        self.next_order += 1;
        let before = self.by_identifier.insert(packet_identifier, receipt);
        assert!(before.is_none(), "only a new one is published");
        self.owed_count += 1;
    }

    /// Its PUBREC is decided; one that was not accepted ends the exchange.
    pub(crate) fn answered(&mut self, packet_identifier: PacketIdentifier, is_accepted: bool) {
        let Some(receipt) = self.by_identifier.get_mut(&packet_identifier) else { return };
        self.owed_count -= usize::from(std::mem::take(&mut receipt.is_owed));
        if !is_accepted {
            self.by_identifier.remove(&packet_identifier);
        }
    }

    /// PUBREL came; whether the identifier was known.
    pub(crate) fn release(&mut self, packet_identifier: PacketIdentifier) -> bool {
        let Some(receipt) = self.by_identifier.remove(&packet_identifier) else { return false };
        self.owed_count -= usize::from(receipt.is_owed);
        true
    }

    /// The identifiers in the order of receipt.
    pub(crate) fn into_identifiers(self) -> Vec<u16> {
        let mut by_order: Vec<(u64, u16)> =
            self.by_identifier.into_iter().map(|(identifier, receipt)| (receipt.order, identifier.get())).collect();
        by_order.sort_unstable();
        by_order.into_iter().map(|(_, identifier)| identifier).collect()
    }
}
