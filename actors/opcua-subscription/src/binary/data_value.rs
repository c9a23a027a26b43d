//! A DataValue: a Variant with StatusCode and SourceTimestamp (Part 6 §5.2.2.17).

use contract::UtcTime;

use super::reader::{DecodeError, Reader};
use super::variant::skip_variant;
use crate::StatusCode;

/// A DataValue whose parts still lie where they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataValueRef<'a> {
    /// The Variant with its encoding mask; empty where there is no value.
    pub(crate) variant: &'a [u8],
    /// Good where none is given.
    pub(crate) status_code: StatusCode,
    /// Ticks of 100 ns since 1601; 0 where none is given (§5.2.2.5).
    pub(crate) source_ticks: i64,
}

impl DataValueRef<'_> {
    /// The SourceTimestamp; `None` where none is given.
    pub(crate) fn source_timestamp(&self) -> Option<UtcTime> {
        (self.source_ticks != 0).then(|| UtcTime::from_opc_ua_ticks(self.source_ticks))
    }
}

/// Reads a DataValue. Picoseconds and ServerTimestamp are walked over.
#[inline]
pub(crate) fn read_data_value<'a>(reader: &mut Reader<'a>, depth: u8) -> Result<DataValueRef<'a>, DecodeError> {
    let mask = reader.byte()?;
    let mut variant: &[u8] = &[];
    if mask & 0x01 != 0 {
        let before = reader.rest();
        skip_variant(reader, depth)?;
        variant = &before[..before.len() - reader.remaining_bytes()];
    }
    let status_code = if mask & 0x02 != 0 { StatusCode(reader.u32()?) } else { StatusCode::GOOD };
    let source_ticks = if mask & 0x04 != 0 { reader.i64()? } else { 0 };
    if mask & 0xf8 != 0 {
        skip_rest(reader, mask)?;
    }
    Ok(DataValueRef { variant, status_code, source_ticks })
}

fn skip_rest(reader: &mut Reader<'_>, mask: u8) -> Result<(), DecodeError> {
    if mask & 0xc0 != 0 {
        return Err(DecodeError::Malformed);
    }
    let source_picoseconds = if mask & 0x10 != 0 { 2 } else { 0 };
    let server_timestamp = if mask & 0x08 != 0 { 8 } else { 0 };
    let server_picoseconds = if mask & 0x20 != 0 { 2 } else { 0 };
    reader.take(source_picoseconds + server_timestamp + server_picoseconds).map(|_| ())
}

pub(crate) fn skip_data_value(reader: &mut Reader<'_>, depth: u8) -> Result<(), DecodeError> {
    read_data_value(reader, depth).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_data_value_is_optional() {
        for mask in 0..0x40_u8 {
            let mut bytes = vec![mask];
            if mask & 0x01 != 0 {
                bytes.extend([1, 1]);
            }
            if mask & 0x02 != 0 {
                bytes.extend(0x8034_0000_u32.to_le_bytes());
            }
            if mask & 0x04 != 0 {
                bytes.extend(77_i64.to_le_bytes());
            }
            bytes.extend(vec![9; if mask & 0x10 != 0 { 2 } else { 0 }]);
            bytes.extend(vec![9; if mask & 0x08 != 0 { 8 } else { 0 }]);
            bytes.extend(vec![9; if mask & 0x20 != 0 { 2 } else { 0 }]);
            let mut reader = Reader::new(&bytes);
            let value = read_data_value(&mut reader, 0).unwrap();
            assert_eq!(reader.remaining_bytes(), 0, "mask {mask}");
            assert_eq!(value.variant.len(), if mask & 0x01 != 0 { 2 } else { 0 });
            assert_eq!(value.status_code.is_bad(), mask & 0x02 != 0);
            assert_eq!(value.source_timestamp().is_some(), mask & 0x04 != 0);
        }
    }

    #[test]
    fn a_mask_of_no_known_meaning_is_refused() {
        assert_eq!(read_data_value(&mut Reader::new(&[0x40]), 0), Err(DecodeError::Malformed));
    }
}
