//! Writes primitives, and lists with every field (AMQP 1.0 §1.6).
//!
//! Lists are written in full: some clients take fields by position and do not see a list that ends early.

use bytes::{BufMut, BytesMut};

use super::value::Value;

/// A length as the wire counts it.
///
/// # Panics
/// Past 4 GiB, which no frame of ours reaches.
pub fn length(length: usize) -> u32 {
    u32::try_from(length).expect("what we write is smaller than 4 GiB")
}

/// Writes null.
pub fn null(out: &mut BytesMut) {
    out.put_u8(0x40);
}

/// Writes a boolean in one byte.
pub fn boolean(out: &mut BytesMut, value: bool) {
    out.put_u8(if value { 0x41 } else { 0x42 });
}

/// Writes a ubyte.
pub fn ubyte(out: &mut BytesMut, value: u8) {
    out.put_slice(&[0x50, value]);
}

/// Writes a ushort.
pub fn ushort(out: &mut BytesMut, value: u16) {
    out.put_u8(0x60);
    out.put_u16(value);
}

/// Writes a uint in 1, 2 or 5 bytes.
pub fn uint(out: &mut BytesMut, value: u32) {
    match u8::try_from(value) {
        Ok(0) => out.put_u8(0x43),
        Ok(small) => out.put_slice(&[0x52, small]),
        Err(_) => {
            out.put_u8(0x70);
            out.put_u32(value);
        }
    }
}

/// Writes a ulong in 1, 2 or 9 bytes.
pub fn ulong(out: &mut BytesMut, value: u64) {
    match u8::try_from(value) {
        Ok(0) => out.put_u8(0x44),
        Ok(small) => out.put_slice(&[0x53, small]),
        Err(_) => {
            out.put_u8(0x80);
            out.put_u64(value);
        }
    }
}

/// Writes an int in 2 or 5 bytes.
pub fn int(out: &mut BytesMut, value: i32) {
    if let Ok(small) = i8::try_from(value) {
        out.put_u8(0x54);
        out.put_i8(small);
    } else {
        out.put_u8(0x71);
        out.put_i32(value);
    }
}

/// Writes a long in 2 or 9 bytes.
pub fn long(out: &mut BytesMut, value: i64) {
    if let Ok(small) = i8::try_from(value) {
        out.put_u8(0x55);
        out.put_i8(small);
    } else {
        out.put_u8(0x81);
        out.put_i64(value);
    }
}

/// Writes a timestamp, in milliseconds since 1970.
pub fn timestamp(out: &mut BytesMut, value_ms: i64) {
    out.put_u8(0x83);
    out.put_i64(value_ms);
}

/// Writes a binary.
pub fn binary(out: &mut BytesMut, value: &[u8]) {
    variable(out, 0xa0, value);
}

/// Writes a string.
pub fn string(out: &mut BytesMut, value: &str) {
    variable(out, 0xa1, value.as_bytes());
}

/// Writes a symbol.
pub fn symbol(out: &mut BytesMut, value: &str) {
    variable(out, 0xa3, value.as_bytes());
}

fn variable(out: &mut BytesMut, constructor_8: u8, value: &[u8]) {
    if let Ok(size) = u8::try_from(value.len()) {
        out.put_slice(&[constructor_8, size]);
        out.put_slice(value);
    } else {
        out.put_u8(constructor_8 + 0x10);
        sized_32(out, value);
    }
}

/// Writes a size of four bytes, and the bytes.
pub fn sized_32(out: &mut BytesMut, value: &[u8]) {
    out.put_u32(length(value.len()));
    out.put_slice(value);
}

/// Writes a descriptor that is a small code, as all of the standard's are.
pub fn descriptor(out: &mut BytesMut, code: u8) {
    out.put_slice(&[0x00, 0x53, code]);
}

