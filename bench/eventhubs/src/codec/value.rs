//! Any AMQP value, and how it is written (AMQP 1.0 §1.6).

use bytes::{Bytes, BytesMut};

use super::encoder as put;

/// A value of any type. Lists, maps and arrays own their members; binaries share the frame they came in.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// 8 bits.
    Ubyte(u8),
    /// 16 bits.
    Ushort(u16),
    /// 32 bits.
    Uint(u32),
    /// 64 bits.
    Ulong(u64),
    /// 8 bits, signed.
    Byte(i8),
    /// 16 bits, signed.
    Short(i16),
    /// 32 bits, signed.
    Int(i32),
    /// 64 bits, signed.
    Long(i64),
    /// IEEE 754 binary32.
    Float(f32),
    /// IEEE 754 binary64.
    Double(f64),
    /// IEEE 754 decimal32, as it came.
    Decimal32([u8; 4]),
    /// IEEE 754 decimal64, as it came.
    Decimal64([u8; 8]),
    /// IEEE 754 decimal128, as it came.
    Decimal128([u8; 16]),
    /// A Unicode scalar value.
    Char(char),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// RFC 4122, in network order.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Bytes),
    /// Text.
    String(String),
    /// ASCII text from a constrained domain.
    Symbol(String),
    /// Values of any types, in order.
    List(Vec<Value>),
    /// Keys and values, in the order they came.
    Map(Vec<(Value, Value)>),
    /// Values of one type. An empty one is written with the constructor of null.
    Array(Vec<Value>),
    /// A descriptor and what it describes.
    Described(Box<(Value, Value)>),
}

impl Value {
    /// The text of a string or a symbol.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::String(text) | Self::Symbol(text) = self { Some(text) } else { None }
    }

    /// The number of any integer type, where it fits 64 signed bits; a timestamp's milliseconds.
    pub fn as_integer(&self) -> Option<i64> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no integers")]
        match *self {
            Self::Ubyte(number) => Some(number.into()),
            Self::Ushort(number) => Some(number.into()),
            Self::Uint(number) => Some(number.into()),
            Self::Ulong(number) => i64::try_from(number).ok(),
            Self::Byte(number) => Some(number.into()),
            Self::Short(number) => Some(number.into()),
            Self::Int(number) => Some(number.into()),
            Self::Long(number) | Self::Timestamp(number) => Some(number),
            _ => None,
        }
    }

    /// The value of the text key `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(found, _)| found.as_text() == Some(key)).map(|(_, value)| value)
    }

    /// Writes the value, in the shortest encoding of its type.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Null => put::null(out),
            Self::Bool(value) => put::boolean(out, *value),
            Self::Ubyte(value) => put::ubyte(out, *value),
            Self::Uint(value) => put::uint(out, *value),
            Self::Ulong(value) => put::ulong(out, *value),
            Self::Int(value) => put::int(out, *value),
            Self::Long(value) => put::long(out, *value),
            Self::Timestamp(value) => put::timestamp(out, *value),
            Self::Binary(value) => put::binary(out, value),
            Self::String(value) => put::string(out, value),
            Self::Symbol(value) => put::symbol(out, value),
            Self::Ushort(_)
            | Self::Byte(_)
            | Self::Short(_)
            | Self::Float(_)
            | Self::Double(_)
            | Self::Decimal32(_)
            | Self::Decimal64(_)
            | Self::Decimal128(_)
            | Self::Char(_)
            | Self::Uuid(_) => {
                out.extend_from_slice(&[self.widest_constructor()]);
                self.encode_widest(out);
            }
            Self::List(members) => {
                put::list(out, |list| members.iter().for_each(|member| list.value(member)));
            }
            Self::Map(entries) => put::map(out, |map| {
                for (key, value) in entries {
                    map.value(key);
                    map.value(value);
                }
            }),
            Self::Array(members) => encode_array(out, members),
            Self::Described(parts) => {
                out.extend_from_slice(&[0]);
                parts.0.encode(out);
                parts.1.encode(out);
            }
        }
    }

    /// The constructor of the encoding that holds every value of this type: what all members of an array share.
    fn widest_constructor(&self) -> u8 {
        match self {
            Self::Null => 0x40,
            Self::Bool(_) => 0x56,
            Self::Ubyte(_) => 0x50,
            Self::Ushort(_) => 0x60,
            Self::Uint(_) => 0x70,
            Self::Ulong(_) => 0x80,
            Self::Byte(_) => 0x51,
            Self::Short(_) => 0x61,
            Self::Int(_) => 0x71,
            Self::Long(_) => 0x81,
            Self::Float(_) => 0x72,
            Self::Double(_) => 0x82,
            Self::Decimal32(_) => 0x74,
            Self::Decimal64(_) => 0x84,
            Self::Decimal128(_) => 0x94,
            Self::Char(_) => 0x73,
            Self::Timestamp(_) => 0x83,
            Self::Uuid(_) => 0x98,
            Self::Binary(_) => 0xb0,
            Self::String(_) => 0xb1,
            Self::Symbol(_) => 0xb3,
            Self::List(_) => 0xd0,
            Self::Map(_) => 0xd1,
            Self::Array(_) => 0xf0,
            Self::Described(_) => 0x00,
        }
    }

    /// Writes the value without its constructor, as [`Self::widest_constructor`] announces it.
    fn encode_widest(&self, out: &mut BytesMut) {
        match self {
            Self::Null => {}
            Self::Bool(value) => out.extend_from_slice(&[u8::from(*value)]),
            Self::Ubyte(value) => out.extend_from_slice(&[*value]),
            Self::Ushort(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Uint(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Ulong(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Byte(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Short(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Int(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Long(value) | Self::Timestamp(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Decimal32(value) => out.extend_from_slice(value),
            Self::Decimal64(value) => out.extend_from_slice(value),
            Self::Decimal128(value) | Self::Uuid(value) => out.extend_from_slice(value),
            Self::Char(value) => out.extend_from_slice(&u32::from(*value).to_be_bytes()),
            Self::Binary(value) => put::sized_32(out, value),
            Self::String(value) | Self::Symbol(value) => put::sized_32(out, value.as_bytes()),
            Self::List(members) => {
                put::compound_32(out, |list| members.iter().for_each(|member| list.value(member)));
            }
            Self::Map(entries) => put::compound_32(out, |map| {
                for (key, value) in entries {
                    map.value(key);
                    map.value(value);
                }
            }),
            Self::Array(members) => encode_array_body(out, members),
            // An array of described values repeats its descriptor in the constructor; see `encode_array_body`.
            Self::Described(parts) => parts.1.encode_widest(out),
        }
    }
}

fn encode_array(out: &mut BytesMut, members: &[Value]) {
    out.extend_from_slice(&[0xf0]);
    encode_array_body(out, members);
}

/// Size, count, the constructor that all members share, and the members.
fn encode_array_body(out: &mut BytesMut, members: &[Value]) {
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&put::length(members.len()).to_be_bytes());
    let mut shape = members.first().unwrap_or(&Value::Null);
    while let Value::Described(parts) = shape {
        out.extend_from_slice(&[0]);
        parts.0.encode(out);
        shape = &parts.1;
    }
    out.extend_from_slice(&[shape.widest_constructor()]);
    for member in members {
        member.encode_widest(out);
    }
    put::patch_size_32(out, size_at);
}
