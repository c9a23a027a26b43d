//! Topic Aliases both ways: numbers for Topic Names that come again, for as long as a connection lives (MQTT 5.0 §3.3.2.3.4).

use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// Aliases that the client set: at most our Topic Alias Maximum.
pub(crate) type ReceivedAliases = BTreeMap<u16, Box<str>>;

/// Aliases that are set for the client, at most its Topic Alias Maximum.
///
/// Each alias has one place, and a Topic Name may have the alias of one place, which its hash names: to look is one comparison.
/// The first name that meets a free place takes it. Where one is, the second of two deliveries with the same name that meet
/// there in a row takes it over, so that names that come once do not chase away those that repeat.
#[derive(Debug)]
pub(crate) struct SentAliases {
    places: Box<[Place]>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// What the client knows this alias to be; empty: nothing yet.
    topic_name: Box<[u8]>,
    /// The hash of the last other name that was met here.
    candidate: u32,
}

/// How a Topic Name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// In full, without an alias.
    Plain,
    /// In full, and this alias is to stand for it.
    Set(NonZeroU16),
    /// By this alias alone.
    Alias(NonZeroU16),
}

impl SentAliases {
    /// Makes a table for `maximum` aliases, at least 1.
    pub(crate) fn new(maximum: u16) -> Self {
        Self { places: vec![Place::default(); usize::from(maximum.max(1))].into() }
    }

    /// How the next PUBLISH may name `topic_name`; `Set` holds once [`SentAliases::set`] says that it was sent.
    pub(crate) fn naming_of(&mut self, topic_name: &[u8]) -> Naming {
        let hash = hash(topic_name);
        let index = hash as usize % self.places.len();
        let alias = u16::try_from(index + 1).ok().and_then(NonZeroU16::new).expect("1 to the maximum");
        let place = &mut self.places[index];
        if *place.topic_name == *topic_name {
            Naming::Alias(alias)
        } else if place.topic_name.is_empty() || std::mem::replace(&mut place.candidate, hash) == hash {
            Naming::Set(alias)
        } else {
            Naming::Plain
        }
    }

    /// The client was told that `alias` stands for `topic_name`.
    pub(crate) fn set(&mut self, alias: NonZeroU16, topic_name: &[u8]) {
        self.places[usize::from(alias.get() - 1)].topic_name = topic_name.into();
    }
}

/// FNV-1a. Names that collide on purpose only take each other's alias.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU16 = NonZeroU16::MIN;

    #[test]
    fn a_name_gets_a_free_alias_and_keeps_it_against_names_that_do_not() {
        let mut aliases = SentAliases::new(1);
        assert_eq!(aliases.naming_of(b"a"), Naming::Set(ONE), "the place is free");
        assert_eq!(aliases.naming_of(b"a"), Naming::Set(ONE), "it was not sent");
        aliases.set(ONE, b"a");
        for once in [b"b", b"c", b"d"] {
            assert_eq!(aliases.naming_of(once), Naming::Plain);
            assert_eq!(aliases.naming_of(b"a"), Naming::Alias(ONE));
        }
        assert_eq!(aliases.naming_of(b"d"), Naming::Set(ONE), "it repeats");
        aliases.set(ONE, b"d");
        assert_eq!(aliases.naming_of(b"a"), Naming::Plain);
    }

    #[test]
    fn an_alias_is_within_the_maximum() {
        let mut aliases = SentAliases::new(3);
        for number in 0..1_000_u32 {
            let name = number.to_be_bytes();
            aliases.naming_of(&name);
            if let Naming::Set(alias) = aliases.naming_of(&name) {
                assert!(alias.get() <= 3);
                aliases.set(alias, &name);
            }
        }
    }
}
