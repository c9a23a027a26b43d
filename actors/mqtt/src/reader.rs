//! Reads the data types of the standard (MQTT 5.0 §1.5) from a packet, strictly.
//!
//! mqttbytes lets U+0000 into strings and properties run past their length; here nothing leaves its bounds.

use crate::DecodeError;
use crate::variable_byte_integer::decode_variable_byte_integer;

const SHORT: DecodeError = DecodeError::Malformed("the packet ends inside a field");

/// A position in the bytes of a packet, or of its properties.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `count` bytes.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    /// A Two Byte Integer (MQTT 5.0 §1.5.2).
    #[inline]
    pub(crate) fn two_byte_integer(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A Four Byte Integer (MQTT 5.0 §1.5.3).
    #[inline]
    pub(crate) fn four_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A Variable Byte Integer (MQTT 5.0 §1.5.5).
    #[inline]
    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let (value, count) = decode_variable_byte_integer(self.rest)?.ok_or(SHORT)?;
        self.take(count)?;
        Ok(value)
    }

    /// Binary Data (MQTT 5.0 §1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.two_byte_integer()?;
        self.take(usize::from(count))
    }

    /// A UTF-8 Encoded String (MQTT 5.0 §1.5.4): well-formed (MQTT-1.5.4-1), without U+0000 (MQTT-1.5.4-2).
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        check_string(self.binary()?)
    }

    /// A Packet Identifier, which is never 0 (MQTT-2.2.1-3).
    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Result<std::num::NonZeroU16, DecodeError> {
        std::num::NonZeroU16::new(self.two_byte_integer()?)
            .ok_or(DecodeError::Malformed("a Packet Identifier of 0 (MQTT-2.2.1-3)"))
    }

    /// Nothing may follow a packet's last field (MQTT 5.0 §2.1.4).
    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::Malformed("bytes after the packet's last field")) }
    }
}

/// Holds bytes against the rules of a UTF-8 Encoded String (MQTT-1.5.4-1, MQTT-1.5.4-2).
pub(crate) fn check_string(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("a string that is no UTF-8 (MQTT-1.5.4-1)"))?;
    // Without a way out of the loop: it is taken sixteen bytes at a time.
    if bytes.iter().fold(0, |found, byte| found | u8::from(*byte == 0)) != 0 {
        return Err(DecodeError::Malformed("a string with U+0000 (MQTT-1.5.4-2)"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_utf_8_without_u_0000() {
        assert_eq!(Reader::new(b"\x00\x02\xc3\xa9").string(), Ok("\u{e9}"));
        assert_eq!(Reader::new(b"\x00\x03\xef\xbb\xbf").string(), Ok("\u{feff}"));
        for bytes in [&b"\x00\x01\x00"[..], b"\x00\x01\xff", b"\x00\x03\xed\xa0\x80", b"\x00\x02a", b"\x00"] {
            assert!(Reader::new(bytes).string().is_err(), "{bytes:02x?}");
        }
    }
}
