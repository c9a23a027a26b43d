//! A Variant as JSON (Part 6 §5.4.2), read from the wire's bytes.
//!
//! Where the standard and the consumers of Azure IoT Operations part ways, the consumers win: 64-bit integers are JSON
//! numbers with all their digits (the standard would quote them), a `LocalizedText` is its text. NaN and the infinities
//! are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`; a null of any type is `null`; an array of several dimensions is
//! arrays in arrays; an ExtensionObject is opaque: `{"TypeId":"ns=2;i=5001","Body":"base64"}`.

use super::sink::Sink;
use super::text::{write_escaped, write_string};
use super::timestamp::TimestampFormatter;
use crate::binary::DecodeError;
use crate::binary::data_value::read_data_value;
use crate::binary::reader::Reader;
use crate::binary::variant::{ARRAY, DIMENSIONS, TYPE_MASK, built_in, skip_element};
use crate::{Identifier, NodeId, StatusCode, base64};

/// Writes values; keeps what is common to them.
#[derive(Debug)]
pub(crate) struct ValueWriter {
    /// Dates.
    pub(crate) timestamps: TimestampFormatter,
    /// Strings whose bytes were no UTF-8.
    pub(crate) texts_replaced_count: u64,
}

impl ValueWriter {
    pub(crate) fn new() -> Self {
        Self { timestamps: TimestampFormatter::new(), texts_replaced_count: 0 }
    }

    /// Writes a Variant that the visitor has walked over, `null` where `variant` is empty. Whatever the bytes are, the
    /// text is whole JSON.
    #[inline]
    pub(crate) fn write_variant(&mut self, sink: &mut impl Sink, variant: &[u8]) {
        match variant {
            [built_in::STRING, length @ ..] if length.len() > 4 => {
                if !write_string(sink, &length[4..]) {
                    self.texts_replaced_count += 1;
                }
            }
            [built_in::DOUBLE, number @ ..] if let Ok(number) = number.try_into() => {
                write_double(sink, f64::from_le_bytes(number));
            }
            [] => sink.put(b"null"),
            _ => self.write_uncommon(sink, variant),
        }
    }

    fn write_uncommon(&mut self, sink: &mut impl Sink, variant: &[u8]) {
        let mut reader = Reader::new(variant);
        // The visitor walked over these bytes without an error, so reading them again has none either.
        let written = self.read_variant(sink, &mut reader, 0);
        debug_assert_eq!(written, Ok(()), "only values that were walked over are written");
    }

    fn read_variant(&mut self, sink: &mut impl Sink, reader: &mut Reader<'_>, depth: u8) -> Result<(), DecodeError> {
        let mask = reader.byte()?;
        let type_number = mask & TYPE_MASK;
        if mask & ARRAY == 0 {
            return self.read_element(sink, reader, type_number, depth);
        }
        if { *reader }.i32()? < 0 || type_number == built_in::NULL {
            reader.take(4)?;
            sink.put(b"null");
            if mask & DIMENSIONS != 0 {
                reader.u32_array()?;
            }
            return Ok(());
        }
        let length = reader.array_length()?;
        if mask & DIMENSIONS == 0 {
            return self.read_array(sink, reader, type_number, length, depth);
        }
        let mut behind = *reader;
        for _ in 0..length {
            skip_element(&mut behind, type_number, depth)?;
        }
        let dimensions = behind.u32_array()?;
        if is_shape_of(dimensions, length) {
            self.read_matrix(sink, reader, type_number, dimensions, depth)?;
        } else {
            self.read_array(sink, reader, type_number, length, depth)?;
        }
        *reader = behind;
        Ok(())
    }

    fn read_array(
        &mut self,
        sink: &mut impl Sink,
        reader: &mut Reader<'_>,
        type_number: u8,
        length: usize,
        depth: u8,
    ) -> Result<(), DecodeError> {
        sink.put_byte(b'[');
        for index in 0..length {
            if index > 0 {
                sink.put_byte(b',');
            }
            self.read_element(sink, reader, type_number, depth)?;
        }
        sink.put_byte(b']');
        Ok(())
    }

