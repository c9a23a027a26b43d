//! A Subscription as the index holds it: whose it is and what it asks for, in 8 bytes.

use contract::{QoS, SubscriptionRequest};

/// What a Subscription asks for, beside its filter (MQTT 5.0 §3.8.3.1), packed: a partition may hold a million.
///
/// Bits 0 to 27: the Subscription Identifier, 0 where there is none; 28 and 29: Maximum QoS; 30: No Local; 31: Retain As
/// Published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionOptions(u32);

const IDENTIFIER_BITS: u32 = (1 << 28) - 1;
const QOS_SHIFT: u32 = 28;
const NO_LOCAL_BIT: u32 = 1 << 30;
const RETAIN_AS_PUBLISHED_BIT: u32 = 1 << 31;

impl SubscriptionOptions {
    /// The options of a request.
    ///
    /// # Panics
    /// When the Subscription Identifier does not fit: the connection checks it (§3.8.2.1.2).
    pub(crate) fn of(request: &SubscriptionRequest) -> Self {
        let identifier = request.subscription_identifier.unwrap_or(0);
        assert!(identifier <= IDENTIFIER_BITS, "a Subscription Identifier is a Variable Byte Integer");
        let no_local = if request.no_local { NO_LOCAL_BIT } else { 0 };
        let retain_as_published = if request.retain_as_published { RETAIN_AS_PUBLISHED_BIT } else { 0 };
        let maximum_qos = u32::from(request.maximum_qos.bits()) << QOS_SHIFT;
        Self(identifier | maximum_qos | no_local | retain_as_published)
    }

    /// The highest level of its deliveries.
    pub(crate) fn maximum_qos(self) -> QoS {
        let bits = u8::try_from((self.0 >> QOS_SHIFT) & 0b11).expect("two bits");
        QoS::from_bits(bits).expect("packed from a QoS")
    }

    /// Whether the client's own publications are left out (MQTT-3.8.3-3).
    pub(crate) const fn no_local(self) -> bool {
        self.0 & NO_LOCAL_BIT != 0
    }

    /// Whether deliveries keep the RETAIN flag of the publication (MQTT-3.3.1-13).
    pub(crate) const fn retain_as_published(self) -> bool {
        self.0 & RETAIN_AS_PUBLISHED_BIT != 0
    }

    /// The Subscription Identifier.
    pub(crate) const fn identifier(self) -> Option<u32> {
        match self.0 & IDENTIFIER_BITS {
            0 => None,
            identifier => Some(identifier),
        }
    }
}

/// A Subscription, or one member of a Shared Subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionEntry {
    /// The subscriber's number.
    pub(crate) subscriber: u32,
    pub(crate) options: SubscriptionOptions,
}

/// Subscriptions with one filter, by subscriber. Most filters have one, which needs no memory of its own.
#[derive(Debug, Default)]
pub(crate) enum Entries {
    #[default]
    None,
    One(SubscriptionEntry),
    #[expect(clippy::box_collection, reason = "a node stays within one cache line")]
    Many(Box<Vec<SubscriptionEntry>>),
}

impl Entries {
    /// All of them.
    pub(crate) fn as_slice(&self) -> &[SubscriptionEntry] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    /// The subscriber's one.
    pub(crate) fn find(&self, subscriber: u32) -> Option<&SubscriptionEntry> {
        let entries = self.as_slice();
        let at = entries.binary_search_by_key(&subscriber, |entry| entry.subscriber).ok()?;
        Some(&entries[at])
    }

    /// Adds an entry; the one of the same subscriber that it replaces.
    pub(crate) fn put(&mut self, entry: SubscriptionEntry) -> Option<SubscriptionEntry> {
        match self {
            Self::None => {
                *self = Self::One(entry);
                None
            }
            Self::One(before) if before.subscriber == entry.subscriber => Some(std::mem::replace(before, entry)),
            Self::One(before) => {
                let mut both = vec![*before, entry];
                both.sort_unstable_by_key(|entry| entry.subscriber);
                *self = Self::Many(Box::new(both));
                None
            }
            Self::Many(entries) => match entries.binary_search_by_key(&entry.subscriber, |entry| entry.subscriber) {
                Ok(at) => Some(std::mem::replace(&mut entries[at], entry)),
                Err(at) => {
                    entries.insert(at, entry);
                    None
                }
            },
        }
    }

    /// Takes the subscriber's entry out.
    pub(crate) fn remove(&mut self, subscriber: u32) -> Option<SubscriptionEntry> {
        let at = self.as_slice().binary_search_by_key(&subscriber, |entry| entry.subscriber).ok()?;
        let removed = self.as_slice()[at];
        match self {
            Self::None | Self::One(_) => *self = Self::None,
            Self::Many(entries) => {
                entries.remove(at);
                if let [last] = entries[..] {
                    *self = Self::One(last);
                }
            }
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::request;

    #[test]
    fn options_come_back_as_they_were_packed() {
        for maximum_qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for (no_local, retain_as_published) in [(false, true), (true, false)] {
                for subscription_identifier in [None, Some(1), Some(268_435_455)] {
                    let request = SubscriptionRequest {
                        maximum_qos,
                        no_local,
                        retain_as_published,
                        subscription_identifier,
                        ..request("a")
                    };
                    let options = SubscriptionOptions::of(&request);
                    assert_eq!(options.maximum_qos(), maximum_qos);
                    assert_eq!((options.no_local(), options.retain_as_published()), (no_local, retain_as_published));
                    assert_eq!(options.identifier(), subscription_identifier);
                }
            }
        }
    }

    #[test]
    fn entries_are_small_and_sorted() {
        assert_eq!((size_of::<SubscriptionEntry>(), size_of::<Entries>()), (8, 16));
        let entry = |subscriber| SubscriptionEntry { subscriber, options: SubscriptionOptions(subscriber) };
        let mut entries = Entries::default();
        for subscriber in [5, 5, 1, 9, 1] {
            let was_there = entries.find(subscriber).is_some();
            assert_eq!(entries.put(entry(subscriber)).is_some(), was_there);
        }
        assert_eq!(entries.as_slice(), [entry(1), entry(5), entry(9)]);
        assert_eq!((entries.find(9), entries.find(2)), (Some(&entry(9)), None));
        for subscriber in [5, 5, 1, 9] {
            let was_there = entries.find(subscriber).is_some();
            assert_eq!(entries.remove(subscriber).is_some(), was_there);
        }
        assert!(matches!(entries, Entries::None));
    }
}
