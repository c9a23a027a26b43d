//! Properties (MQTT 5.0 §2.2.2): walked in place, strictly when they come, lightly by whoever looks for one later.
//!
//! mqttbytes takes a property that occurs twice, and lets one run past the Property Length; both are refused here.

use crate::DecodeError;
use crate::reader::{Reader, check_string};

pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1a;
pub(crate) const SERVER_REFERENCE: u8 = 0x1c;
pub(crate) const REASON_STRING: u8 = 0x1f;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2a;

/// Which properties a packet may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PropertySet(u64);

impl PropertySet {
    pub(crate) const fn of(identifiers: &[u8]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < identifiers.len() {
            bits |= 1 << identifiers[index];
            index += 1;
        }
        Self(bits)
    }

    const fn contains(self, identifier: u8) -> bool {
        identifier < 64 && self.0 & (1 << identifier) != 0
    }
}

/// A property's value, by its data type (MQTT 5.0 §2.2.2.2). Text is not yet known to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    Integer(u32),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Pair { name: &'a [u8], value: &'a [u8] },
}

/// Takes the value of the property `identifier`: where it ends, and nothing else.
fn take_value<'a>(reader: &mut Reader<'a>, identifier: u8) -> Result<Value<'a>, DecodeError> {
    Ok(match identifier {
        PAYLOAD_FORMAT_INDICATOR | REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION => {
            Value::Byte(reader.byte()?)
        }
        RECEIVE_MAXIMUM | TOPIC_ALIAS | TOPIC_ALIAS_MAXIMUM => Value::Integer(reader.two_byte_integer()?.into()),
        MAXIMUM_PACKET_SIZE | MESSAGE_EXPIRY_INTERVAL | SESSION_EXPIRY_INTERVAL | WILL_DELAY_INTERVAL => {
            Value::Integer(reader.four_byte_integer()?)
        }
        SUBSCRIPTION_IDENTIFIER => Value::Integer(reader.variable_byte_integer()?),
        CONTENT_TYPE | RESPONSE_TOPIC | AUTHENTICATION_METHOD | REASON_STRING => Value::Text(reader.binary()?),
        CORRELATION_DATA | AUTHENTICATION_DATA => Value::Binary(reader.binary()?),
        USER_PROPERTY => Value::Pair { name: reader.binary()?, value: reader.binary()? },
        _ => return Err(DecodeError::Malformed("a property that the standard does not have (MQTT 5.0 §2.2.2.2)")),
    })
}

/// Holds a value against the rules of its property (MQTT 5.0 §2.2.2.2, §3.1.2.11, §3.3.2.3).
fn check_value(identifier: u8, value: Value<'_>) -> Result<(), DecodeError> {
    match (identifier, value) {
        (_, Value::Byte(2..)) => {
            Err(DecodeError::ProtocolError("a property that is 0 or 1 has another value (MQTT 5.0 §2.2.2.2)"))
        }
        (TOPIC_ALIAS, Value::Integer(0)) => Err(DecodeError::TopicAliasInvalid),
        (RECEIVE_MAXIMUM | MAXIMUM_PACKET_SIZE | SUBSCRIPTION_IDENTIFIER, Value::Integer(0)) => {
            Err(DecodeError::ProtocolError("a property that must not be 0 is 0 (MQTT 5.0 §2.2.2.2)"))
        }
        (_, Value::Text(text)) => check_string(text).map(drop),
        (_, Value::Pair { name, value }) => {
            check_string(name)?;
            check_string(value).map(drop)
        }
        (_, Value::Byte(_) | Value::Integer(_) | Value::Binary(_)) => Ok(()),
    }
}

/// One property and the bytes that it takes, its identifier included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckedProperty<'a> {
    pub(crate) identifier: u8,
    pub(crate) value: Value<'a>,
    pub(crate) whole: &'a [u8],
}

impl<'a> CheckedProperty<'a> {
    /// The text of a property whose value is one; it was checked.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => std::str::from_utf8(text).ok(),
            Value::Byte(_) | Value::Integer(_) | Value::Binary(_) | Value::Pair { .. } => None,
        }
    }
}

/// A strict walk over the properties of one packet that came from a client.
#[derive(Debug)]
pub(crate) struct CheckedProperties<'a> {
    reader: Reader<'a>,
    allowed: PropertySet,
    seen: u64,
}