    /// The last dimension varies fastest (Part 6 §5.2.2.16).
    fn read_matrix(
        &mut self,
        sink: &mut impl Sink,
        reader: &mut Reader<'_>,
        type_number: u8,
        dimensions: &[[u8; 4]],
        depth: u8,
    ) -> Result<(), DecodeError> {
        let (first, rest) = dimensions.split_first().expect("a shape has at least one dimension");
        let length = u32::from_le_bytes(*first) as usize;
        if rest.is_empty() {
            return self.read_array(sink, reader, type_number, length, depth);
        }
        sink.put_byte(b'[');
        for index in 0..length {
            if index > 0 {
                sink.put_byte(b',');
            }
            self.read_matrix(sink, reader, type_number, rest, depth)?;
        }
        sink.put_byte(b']');
        Ok(())
    }

    fn read_element(
        &mut self,
        sink: &mut impl Sink,
        reader: &mut Reader<'_>,
        type_number: u8,
        depth: u8,
    ) -> Result<(), DecodeError> {
        match type_number {
            built_in::BOOLEAN => sink.put(if reader.byte()? == 0 { b"false" } else { b"true" }),
            built_in::SBYTE => write_integer(sink, i8::from_le_bytes(reader.array()?)),
            built_in::BYTE => write_integer(sink, reader.byte()?),
            built_in::INT16 => write_integer(sink, reader.i16()?),
            built_in::UINT16 => write_integer(sink, reader.u16()?),
            built_in::INT32 => write_integer(sink, reader.i32()?),
            built_in::UINT32 => write_integer(sink, reader.u32()?),
            built_in::INT64 => write_integer(sink, reader.i64()?),
            built_in::UINT64 => write_integer(sink, reader.u64()?),
            built_in::FLOAT => write_float(sink, reader.f32()?),
            built_in::DOUBLE => write_double(sink, reader.f64()?),
            built_in::STRING | built_in::XML_ELEMENT => {
                let text = reader.text()?;
                self.write_text(sink, text);
            }
            built_in::DATE_TIME => {
                let time = contract::UtcTime::from_opc_ua_ticks(reader.i64()?);
                sink.put_byte(b'"');
                sink.put(self.timestamps.format(time));
                sink.put_byte(b'"');
            }
            built_in::STATUS_CODE => write_status_code(sink, StatusCode(reader.u32()?)),
            built_in::VARIANT if depth < Reader::DEPTH_MAX => self.read_variant(sink, reader, depth + 1)?,
            built_in::DATA_VALUE if depth < Reader::DEPTH_MAX => {
                self.read_nested_data_value(sink, reader, depth + 1)?;
            }
            _ => self.read_structured(sink, reader, type_number, depth)?,
        }
        Ok(())
    }

    fn read_structured(
        &mut self,
        sink: &mut impl Sink,
        reader: &mut Reader<'_>,
        type_number: u8,
        depth: u8,
    ) -> Result<(), DecodeError> {
        match type_number {
            built_in::BYTE_STRING | 26..=31 => match reader.text()? {
                Some(bytes) => write_base64(sink, bytes),
                None => sink.put(b"null"),
            },
            built_in::GUID => {
                let text = Identifier::Guid(read_guid(reader)?).to_string();
                sink.put_byte(b'"');
                sink.put(&text.as_bytes()["g=".len()..]);
                sink.put_byte(b'"');
            }
            built_in::NODE_ID | built_in::EXPANDED_NODE_ID => {
                let text = read_node_id(reader)?;
                self.write_text(sink, Some(text.as_bytes()));
            }
            built_in::QUALIFIED_NAME => {
                let namespace_index = reader.u16()?;
                let name = reader.text()?.unwrap_or_default();
                let mut text =
                    if namespace_index == 0 { String::new() } else { format!("{namespace_index}:") }.into_bytes();
                text.extend_from_slice(name);
                self.write_text(sink, Some(&text));
            }
            built_in::LOCALIZED_TEXT => {
                let mask = reader.byte()?;
                if mask & 1 != 0 {
                    reader.skip_text()?;
                }
                let text = if mask & 2 != 0 { reader.text()? } else { None };
                self.write_text(sink, text);
            }
            built_in::EXTENSION_OBJECT => self.read_extension_object(sink, reader)?,
            _ => {
                skip_element(reader, type_number, depth)?;
                sink.put(b"null");
            }
        }
        Ok(())
    }

