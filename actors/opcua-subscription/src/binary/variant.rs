//! A Variant: its type, whether it is an array, and how long its encoding is (Part 6 §5.2.2.16).

use super::data_value::skip_data_value;
use super::reader::{DecodeError, Reader};

/// The built-in types of Part 6 §5.1.2, by their numbers; 26 to 31 are read as `ByteStrings` (§5.2.2.16).
pub(crate) mod built_in {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const BOOLEAN: u8 = 1;
    pub(crate) const SBYTE: u8 = 2;
    pub(crate) const BYTE: u8 = 3;
    pub(crate) const INT16: u8 = 4;
    pub(crate) const UINT16: u8 = 5;
    pub(crate) const INT32: u8 = 6;
    pub(crate) const UINT32: u8 = 7;
    pub(crate) const INT64: u8 = 8;
    pub(crate) const UINT64: u8 = 9;
    pub(crate) const FLOAT: u8 = 10;
    pub(crate) const DOUBLE: u8 = 11;
    pub(crate) const STRING: u8 = 12;
    pub(crate) const DATE_TIME: u8 = 13;
    pub(crate) const GUID: u8 = 14;
    pub(crate) const BYTE_STRING: u8 = 15;
    pub(crate) const XML_ELEMENT: u8 = 16;
    pub(crate) const NODE_ID: u8 = 17;
    pub(crate) const EXPANDED_NODE_ID: u8 = 18;
    pub(crate) const STATUS_CODE: u8 = 19;
    pub(crate) const QUALIFIED_NAME: u8 = 20;
    pub(crate) const LOCALIZED_TEXT: u8 = 21;
    pub(crate) const EXTENSION_OBJECT: u8 = 22;
    pub(crate) const DATA_VALUE: u8 = 23;
    pub(crate) const VARIANT: u8 = 24;
    pub(crate) const DIAGNOSTIC_INFO: u8 = 25;
}

/// Bytes of a scalar by its type; 0: the length varies.
const FIXED_BYTES: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[built_in::BOOLEAN as usize] = 1;
    bytes[built_in::SBYTE as usize] = 1;
    bytes[built_in::BYTE as usize] = 1;
    bytes[built_in::INT16 as usize] = 2;
    bytes[built_in::UINT16 as usize] = 2;
    bytes[built_in::INT32 as usize] = 4;
    bytes[built_in::UINT32 as usize] = 4;
    bytes[built_in::INT64 as usize] = 8;
    bytes[built_in::UINT64 as usize] = 8;
    bytes[built_in::FLOAT as usize] = 4;
    bytes[built_in::DOUBLE as usize] = 8;
    bytes[built_in::DATE_TIME as usize] = 8;
    bytes[built_in::GUID as usize] = 16;
    bytes[built_in::STATUS_CODE as usize] = 4;
    bytes
};

pub(crate) const ARRAY: u8 = 0x80;
pub(crate) const DIMENSIONS: u8 = 0x40;
pub(crate) const TYPE_MASK: u8 = 0x3f;

/// Reads a Variant's encoding mask and walks over its value.
#[inline]
pub(crate) fn skip_variant(reader: &mut Reader<'_>, depth: u8) -> Result<(), DecodeError> {
    let mask = reader.byte()?;
    if let Some(bytes @ 1..) = FIXED_BYTES.get(usize::from(mask)) {
        return reader.take(usize::from(*bytes)).map(|_| ());
    }
    if mask == built_in::STRING {
        return reader.skip_text();
    }
    skip_uncommon(reader, mask, depth)
}

#[cold]
fn skip_uncommon(reader: &mut Reader<'_>, mask: u8, depth: u8) -> Result<(), DecodeError> {
    let type_number = mask & TYPE_MASK;
    if mask & ARRAY == 0 {
        if mask & DIMENSIONS != 0 {
            return Err(DecodeError::Malformed);
        }
        return skip_element(reader, type_number, depth);
    }
    if type_number == built_in::NULL {
        // Nulls take no bytes: nothing would bound a loop's work, and what follows says nothing about their count.
        reader.take(4)?;
    } else {
        let length = reader.array_length()?;
        match FIXED_BYTES.get(usize::from(type_number)) {
            Some(bytes @ 1..) => {
                let all = length.checked_mul(usize::from(*bytes)).ok_or(DecodeError::Truncated)?;
                reader.take(all)?;
            }
            _ => {
                for _ in 0..length {
                    skip_element(reader, type_number, depth)?;
                }
            }
        }
    }
    if mask & DIMENSIONS != 0 {
        reader.u32_array()?;
    }
    Ok(())
}

/// Walks over one value of `type_number`, as it stands in a Variant behind the mask.
pub(crate) fn skip_element(reader: &mut Reader<'_>, type_number: u8, depth: u8) -> Result<(), DecodeError> {
    if let Some(bytes @ 1..) = FIXED_BYTES.get(usize::from(type_number)) {
        return reader.take(usize::from(*bytes)).map(|_| ());
    }
    let inner = || if depth >= Reader::DEPTH_MAX { Err(DecodeError::TooDeep) } else { Ok(depth + 1) };
    match type_number {
        built_in::NULL => Ok(()),
        built_in::STRING | built_in::BYTE_STRING | built_in::XML_ELEMENT | 26..=31 => reader.skip_text(),
        built_in::NODE_ID | built_in::EXPANDED_NODE_ID => reader.skip_node_id(),
        built_in::QUALIFIED_NAME => {
            reader.take(2)?;
            reader.skip_text()
        }
        built_in::LOCALIZED_TEXT => reader.skip_localized_text(),
        built_in::EXTENSION_OBJECT => {
            reader.skip_node_id()?;
            reader.extension_object_body().map(|_| ())
        }
        built_in::DATA_VALUE => skip_data_value(reader, inner()?),
        built_in::VARIANT => skip_variant(reader, inner()?),
        built_in::DIAGNOSTIC_INFO => reader.skip_diagnostic_info(),
        _ => Err(DecodeError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nest_of_variants_ends_at_the_limit() {
        let mut nested = vec![built_in::VARIANT; 200];
        nested.push(0);
        assert_eq!(skip_variant(&mut Reader::new(&nested), 0), Err(DecodeError::TooDeep));
        let allowed = &nested[200 - usize::from(Reader::DEPTH_MAX)..];
        assert_eq!(skip_variant(&mut Reader::new(allowed), 0), Ok(()));
    }

    #[test]
    fn an_array_of_nulls_ends_behind_its_length_whatever_it_claims_and_whatever_follows() {
        for claim in [[ARRAY, 46, 0, 0, 0], [ARRAY, 0xff, 0xff, 0xff, 0x7f]] {
            for followed_by in [0, 60] {
                let bytes = [&claim[..], &vec![7; followed_by]].concat();
                let mut reader = Reader::new(&bytes);
                assert_eq!(skip_variant(&mut reader, 0), Ok(()));
                assert_eq!(reader.remaining_bytes(), followed_by);
            }
        }
    }

    #[test]
    fn reserved_types_are_byte_strings_and_others_are_refused() {
        assert_eq!(skip_variant(&mut Reader::new(&[26, 1, 0, 0, 0, 9]), 0), Ok(()));
        assert_eq!(skip_variant(&mut Reader::new(&[32, 1, 0, 0, 0, 9]), 0), Err(DecodeError::Malformed));
        assert_eq!(skip_variant(&mut Reader::new(&[DIMENSIONS | 1, 1]), 0), Err(DecodeError::Malformed));
    }
}
