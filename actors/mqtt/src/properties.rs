//! Properties (MQTT 5.0 §2.2.2): walked strictly, in place.
//!
//! mqttbytes takes a property that occurs twice, and lets one run past the Property Length; both are refused here.

use crate::DecodeError;
use crate::reader::Reader;

pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const REASON_STRING: u8 = 0x1f;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;

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

/// A property's value, by its data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    Integer(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair,
}

/// One property and the bytes that it takes, its identifier included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Property<'a> {
    pub(crate) identifier: u8,
    pub(crate) value: Value<'a>,
    pub(crate) whole: &'a [u8],
}

/// A walk over the properties of one packet.
#[derive(Debug)]
pub(crate) struct Properties<'a> {
    reader: Reader<'a>,
    allowed: PropertySet,
    seen: u64,
}

impl<'a> Properties<'a> {
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
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        let before = self.reader.rest();
        if before.is_empty() {
            return Ok(None);
        }
        let identifier = self.reader.byte()?;
        if !self.allowed.contains(identifier) {
            return Err(DecodeError::Malformed("a property that this packet does not have (MQTT 5.0 §2.2.2.2)"));
        }
        let value = self.value(identifier)?;
        let bit = 1_u64 << identifier;
        if self.seen & bit != 0 && identifier != USER_PROPERTY {
            return Err(DecodeError::ProtocolError("a property that occurs twice (MQTT 5.0 §2.2.2.2)"));
        }
        self.seen |= bit;
        let whole = &before[..before.len() - self.reader.rest().len()];
        Ok(Some(Property { identifier, value, whole }))
    }

    /// Walks to the end, where only the rules count.
    pub(crate) fn check(mut self) -> Result<(), DecodeError> {
        while self.next()?.is_some() {}
        Ok(())
    }

    fn value(&mut self, identifier: u8) -> Result<Value<'a>, DecodeError> {
        let reader = &mut self.reader;
        let value = match identifier {
            PAYLOAD_FORMAT_INDICATOR | REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION => {
                Value::Byte(zero_or_one(reader.byte()?)?)
            }
            RECEIVE_MAXIMUM => Value::Integer(not_zero(reader.two_byte_integer()?.into())?),
            MAXIMUM_PACKET_SIZE => Value::Integer(not_zero(reader.four_byte_integer()?)?),
            SUBSCRIPTION_IDENTIFIER => Value::Integer(not_zero(reader.variable_byte_integer()?)?),
            TOPIC_ALIAS => match reader.two_byte_integer()? {
                0 => return Err(DecodeError::TopicAliasInvalid),
                alias => Value::Integer(alias.into()),
            },
            TOPIC_ALIAS_MAXIMUM => Value::Integer(reader.two_byte_integer()?.into()),
            MESSAGE_EXPIRY_INTERVAL | SESSION_EXPIRY_INTERVAL | WILL_DELAY_INTERVAL => {
                Value::Integer(reader.four_byte_integer()?)
            }
            CONTENT_TYPE | RESPONSE_TOPIC | AUTHENTICATION_METHOD | REASON_STRING => Value::Text(reader.string()?),
            CORRELATION_DATA | AUTHENTICATION_DATA => Value::Binary(reader.binary()?),
            USER_PROPERTY => {
                reader.string()?;
                reader.string()?;
                Value::Pair
            }
            _ => return Err(DecodeError::Malformed("a property that the standard does not have (MQTT 5.0 §2.2.2.2)")),
        };
        Ok(value)
    }
}

fn zero_or_one(value: u8) -> Result<u8, DecodeError> {
    if value > 1 {
        return Err(DecodeError::ProtocolError("a property that is 0 or 1 has another value (MQTT 5.0 §2.2.2.2)"));
    }
    Ok(value)
}

fn not_zero(value: u32) -> Result<u32, DecodeError> {
    if value == 0 {
        return Err(DecodeError::ProtocolError("a property that must not be 0 is 0 (MQTT 5.0 §2.2.2.2)"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: PropertySet = PropertySet::of(&[PAYLOAD_FORMAT_INDICATOR, MESSAGE_EXPIRY_INTERVAL, USER_PROPERTY]);

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        Properties::split(&mut Reader::new(bytes), ALLOWED)?.check()
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
}
