//! Properties that a server writes: counted first, for their length precedes them (MQTT 5.0 §2.2.2.1).

use bytes::{BufMut, BytesMut};

use crate::properties::USER_PROPERTY;
use crate::{encode_variable_byte_integer, variable_byte_integer_bytes};

/// One property: its identifier, and its value by data type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutgoingProperty<'a> {
    Byte(u8, u8),
    TwoBytes(u8, u16),
    FourBytes(u8, u32),
    Binary(u8, &'a [u8]),
    UserProperty(&'a str, &'a str),
}

impl<'a> OutgoingProperty<'a> {
    /// A byte that says whether the server can do something.
    pub(crate) fn flag(identifier: u8, is_available: bool) -> Self {
        Self::Byte(identifier, u8::from(is_available))
    }

    /// A UTF-8 Encoded String, which lies on the wire as Binary Data does.
    pub(crate) const fn text(identifier: u8, text: &'a str) -> Self {
        Self::Binary(identifier, text.as_bytes())
    }

    const fn bytes(&self) -> usize {
        match self {
            Self::Byte(..) => 2,
            Self::TwoBytes(..) => 3,
            Self::FourBytes(..) => 5,
            Self::Binary(_, bytes) => 3 + bytes.len(),
            Self::UserProperty(name, value) => 5 + name.len() + value.len(),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match *self {
            Self::Byte(identifier, value) => out.put_slice(&[identifier, value]),
            Self::TwoBytes(identifier, value) => {
                out.put_u8(identifier);
                out.put_u16(value);
            }
            Self::FourBytes(identifier, value) => {
                out.put_u8(identifier);
                out.put_u32(value);
            }
            Self::Binary(identifier, bytes) => {
                out.put_u8(identifier);
                write_binary(out, bytes);
            }
            Self::UserProperty(name, value) => {
                out.put_u8(USER_PROPERTY);
                write_binary(out, name.as_bytes());
                write_binary(out, value.as_bytes());
            }
        }
    }
}

fn write_binary(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u16(u16::try_from(bytes.len()).expect("the caller keeps texts under 65,536 bytes"));
    out.put_slice(bytes);
}

/// A packet of 5.0 with properties: what stands before them, and what behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketWriter<'a, P> {
    pub(crate) first_byte: u8,
    pub(crate) before: &'a [u8],
    pub(crate) properties: P,
}

impl<'p, P> PacketWriter<'_, P>
where
    P: Iterator<Item = OutgoingProperty<'p>> + Clone,
{
    /// Bytes of the whole packet with `after_bytes` behind its properties.
    pub(crate) fn packet_bytes(&self, after_bytes: usize) -> usize {
        let remaining_length = self.remaining_length(after_bytes);
        1 + variable_byte_integer_bytes(remaining_length) + remaining_length
    }

    /// Appends all but the `after_bytes` that the caller appends.
    pub(crate) fn write(self, out: &mut BytesMut, after_bytes: usize) {
        out.put_u8(self.first_byte);
        encode_variable_byte_integer(out, wire_length(self.remaining_length(after_bytes)));
        out.put_slice(self.before);
        encode_variable_byte_integer(out, wire_length(self.properties_bytes()));
        for property in self.properties {
            property.write(out);
        }
    }

    fn remaining_length(&self, after_bytes: usize) -> usize {
        let properties_bytes = self.properties_bytes();
        self.before.len() + variable_byte_integer_bytes(properties_bytes) + properties_bytes + after_bytes
    }

    fn properties_bytes(&self) -> usize {
        self.properties.clone().map(|property| property.bytes()).sum()
    }
}

fn wire_length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the caller keeps packets within 256 MiB")
}
