//! Reads values from bytes, within limits (AMQP 1.0 §1.6).

use bytes::Bytes;

use super::DecodeError;
use super::value::Value;

/// How deep lists, maps, arrays and descriptors may nest.
pub const DEPTH_MAX: u32 = 16;
/// How many values one frame or message may hold. An array of nulls takes no bytes, so bytes alone limit nothing.
pub const VALUES_COUNT_MAX: u32 = 65_536;

/// Reads one value after another.
#[derive(Debug)]
pub struct Decoder<'a> {
    input: &'a Bytes,
    at: usize,
    values_left: u32,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte of `input`.
    pub fn new(input: &'a Bytes) -> Self {
        Self { input, at: 0, values_left: VALUES_COUNT_MAX }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at == self.input.len()
    }

    /// What is left, shared.
    pub fn rest(&self) -> Bytes {
        self.input.slice(self.at..)
    }

    /// The next byte, not consumed.
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).ok_or(DecodeError::Truncated)?;
        let taken = self.input.get(self.at..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as asked for"))
    }

    fn take_shared(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        let start = self.at;
        self.take(count)?;
        Ok(self.input.slice(start..self.at))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn size(&mut self, wide: bool) -> Result<usize, DecodeError> {
        if wide { self.size_32() } else { Ok(self.byte()?.into()) }
    }

    fn size_32(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_be_bytes(self.take_array()?) as usize)
    }

    /// Reads a descriptor that is a number: `0x00`, then a ulong.
    ///
    /// # Errors
    /// It is something else.
    pub fn descriptor(&mut self) -> Result<u64, DecodeError> {
        let start = self.byte()?;
        if start != 0 {
            return Err(DecodeError::Constructor(start));
        }
        match self.byte()? {
            0x53 => Ok(self.byte()?.into()),
            0x80 => Ok(u64::from_be_bytes(self.take_array()?)),
            0x44 => Ok(0),
            other => Err(DecodeError::Constructor(other)),
        }
    }

    /// Opens a list, whose fields are then read one by one.
    ///
    /// # Errors
    /// It is none, or its size is not that of its fields.
    pub fn fields(&mut self) -> Result<Fields<'_, 'a>, DecodeError> {
        let (end, count) = match self.byte()? {
            0x45 => (self.at, 0),
            constructor @ (0xc0 | 0xd0) => self.compound_header(constructor == 0xd0)?,
            other => return Err(DecodeError::Constructor(other)),
        };
        Ok(Fields { decoder: self, end, left: count })
    }

    /// Opens a map: where it ends, and how many keys and values it holds together.
    ///
    /// # Errors
    /// It is none.
    pub fn map_header(&mut self) -> Result<(usize, u32), DecodeError> {
        match self.byte()? {
            constructor @ (0xc1 | 0xd1) => self.compound_header(constructor == 0xd1),
            other => Err(DecodeError::Constructor(other)),
        }
    }

    /// Reads size and count. Returns the position of the end, and the count.
    fn compound_header(&mut self, wide: bool) -> Result<(usize, u32), DecodeError> {
        let size = self.size(wide)?;
        let end = self.at.checked_add(size).filter(|end| *end <= self.input.len()).ok_or(DecodeError::Truncated)?;
        let count = self.size(wide)?;
        if self.at > end {
            return Err(DecodeError::Range);
        }
        Ok((end, u32::try_from(count).expect("at most four bytes were read")))
    }

    /// Reads a value of any type.
    ///
    /// # Errors
    /// It is malformed, too deep, or the values of this input are too many.
    pub fn value(&mut self) -> Result<Value, DecodeError> {
        self.value_at_depth(0)
    }

    fn value_at_depth(&mut self, depth: u32) -> Result<Value, DecodeError> {
        let constructor = self.byte()?;
        if constructor != 0 {
            return self.body(constructor, depth);
        }
        if depth >= DEPTH_MAX {
            return Err(DecodeError::TooComplex);
        }
        let descriptor = self.value_at_depth(depth + 1)?;
        let value = self.value_at_depth(depth + 1)?;
        Ok(Value::Described(Box::new((descriptor, value))))
    }

    /// Reads what follows `constructor`.
    fn body(&mut self, constructor: u8, depth: u32) -> Result<Value, DecodeError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(DecodeError::TooComplex)?;
        Ok(match constructor {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x56 => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(DecodeError::Range),
            },
            0x50 => Value::Ubyte(self.byte()?),
            0x60 => Value::Ushort(u16::from_be_bytes(self.take_array()?)),
            0x43 => Value::Uint(0),
            0x52 => Value::Uint(self.byte()?.into()),
            0x70 => Value::Uint(u32::from_be_bytes(self.take_array()?)),
            0x44 => Value::Ulong(0),
            0x53 => Value::Ulong(self.byte()?.into()),
            0x80 => Value::Ulong(u64::from_be_bytes(self.take_array()?)),
            0x51 => Value::Byte(i8::from_be_bytes(self.take_array()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.take_array()?)),
            0x54 => Value::Int(i8::from_be_bytes(self.take_array()?).into()),
            0x71 => Value::Int(i32::from_be_bytes(self.take_array()?)),
            0x55 => Value::Long(i8::from_be_bytes(self.take_array()?).into()),
            0x81 => Value::Long(i64::from_be_bytes(self.take_array()?)),
            0x72 => Value::Float(f32::from_be_bytes(self.take_array()?)),
            0x82 => Value::Double(f64::from_be_bytes(self.take_array()?)),
            0x74 => Value::Decimal32(self.take_array()?),
            0x84 => Value::Decimal64(self.take_array()?),
            0x94 => Value::Decimal128(self.take_array()?),
            0x73 => {
                let code = u32::from_be_bytes(self.take_array()?);
                Value::Char(char::from_u32(code).ok_or(DecodeError::Text)?)
            }
            0x83 => Value::Timestamp(i64::from_be_bytes(self.take_array()?)),
            0x98 => Value::Uuid(self.take_array()?),
            0xa0 | 0xb0 => {
                let size = self.size(constructor == 0xb0)?;
                Value::Binary(self.take_shared(size)?)
            }
            0xa1 | 0xb1 => Value::String(self.text(constructor == 0xb1)?.to_owned()),
            0xa3 | 0xb3 => {
                let text = self.text(constructor == 0xb3)?;
                if !text.is_ascii() {
                    return Err(DecodeError::Text);
                }
                Value::Symbol(text.to_owned())
            }
            0x45 | 0xc0 | 0xd0 | 0xc1 | 0xd1 | 0xe0 | 0xf0 => self.compound(constructor, depth)?,
            other => return Err(DecodeError::Constructor(other)),
        })
    }

    fn text(&mut self, wide: bool) -> Result<&'a str, DecodeError> {
        let size = self.size(wide)?;
        std::str::from_utf8(self.take(size)?).map_err(|_| DecodeError::Text)
    }

    fn compound(&mut self, constructor: u8, depth: u32) -> Result<Value, DecodeError> {
        if constructor == 0x45 {
            return Ok(Value::List(Vec::new()));
        }
        if depth >= DEPTH_MAX {
            return Err(DecodeError::TooComplex);
        }
        let (end, count) = self.compound_header(constructor >= 0xd0 && constructor != 0xe0)?;
        let value = match constructor {
            0xc0 | 0xd0 => {
                let mut members = Vec::new();
                for _ in 0..count {
                    members.push(self.value_at_depth(depth + 1)?);
                }
                Value::List(members)
            }
            0xc1 | 0xd1 => {
                if count % 2 != 0 {
                    return Err(DecodeError::Range);
                }
                let mut entries = Vec::new();
                for _ in 0..count / 2 {
                    let key = self.value_at_depth(depth + 1)?;
                    entries.push((key, self.value_at_depth(depth + 1)?));
                }
                Value::Map(entries)
            }
            _ => self.array(count, depth)?,
        };
        if self.at == end { Ok(value) } else { Err(DecodeError::Range) }
    }

    fn array(&mut self, count: u32, depth: u32) -> Result<Value, DecodeError> {
        let mut descriptors = Vec::new();
        let mut constructor = self.byte()?;
        while constructor == 0 {
            if descriptors.len() >= DEPTH_MAX as usize {
                return Err(DecodeError::TooComplex);
            }
            descriptors.push(self.value_at_depth(depth + 1)?);
            constructor = self.byte()?;
        }
        let mut members = Vec::new();
        for _ in 0..count {
            let mut member = self.body(constructor, depth + 1)?;
            for descriptor in descriptors.iter().rev() {
                self.values_left = self.values_left.checked_sub(1).ok_or(DecodeError::TooComplex)?;
                member = Value::Described(Box::new((descriptor.clone(), member)));
            }
            members.push(member);
        }
        Ok(Value::Array(members))
    }

    /// Passes over one value without building it.
    ///
    /// # Errors
    /// It ends after the input, or its constructor is unknown. What is inside a list, map or array is not looked at.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let mut constructor = self.byte()?;
        let mut descriptors_left = DEPTH_MAX;
        // Each descriptor is followed by the value it describes.
        while constructor == 0 {
            descriptors_left = descriptors_left.checked_sub(1).ok_or(DecodeError::TooComplex)?;
            let inner = self.byte()?;
            if inner == 0 {
                return Err(DecodeError::Constructor(0));
            }
            self.skip_body(inner)?;
            constructor = self.byte()?;
        }
        self.skip_body(constructor)
    }

    fn skip_body(&mut self, constructor: u8) -> Result<(), DecodeError> {
        let size = match constructor {
            0x40..=0x45 => 0,
            0x50..=0x56 => 1,
            0x60 | 0x61 => 2,
            0x70..=0x74 => 4,
            0x80..=0x84 => 8,
            0x94 | 0x98 => 16,
            0xa0 | 0xa1 | 0xa3 | 0xc0 | 0xc1 | 0xe0 => self.byte()?.into(),
            0xb0 | 0xb1 | 0xb3 | 0xd0 | 0xd1 | 0xf0 => self.size_32()?,
            other => return Err(DecodeError::Constructor(other)),
        };
        self.take(size).map(|_| ())
    }

    /// Reads the binary of a data section, shared.
    ///
    /// # Errors
    /// It is none.
    pub fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let size = match self.byte()? {
            0xa0 => self.size(false)?,
            0xb0 => self.size(true)?,
            other => return Err(DecodeError::Constructor(other)),
        };
        self.take_shared(size)
    }

    /// Reads the text of a string or a symbol, in place.
    ///
    /// # Errors
    /// It is neither.
    pub fn text_in_place(&mut self) -> Result<&'a str, DecodeError> {
        match self.byte()? {
            0xa1 | 0xa3 => self.text(false),
            0xb1 | 0xb3 => self.text(true),
            other => Err(DecodeError::Constructor(other)),
        }
    }

    /// Reads an integer of any width and sign, or a timestamp, where it fits 64 signed bits.
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn integer(&mut self) -> Result<i64, DecodeError> {
        let constructor = self.byte()?;
        self.body(constructor, 0)?.as_integer().ok_or(DecodeError::Range)
    }
}

