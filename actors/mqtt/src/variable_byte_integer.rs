//! The Variable Byte Integer (MQTT 5.0 §1.5.5).
//!
//! mqttbytes takes encodings that are longer than needed; here they are malformed (MQTT-1.5.5-1).

use bytes::{BufMut, BytesMut};

use crate::DecodeError;

/// The largest value of a Variable Byte Integer.
pub const VARIABLE_BYTE_INTEGER_MAX: u32 = 268_435_455;

/// Reads a Variable Byte Integer from the start of `input`; answers the value and how many bytes it took, 1 to 4, or `None`
/// where `input` ends inside it.
///
/// # Errors
/// [`DecodeError::Malformed`]: a fifth byte, or more bytes than needed (MQTT-1.5.5-1).
#[inline]
pub(crate) fn decode_variable_byte_integer(input: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, byte) in input.iter().enumerate().take(4) {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index > 0 && *byte == 0 {
                return Err(DecodeError::Malformed("a Variable Byte Integer longer than needed (MQTT-1.5.5-1)"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() >= 4 {
        return Err(DecodeError::Malformed("a Variable Byte Integer of more than four bytes (MQTT 5.0 §1.5.5)"));
    }
    Ok(None)
}

/// Appends `value`.
///
/// # Panics
/// When `value` exceeds [`VARIABLE_BYTE_INTEGER_MAX`].
pub fn encode_variable_byte_integer(out: &mut BytesMut, value: u32) {
    assert!(value <= VARIABLE_BYTE_INTEGER_MAX, "a Variable Byte Integer has 28 bits");
    let mut rest = value;
    while rest > 0x7f {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8((rest & 0x7f) as u8);
}

/// How many bytes `value` takes, 1 to 4.
#[inline]
pub const fn variable_byte_integer_bytes(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_boundaries_read_and_write_alike() {
        let rows: [(u32, &[u8]); 8] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ];
        for (value, bytes) in rows {
            let mut out = BytesMut::new();
            encode_variable_byte_integer(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(variable_byte_integer_bytes(value as usize), bytes.len());
            assert_eq!(decode_variable_byte_integer(bytes), Ok(Some((value, bytes.len()))));
            assert_eq!(decode_variable_byte_integer(&bytes[..bytes.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn longer_than_needed_or_than_four_bytes_is_malformed() {
        for bytes in [&[0x80_u8, 0x00][..], &[0xff, 0x80, 0x00], &[0x80, 0x80, 0x80, 0x80, 0x01], &[0xff; 4]] {
            assert!(decode_variable_byte_integer(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
