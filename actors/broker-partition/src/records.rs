//! The records that a shard holds in memory, each once, with a count of who holds it.

use contract::{Instant, Offset, Publication, QoS};

use crate::slab::Slab;

/// Names a held record. Used again after the record is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordIndex(pub(crate) u32);

/// One record that somebody still needs.
#[derive(Debug)]
pub(crate) struct HeldRecord {
    pub(crate) publication: Publication,
    /// Its number; `None` for a Retained Message.
    pub(crate) offset: Option<Offset>,
    pub(crate) accepted_at: Instant,
    /// When its Message Expiry Interval has passed (MQTT 5.0 §3.3.2.3.3); `None` for a message that never expires.
    pub(crate) expires_at: Option<Instant>,
    /// The publication's own, read once.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Whose publisher wants to hear that all flows have settled.
    pub(crate) watch: Option<WatchIndex>,
    flows_count: u16,
    subscribers_count: u32,
    is_retained: bool,
}

/// Names a publisher that waits for its publications' settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchIndex(pub(crate) u32);

/// Who holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Flow,
    Subscriber,
    Retained,
}

/// All held records, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Records {
    held: Slab<HeldRecord>,
    bytes: u64,
    /// Bytes of records that neither a flow nor the Retained Messages hold.
    subscribers_only_bytes: u64,
}

impl Records {
    /// Takes in a record that nobody holds yet; it must be held, or handed to [`Records::drop_unheld`], in the same step.
    pub(crate) fn insert(
        &mut self,
        publication: Publication,
        offset: Option<Offset>,
        accepted_at: Instant,
        watch: Option<WatchIndex>,
    ) -> RecordIndex {
        let bytes = publication.size_bytes() as u64;
        self.bytes += bytes;
        self.subscribers_only_bytes += bytes;
        let record = HeldRecord {
            expires_at: expires_at(&publication),
            qos: publication.qos(),
            retain: publication.retain(),
            publication,
            offset,
            accepted_at,
            watch,
            flows_count: 0,
            subscribers_count: 0,
            is_retained: false,
        };
        RecordIndex(self.held.insert(record))
    }

    /// The record.
    pub(crate) fn get(&self, index: RecordIndex) -> &HeldRecord {
        self.held.get(index.0)
    }

    /// The record's bytes.
    pub(crate) fn size_bytes(&self, index: RecordIndex) -> u64 {
        self.get(index).publication.size_bytes() as u64
    }

    /// The offset of a record of the log.
    pub(crate) fn offset(&self, index: RecordIndex) -> Offset {
        self.get(index).offset.expect("flows hold records of the log")
    }

    /// Counts one more holder.
    pub(crate) fn hold(&mut self, index: RecordIndex, holder: Holder) {
        let record = self.held.get_mut(index.0);
        let was_subscribers_only = record.is_subscribers_only();
        match holder {
            Holder::Flow => record.flows_count += 1,
            Holder::Subscriber => {
                record.subscribers_count += 1;
                return;
            }
            Holder::Retained => record.is_retained = true,
        }
        if was_subscribers_only && !record.is_subscribers_only() {
            self.subscribers_only_bytes -= record.publication.size_bytes() as u64;
        }
    }

    /// Counts one holder less; the record goes with its last. Returns the watch of a record that its last flow has let go.
    pub(crate) fn release(&mut self, index: RecordIndex, holder: Holder) -> Option<WatchIndex> {
        let record = self.held.get_mut(index.0);
        let was_subscribers_only = record.is_subscribers_only();
        match holder {
            Holder::Flow => record.flows_count -= 1,
            Holder::Subscriber => {
                record.subscribers_count -= 1;
                if record.subscribers_count == 0 {
                    self.drop_unheld(index);
                }
                return None;
            }
            Holder::Retained => record.is_retained = false,
        }
        if !was_subscribers_only && record.is_subscribers_only() {
            self.subscribers_only_bytes += record.publication.size_bytes() as u64;
        }
        let watch = if holder == Holder::Flow && record.flows_count == 0 { record.watch } else { None };
        self.drop_unheld(index);
        watch
    }

    /// Forgets the record if nobody holds it.
    pub(crate) fn drop_unheld(&mut self, index: RecordIndex) {
        let record = self.held.get(index.0);
        if record.flows_count == 0 && record.subscribers_count == 0 && !record.is_retained {
            let bytes = record.publication.size_bytes() as u64;
            self.bytes -= bytes;
            self.subscribers_only_bytes -= bytes;
            self.held.remove(index.0);
        }
    }

    /// How many flows hold the record.
    pub(crate) fn flows_count(&self, index: RecordIndex) -> u16 {
        self.get(index).flows_count
    }

    /// Records held.
    pub(crate) fn count(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the records held, each once.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that go when the subscribers let go.
    pub(crate) fn subscribers_only_bytes(&self) -> u64 {
        self.subscribers_only_bytes
    }
}

impl HeldRecord {
    fn is_subscribers_only(&self) -> bool {
        self.flows_count == 0 && !self.is_retained
    }

    /// Whether its Message Expiry Interval has passed at `now`.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// When a publication's Message Expiry Interval has passed; `None` for a message that never expires.
pub(crate) fn expires_at(publication: &Publication) -> Option<Instant> {
    let received_at = publication.received_at();
    let interval_s = publication.message_expiry_remaining_s(received_at)?;
    Some(received_at + std::time::Duration::from_secs(interval_s.into()))
}