/// The fields of a list, read in order. A field that is null or beyond the list's end reads as `None`.
pub struct Fields<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    end: usize,
    left: u32,
}

impl Fields<'_, '_> {
    /// The constructor of the next field, if it is there and not null.
    fn constructor(&mut self) -> Result<Option<u8>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let constructor = self.decoder.byte()?;
        Ok((constructor != 0x40).then_some(constructor))
    }

    fn number<T: TryFrom<i64>>(&mut self, allowed: &[u8]) -> Result<Option<T>, DecodeError> {
        let Some(constructor) = self.constructor()? else { return Ok(None) };
        if !allowed.contains(&constructor) {
            return Err(DecodeError::Constructor(constructor));
        }
        let number = self.decoder.body(constructor, 0)?.as_integer().ok_or(DecodeError::Range)?;
        T::try_from(number).map(Some).map_err(|_| DecodeError::Range)
    }

    /// A ubyte.
    pub(crate) fn ubyte(&mut self) -> Result<Option<u8>, DecodeError> {
        self.number(&[0x50])
    }

    /// A ushort.
    pub(crate) fn ushort(&mut self) -> Result<Option<u16>, DecodeError> {
        self.number(&[0x60])
    }

    /// A uint.
    pub(crate) fn uint(&mut self) -> Result<Option<u32>, DecodeError> {
        match self.constructor()? {
            None => Ok(None),
            Some(0x43) => Ok(Some(0)),
            Some(0x52) => Ok(Some(self.decoder.byte()?.into())),
            Some(0x70) => Ok(Some(u32::from_be_bytes(self.decoder.take_array()?))),
            Some(other) => Err(DecodeError::Constructor(other)),
        }
    }

    /// A ulong. Values past `i64::MAX` read as that.
    pub(crate) fn ulong(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.constructor()? {
            None => Ok(None),
            Some(0x44) => Ok(Some(0)),
            Some(0x53) => Ok(Some(self.decoder.byte()?.into())),
            Some(0x80) => Ok(Some(u64::from_be_bytes(self.decoder.take_array()?))),
            Some(other) => Err(DecodeError::Constructor(other)),
        }
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self) -> Result<Option<bool>, DecodeError> {
        match self.constructor()? {
            None => Ok(None),
            Some(constructor @ (0x41 | 0x42 | 0x56)) => {
                Ok(Some(matches!(self.decoder.body(constructor, 0)?, Value::Bool(true))))
            }
            Some(other) => Err(DecodeError::Constructor(other)),
        }
    }

    /// A string or a symbol.
    pub(crate) fn text(&mut self) -> Result<Option<String>, DecodeError> {
        match self.constructor()? {
            None => Ok(None),
            Some(constructor @ (0xa1 | 0xa3 | 0xb1 | 0xb3)) => {
                Ok(Some(self.decoder.text(constructor >= 0xb0)?.to_owned()))
            }
            Some(other) => Err(DecodeError::Constructor(other)),
        }
    }

    /// A binary, shared.
    pub(crate) fn binary(&mut self) -> Result<Option<Bytes>, DecodeError> {
        match self.constructor()? {
            None => Ok(None),
            Some(constructor @ (0xa0 | 0xb0)) => {
                let size = self.decoder.size(constructor == 0xb0)?;
                self.decoder.take_shared(size).map(Some)
            }
            Some(other) => Err(DecodeError::Constructor(other)),
        }
    }

    /// A value of any type.
    pub(crate) fn value(&mut self) -> Result<Option<Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let value = self.decoder.value_at_depth(1)?;
        Ok((value != Value::Null).then_some(value))
    }

    /// The encoded bytes of one value of any type, shared; `None` for null.
    pub(crate) fn raw(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.decoder.at;
        self.decoder.skip()?;
        let raw = self.decoder.input.slice(start..self.decoder.at);
        Ok((raw[..] != [0x40]).then_some(raw))
    }

    /// Ends the list: passes over fields that were not asked for.
    pub(crate) fn end(mut self) -> Result<(), DecodeError> {
        while self.left > 0 {
            self.left -= 1;
            self.decoder.skip()?;
            if self.decoder.at > self.end {
                return Err(DecodeError::Range);
            }
        }
        if self.decoder.at == self.end { Ok(()) } else { Err(DecodeError::Range) }
    }
}