/// Fills in the four bytes of size at `size_at`, which stand before what they count.
pub fn patch_size_32(out: &mut BytesMut, size_at: usize) {
    let size = length(out.len() - size_at - 4);
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes a list whose fields `fill` gives, in order.
pub fn list(out: &mut BytesMut, fill: impl FnOnce(&mut Members<'_>)) {
    compound(out, 0xc0, fill);
}

/// Writes a map: `fill` gives key, value, key, value.
pub fn map(out: &mut BytesMut, fill: impl FnOnce(&mut Members<'_>)) {
    compound(out, 0xc1, fill);
}

/// Writes with one byte of size where that is enough, else with four.
fn compound(out: &mut BytesMut, constructor_8: u8, fill: impl FnOnce(&mut Members<'_>)) {
    let start = out.len();
    out.put_slice(&[constructor_8, 0, 0]);
    let mut members = Members { out, count: 0 };
    fill(&mut members);
    let count = members.count;
    let body_bytes = out.len() - start - 3;
    if let (Ok(size), Ok(count)) = (u8::try_from(body_bytes + 1), u8::try_from(count)) {
        out[start + 1] = size;
        out[start + 2] = count;
        return;
    }
    // Six bytes more for size and count: rare, so the body is moved rather than measured before.
    out.put_bytes(0, 6);
    out.copy_within(start + 3..start + 3 + body_bytes, start + 9);
    out[start] = constructor_8 + 0x10;
    out[start + 1..start + 5].copy_from_slice(&length(body_bytes + 4).to_be_bytes());
    out[start + 5..start + 9].copy_from_slice(&count.to_be_bytes());
}

/// Writes size and count of four bytes and the members, without a constructor.
pub fn compound_32(out: &mut BytesMut, fill: impl FnOnce(&mut Members<'_>)) {
    let size_at = out.len();
    out.put_bytes(0, 8);
    let mut members = Members { out, count: 0 };
    fill(&mut members);
    let count = members.count;
    out[size_at + 4..size_at + 8].copy_from_slice(&count.to_be_bytes());
    patch_size_32(out, size_at);
}

/// The members of a list or map that is being written.
pub struct Members<'a> {
    out: &'a mut BytesMut,
    count: u32,
}

impl Members<'_> {
    fn next(&mut self) -> &mut BytesMut {
        self.count += 1;
        self.out
    }

    /// Adds null.
    pub fn null(&mut self) {
        null(self.next());
    }

    /// Adds a boolean.
    pub fn boolean(&mut self, value: bool) {
        boolean(self.next(), value);
    }

    /// Adds a ubyte.
    pub fn ubyte(&mut self, value: u8) {
        ubyte(self.next(), value);
    }

    /// Adds a ushort.
    pub fn ushort(&mut self, value: u16) {
        ushort(self.next(), value);
    }

    /// Adds a uint.
    pub fn uint(&mut self, value: u32) {
        uint(self.next(), value);
    }

    /// Adds a uint, or null.
    pub fn optional_uint(&mut self, value: Option<u32>) {
        match value {
            Some(value) => self.uint(value),
            None => self.null(),
        }
    }

    /// Adds a ulong.
    pub fn ulong(&mut self, value: u64) {
        ulong(self.next(), value);
    }

    /// Adds an int.
    pub fn int(&mut self, value: i32) {
        int(self.next(), value);
    }

    /// Adds a long.
    pub fn long(&mut self, value: i64) {
        long(self.next(), value);
    }

    /// Adds a timestamp, in milliseconds since 1970.
    pub fn timestamp(&mut self, value_ms: i64) {
        timestamp(self.next(), value_ms);
    }

    /// Adds a binary.
    pub fn binary(&mut self, value: &[u8]) {
        binary(self.next(), value);
    }

    /// Adds a string.
    pub fn string(&mut self, value: &str) {
        string(self.next(), value);
    }

    /// Adds a symbol.
    pub fn symbol(&mut self, value: &str) {
        symbol(self.next(), value);
    }

    /// Adds any value.
    pub fn value(&mut self, value: &Value) {
        value.encode(self.next());
    }

    /// Adds one value that is encoded already, or null where `encoded` is empty.
    pub fn encoded(&mut self, encoded: &[u8]) {
        if encoded.is_empty() { self.null() } else { self.next().put_slice(encoded) }
    }

    /// Adds whatever one value `write` writes.
    pub fn with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(self.next());
    }
}