    fn read_extension_object(&mut self, sink: &mut impl Sink, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let type_id = read_node_id(reader)?;
        let is_xml = reader.rest().first() == Some(&2);
        sink.put(b"{\"TypeId\":");
        self.write_text(sink, Some(type_id.as_bytes()));
        if let Some(body) = reader.extension_object_body()? {
            sink.put(b",\"Body\":");
            if is_xml {
                self.write_text(sink, Some(body));
            } else {
                write_base64(sink, body);
            }
        }
        sink.put_byte(b'}');
        Ok(())
    }

    fn read_nested_data_value(
        &mut self,
        sink: &mut impl Sink,
        reader: &mut Reader<'_>,
        depth: u8,
    ) -> Result<(), DecodeError> {
        let value = read_data_value(reader, depth)?;
        sink.put_byte(b'{');
        if let Some(time) = value.source_timestamp() {
            sink.put(b"\"SourceTimestamp\":\"");
            sink.put(self.timestamps.format(time));
            sink.put(b"\",");
        }
        sink.put(b"\"Value\":");
        if value.variant.is_empty() {
            sink.put(b"null");
        } else {
            self.read_variant(sink, &mut Reader::new(value.variant), depth)?;
        }
        if value.status_code != StatusCode::GOOD {
            sink.put(b",\"StatusCode\":");
            write_status_code(sink, value.status_code);
        }
        sink.put_byte(b'}');
        Ok(())
    }

    fn write_text(&mut self, sink: &mut impl Sink, text: Option<&[u8]>) {
        match text {
            Some(bytes) => {
                if !write_string(sink, bytes) {
                    self.texts_replaced_count += 1;
                }
            }
            None => sink.put(b"null"),
        }
    }
}

/// Writes `{"Symbol":"BadNodeIdUnknown","Code":2150891520}`; a code of nobody's has no symbol.
pub(crate) fn write_status_code(sink: &mut impl Sink, status_code: StatusCode) {
    sink.put_byte(b'{');
    if let Some(symbol) = status_code.symbol() {
        sink.put(b"\"Symbol\":\"");
        sink.put(symbol.as_bytes());
        sink.put(b"\",");
    }
    sink.put(b"\"Code\":");
    write_integer(sink, status_code.0);
    sink.put_byte(b'}');
}

pub(crate) fn write_integer(sink: &mut impl Sink, number: impl itoa::Integer) {
    sink.put(itoa::Buffer::new().format(number).as_bytes());
}