impl<'a> CheckedProperties<'a> {
    /// Takes the Property Length and so many bytes from `reader`.
    pub(crate) fn split(reader: &mut Reader<'a>, allowed: PropertySet) -> Result<Self, DecodeError> {
        let count = reader.variable_byte_integer()?;
        Ok(Self { reader: Reader::new(reader.take(count as usize)?), allowed, seen: 0 })
    }

    /// The bytes of the properties that were not walked over yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// The next property; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<CheckedProperty<'a>>, DecodeError> {
        let before = self.reader.rest();
        if before.is_empty() {
            return Ok(None);
        }
        let identifier = self.reader.byte()?;
        if !self.allowed.contains(identifier) {
            return Err(DecodeError::Malformed("a property that this packet does not have (MQTT 5.0 §2.2.2.2)"));
        }
        let value = take_value(&mut self.reader, identifier)?;
        check_value(identifier, value)?;
        let bit = 1_u64 << identifier;
        if self.seen & bit != 0 && identifier != USER_PROPERTY {
            return Err(DecodeError::ProtocolError("a property that occurs twice (MQTT 5.0 §2.2.2.2)"));
        }
        self.seen |= bit;
        let whole = &before[..before.len() - self.reader.rest().len()];
        Ok(Some(CheckedProperty { identifier, value, whole }))
    }

    /// Walks to the end, where only the rules count.
    pub(crate) fn check(mut self) -> Result<(), DecodeError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// One property of an Application Message (MQTT 5.0 §3.3.2.3). What the standard calls text is bytes here: it was held to be