#[inline]
fn write_double(sink: &mut impl Sink, number: f64) {
    if number.is_finite() {
        sink.put(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        write_not_finite(sink, number.is_nan(), number.is_sign_negative());
    }
}

fn write_float(sink: &mut impl Sink, number: f32) {
    if number.is_finite() {
        sink.put(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        write_not_finite(sink, number.is_nan(), number.is_sign_negative());
    }
}

fn write_not_finite(sink: &mut impl Sink, is_nan: bool, is_negative: bool) {
    let text: &[u8] = match (is_nan, is_negative) {
        (true, _) => b"\"NaN\"",
        (false, false) => b"\"Infinity\"",
        (false, true) => b"\"-Infinity\"",
    };
    sink.put(text);
}

fn write_base64(sink: &mut impl Sink, bytes: &[u8]) {
    sink.put_byte(b'"');
    base64::encode(bytes, |characters| sink.put(characters));
    sink.put_byte(b'"');
}

/// A Guid's first three fields are little endian on the wire (Part 6 §5.2.2.6).
fn read_guid(reader: &mut Reader<'_>) -> Result<[u8; 16], DecodeError> {
    let mut guid = reader.array::<16>()?;
    guid[0..4].reverse();
    guid[4..6].reverse();
    guid[6..8].reverse();
    Ok(guid)
}

/// A NodeId or `ExpandedNodeId` as text (Part 6 §5.3.1.10 and 11).
fn read_node_id(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let encoding = reader.byte()?;
    let (namespace_index, identifier) = match encoding & 0x3f {
        0 => (0, Identifier::Numeric(u32::from(reader.byte()?))),
        1 => (u16::from(reader.byte()?), Identifier::Numeric(u32::from(reader.u16()?))),
        2 => (reader.u16()?, Identifier::Numeric(reader.u32()?)),
        3 => (reader.u16()?, Identifier::Text(String::from_utf8_lossy(reader.text()?.unwrap_or_default()).into())),
        4 => (reader.u16()?, Identifier::Guid(read_guid(reader)?)),
        5 => (reader.u16()?, Identifier::Opaque(reader.text()?.unwrap_or_default().into())),
        _ => return Err(DecodeError::Malformed),
    };
    let uri = if encoding & 0x80 != 0 { reader.text()? } else { None };
    let server_index = if encoding & 0x40 != 0 { reader.u32()? } else { 0 };
    let server = if server_index == 0 { String::new() } else { format!("svr={server_index};") };
    Ok(match uri {
        Some(uri) => format!("{server}nsu={};{identifier}", String::from_utf8_lossy(uri)),
        None => format!("{server}{}", NodeId { namespace_index, identifier }),
    })
}

fn is_shape_of(dimensions: &[[u8; 4]], length: usize) -> bool {
    // A dimension of nothing would let the others be as large as they like.
    (1..=usize::from(Reader::DEPTH_MAX)).contains(&dimensions.len())
        && dimensions.iter().all(|dimension| *dimension != [0; 4])
        && dimensions
            .iter()
            .try_fold(1_usize, |product, dimension| product.checked_mul(u32::from_le_bytes(*dimension) as usize))
            == Some(length)
}

/// Writes a member's name, escaped, with the colon behind it.
pub(crate) fn write_key(sink: &mut impl Sink, name: &str) {
    sink.put_byte(b'"');
    write_escaped(sink, name);
    sink.put(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(variant: &[u8]) -> String {
        let mut text = Vec::new();
        ValueWriter::new().write_variant(&mut text, variant);
        let text = String::from_utf8(text).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text
    }

    fn with(type_number: u8, value: &[u8]) -> Vec<u8> {
        [&[type_number], value].concat()
    }

    #[test]
    fn every_scalar_has_its_form() {
        for (variant, text) in [
            (vec![], "null"),
            (with(0, &[]), "null"),
            (with(1, &[1]), "true"),
            (with(1, &[0]), "false"),
            (with(2, &[0x80]), "-128"),
            (with(3, &[255]), "255"),
            (with(4, &(-2_i16).to_le_bytes()), "-2"),
            (with(5, &65_535_u16.to_le_bytes()), "65535"),
            (with(6, &i32::MIN.to_le_bytes()), "-2147483648"),
            (with(7, &u32::MAX.to_le_bytes()), "4294967295"),
            (with(8, &i64::MIN.to_le_bytes()), "-9223372036854775808"),
            (with(9, &u64::MAX.to_le_bytes()), "18446744073709551615"),
            (with(10, &0.1_f32.to_le_bytes()), "0.1"),
            (with(11, &21.5_f64.to_le_bytes()), "21.5"),
            (with(11, &f64::NAN.to_le_bytes()), "\"NaN\""),
            (with(10, &f32::INFINITY.to_le_bytes()), "\"Infinity\""),
            (with(11, &f64::NEG_INFINITY.to_le_bytes()), "\"-Infinity\""),
            (with(12, &[3, 0, 0, 0, b'a', b'"', b'b']), "\"a\\\"b\""),
            (with(12, &[0, 0, 0, 0]), "\"\""),
            (with(12, &[255; 4]), "null"),
            (with(13, &UNIX_EPOCH), "\"1970-01-01T00:00:00.0000000Z\""),
            (with(14, &GUID), "\"72962b91-fa75-4ae6-8d28-b404dc7daf63\""),
            (with(15, &[2, 0, 0, 0, 1, 2]), "\"AQI=\""),
            (with(15, &[255; 4]), "null"),
            (with(16, &[4, 0, 0, 0, b'<', b'a', b'/', b'>']), "\"<a/>\""),
            (with(17, &[1, 2, 0xe9, 3]), "\"ns=2;i=1001\""),
            (with(17, &[3, 1, 0, 3, 0, 0, 0, b'H', b'o', b't']), "\"ns=1;s=Hot\""),
            (with(18, &[0x80, 5, 1, 0, 0, 0, b'u']), "\"nsu=u;i=5\""),
            (with(18, &[0x40, 5, 9, 0, 0, 0]), "\"svr=9;i=5\""),
            (with(19, &0x8034_0000_u32.to_le_bytes()), "{\"Symbol\":\"BadNodeIdUnknown\",\"Code\":2150891520}"),
            (with(20, &[2, 0, 1, 0, 0, 0, b'q']), "\"2:q\""),
            (with(21, &[3, 2, 0, 0, 0, b'e', b'n', 2, 0, 0, 0, b'h', b'i']), "\"hi\""),
            (with(21, &[0]), "null"),
            (with(22, &[1, 2, 0x89, 0x13, 1, 1, 0, 0, 0, 7]), "{\"TypeId\":\"ns=2;i=5001\",\"Body\":\"Bw==\"}"),
            (with(22, &[0, 0, 0]), "{\"TypeId\":\"i=0\"}"),
            (with(23, &[3, 3, 7, 0, 0, 5, 0x80]), NESTED),
            (with(24, &[3, 7]), "7"),
            (with(25, &[0]), "null"),
            (with(26, &[1, 0, 0, 0, 7]), "\"Bw==\""),
        ] {
            assert_eq!(json(&variant), text, "{variant:?}");
        }
    }

    #[test]
    fn arrays_nest_by_their_dimensions() {
        let array =
            |mask: u8, tail: &[u8]| json(&[&[built_in::BYTE | mask, 6, 0, 0, 0, 1, 2, 3, 4, 5, 6], tail].concat());
        assert_eq!(array(ARRAY, &[]), "[1,2,3,4,5,6]");
        assert_eq!(array(ARRAY | DIMENSIONS, &[2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]), "[[1,2,3],[4,5,6]]");
        assert_eq!(array(ARRAY | DIMENSIONS, &[1, 0, 0, 0, 9, 0, 0, 0]), "[1,2,3,4,5,6]");
        assert_eq!(json(&[ARRAY | 3, 0, 0, 0, 0]), "[]");
        assert_eq!(json(&[ARRAY | 3, 255, 255, 255, 255]), "null");
        assert_eq!(json(&[ARRAY, 3, 0, 0, 0]), "null");
        assert_eq!(json(&[ARRAY | built_in::VARIANT, 2, 0, 0, 0, 3, 7, 1, 1]), "[7,true]");
    }

    #[test]
    fn a_text_that_is_no_utf8_is_counted() {
        let mut writer = ValueWriter::new();
        writer.write_variant(&mut Vec::new(), &[12, 1, 0, 0, 0, 0xff]);
        assert_eq!(writer.texts_replaced_count, 1);
    }

    const UNIX_EPOCH: [u8; 8] = contract::UtcTime::OPC_UA_EPOCH_TICKS.to_le_bytes();
    // The example of Part 6 §5.2.2.6.
    const GUID: [u8; 16] =
        [0x91, 0x2b, 0x96, 0x72, 0x75, 0xfa, 0xe6, 0x4a, 0x8d, 0x28, 0xb4, 0x04, 0xdc, 0x7d, 0xaf, 0x63];
    const NESTED: &str = "{\"Value\":7,\"StatusCode\":{\"Symbol\":\"BadCommunicationError\",\"Code\":2147811328}}";
}