/// UTF-8 when the packet came, and to look at it again would cost at every reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// Payload Format Indicator: 1 where the payload is UTF-8.
    PayloadFormatIndicator(u8),
    /// Message Expiry Interval, in seconds.
    MessageExpiryInterval(u32),
    /// Content Type.
    ContentType(&'a [u8]),
    /// Response Topic.
    ResponseTopic(&'a [u8]),
    /// Correlation Data: any bytes.
    CorrelationData(&'a [u8]),
    /// Subscription Identifier.
    SubscriptionIdentifier(u32),
    /// Topic Alias.
    TopicAlias(u16),
    /// User Property; the only one that may occur more than once on its way to a server.
    UserProperty {
        /// Its name; several may have the same.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
}

/// A walk over the properties of an Application Message, without their length, in the order in which they came.
///
/// It ends at the end of the bytes, and before the first byte that begins no whole property of an Application Message: the
/// bytes of a PUBLISH that [`crate::Publish::decode`] read are whole. About 5 ns a property; no allocation.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    reader: Reader<'a>,
}

impl<'a> Properties<'a> {
    /// Walks over `bytes`, such as [`crate::Publish::properties`].
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// The value of the first User Property called `name`; `None` where there is none (MQTT 5.0 §3.3.2.3.7).
    pub fn user_property(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        Self::new(bytes).find_map(|property| match property {
            Property::UserProperty { name: found, value } if found == name => Some(value),
            Property::PayloadFormatIndicator(_)
            | Property::MessageExpiryInterval(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::SubscriptionIdentifier(_)
            | Property::TopicAlias(_)
            | Property::UserProperty { .. } => None,
        })
    }

    /// Whether the walk came to the end of its bytes, and met no byte that begins no property.
    pub(crate) const fn is_complete(&self) -> bool {
        self.reader.is_empty()
    }

    fn take(&mut self) -> Option<Property<'a>> {
        let identifier = self.reader.byte().ok()?;
        let value = take_value(&mut self.reader, identifier).ok()?;
        Some(match (identifier, value) {
            (PAYLOAD_FORMAT_INDICATOR, Value::Byte(byte)) => Property::PayloadFormatIndicator(byte),
            (MESSAGE_EXPIRY_INTERVAL, Value::Integer(seconds)) => Property::MessageExpiryInterval(seconds),
            (CONTENT_TYPE, Value::Text(text)) => Property::ContentType(text),
            (RESPONSE_TOPIC, Value::Text(text)) => Property::ResponseTopic(text),
            (CORRELATION_DATA, Value::Binary(bytes)) => Property::CorrelationData(bytes),
            (SUBSCRIPTION_IDENTIFIER, Value::Integer(identifier)) => Property::SubscriptionIdentifier(identifier),
            (TOPIC_ALIAS, Value::Integer(alias)) => Property::TopicAlias(u16::try_from(alias).ok()?),
            (USER_PROPERTY, Value::Pair { name, value }) => Property::UserProperty { name, value },
            _ => return None,
        })
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.reader;
        let property = self.take();
        if property.is_none() {
            // It stays where it is: asked again, it ends again.
            self.reader = before;
        }
        property
    }
}

impl std::iter::FusedIterator for Properties<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: PropertySet = PropertySet::of(&[PAYLOAD_FORMAT_INDICATOR, MESSAGE_EXPIRY_INTERVAL, USER_PROPERTY]);

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        CheckedProperties::split(&mut Reader::new(bytes), ALLOWED)?.check()
    }

    #[test]
    fn a_user_property_may_occur_twice_and_others_may_not() {
        assert_eq!(check(&[14, 0x26, 0, 1, b'k', 0, 1, b'v', 0x26, 0, 1, b'k', 0, 1, b'v']), Ok(()));
        assert!(matches!(check(&[4, 0x01, 0, 0x01, 1]), Err(DecodeError::ProtocolError(_))));
    }

    #[test]
    fn a_property_stays_within_the_property_length() {
        assert!(matches!(check(&[3, 0x02, 0, 0, 0, 1]), Err(DecodeError::Malformed(_))));
        assert!(matches!(check(&[9, 0x01, 0]), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_property_of_another_packet_is_malformed() {
        assert!(matches!(check(&[5, 0x11, 0, 0, 0, 1]), Err(DecodeError::Malformed(_))));
        assert!(matches!(check(&[2, 0x7f, 0]), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_flag_of_2_is_a_protocol_error() {
        assert!(matches!(check(&[2, 0x01, 2]), Err(DecodeError::ProtocolError(_))));
    }

    /// One of each property of an Application Message, User Properties last.
    fn one_of_each() -> Vec<u8> {
        [
            &[0x01, 1][..],
            &[0x02, 0, 0, 0, 9],
            &[0x03, 0, 1, b'j'],
            &[0x08, 0, 1, b'r'],
            &[0x09, 0, 1, 0],
            &[0x23, 0, 7],
            &[0x0b, 0x80, 0x01],
            &[0x26, 0, 1, b'a', 0, 1, b'1'],
            &[0x26, 0, 1, b'b', 0, 2, b'2', b'3'],
        ]
        .concat()
    }

    #[test]
    fn a_walk_meets_every_property_in_its_order() {
        let bytes = one_of_each();
        let expected = [
            Property::PayloadFormatIndicator(1),
            Property::MessageExpiryInterval(9),
            Property::ContentType(b"j"),
            Property::ResponseTopic(b"r"),
            Property::CorrelationData(&[0]),
            Property::TopicAlias(7),
            Property::SubscriptionIdentifier(128),
            Property::UserProperty { name: b"a", value: b"1" },
            Property::UserProperty { name: b"b", value: b"23" },
        ];
        assert!(Properties::new(&bytes).eq(expected));
        assert_eq!(Properties::user_property(&bytes, b"b"), Some(&b"23"[..]));
        assert_eq!(Properties::user_property(&bytes, b"c"), None);
        for length in 0..bytes.len() {
            assert_eq!(Properties::user_property(&bytes[..length], b"b"), None, "length {length}");
        }
    }

    #[test]
    fn a_walk_ends_before_bytes_that_are_cut_or_foreign() {
        let bytes = one_of_each();
        let mut whole_until = vec![0];
        for index in 1..=bytes.len() {
            let count = Properties::new(&bytes[..index]).count();
            let last = *whole_until.last().expect("it begins with one");
            assert!(count == last || count == last + 1, "{count} after {last} at {index}");
            whole_until.push(count);
        }
        assert_eq!(whole_until.last(), Some(&9));
        // A Session Expiry Interval is no property of an Application Message.
        let mut walk = Properties::new(&[0x01, 1, 0x11, 0, 0, 0, 1, 0x01, 0]);
        assert_eq!(walk.next(), Some(Property::PayloadFormatIndicator(1)));
        assert_eq!((walk.next(), walk.next()), (None, None));
    }

    #[test]
    fn text_of_a_property_is_utf_8() {
        let allowed = PropertySet::of(&[CONTENT_TYPE, USER_PROPERTY]);
        for bytes in [
            &[4, 0x03, 0, 1, 0xff][..],
            &[4, 0x03, 0, 1, 0],
            &[7, 0x26, 0, 1, 0xff, 0, 1, b'v'],
            &[7, 0x26, 0, 1, b'k', 0, 1, 0xff],
        ] {
            let walk = CheckedProperties::split(&mut Reader::new(bytes), allowed).unwrap();
            assert!(matches!(walk.check(), Err(DecodeError::Malformed(_))), "{bytes:02x?}");
        }
    }
}
