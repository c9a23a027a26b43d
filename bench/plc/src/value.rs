//! What a tag's value looks like, and which tag and change it hides.
//!
//! Every value of the plant can be traced back to the change that made it, within the published value sizes:
//!
//! **20 bytes**, a String of exactly 20 characters:
//!
//! ```text
//! "--Nb.---FF0003141592"      tag 1,575, change 1,040, walk 3,141,592
//!  |    |    `- 10 decimal digits: a seeded random walk with steps of up to 1,000
//!  |    `- 5 characters: the sequence number, 28 bits used of 30
//!  `- 4 characters: the index of the tag in the whole plant, 24 bits; then a full stop
//! ```
//!
//! Index and sequence number are written in base 64 with the digits `-0..9A..Z_a..z`, most significant first. These
//! digits stand in the order of ASCII and need no escape in JSON, URLs or Topic Names, so the first ten characters
//! sort like (tag, sequence number).
//!
//! **8 bytes**, a Double between 4,096 and 8,192 (exponent 12) whose mantissa is split: the upper 24 bits hold the
//! random walk (in steps of 2^-12), the lower 28 bits the sequence number. The Double does not say whose it is: the
//! name it travels with does. The sequence number changes the number by less than 2^-12.
//!
//! Sequence numbers count the changes of one tag from 0, the value it has when the plant starts, and would wrap
//! after [`SEQUENCE_END`] changes: four years at two changes a second.

/// One more than the largest sequence number: 2^28.
pub const SEQUENCE_END: u32 = 1 << 28;
/// One more than the largest index of a tag that fits into a value: 2^24.
pub const TAG_INDEX_END: u32 = 1 << 24;
/// One more than the largest state of the random walk of a String value: 10 decimal digits.
pub const TEXT_WALK_END: u64 = 10_000_000_000;
/// One more than the largest state of the random walk of a Double value: 24 bits.
pub const NUMBER_WALK_END: u64 = 1 << 24;
/// Length of a String value in bytes.
pub const TEXT_BYTES: usize = 20;

const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const SEPARATOR: u8 = b'.';
/// Sign 0 and exponent 12 of a Double, in their place.
const NUMBER_EXPONENT_BITS: u64 = (1023 + 12) << 52;
const NUMBER_EXPONENT_MASK: u64 = 0xFFF << 52;
const SEQUENCE_BITS: u32 = 28;

/// How values are written, by their size on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFormat {
    /// A String of 20 characters.
    Text20,
    /// A Double.
    Number8,
}

impl ValueFormat {
    /// The format whose values take `bytes` bytes: 20 or 8.
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            20 => Some(Self::Text20),
            8 => Some(Self::Number8),
            _ => None,
        }
    }

    /// One more than the largest state of the random walk in this format.
    pub fn walk_end(self) -> u64 {
        match self {
            Self::Text20 => TEXT_WALK_END,
            Self::Number8 => NUMBER_WALK_END,
        }
    }
}

/// A value as it stands in a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum PlantValue {
    /// A String of 20 ASCII characters.
    Text(String),
    /// A finite Double.
    Number(f64),
}

/// The change that made a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Index of the tag in the whole plant; below [`TAG_INDEX_END`].
    pub tag_index: u32,
    /// Which change of this tag it was, from 0; below [`SEQUENCE_END`].
    pub sequence: u32,
    /// State of the random walk; below [`ValueFormat::walk_end`].
    pub walk: u64,
}

/// What a Double says about the change that made it: all but the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberChange {
    /// Which change of the tag it was, from 0.
    pub sequence: u32,
    /// State of the random walk; below [`NUMBER_WALK_END`].
    pub walk: u64,
}

/// Why a value is none that the plant made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A String of another length than 20 bytes.
    #[error("a value of the plant has 20 bytes, this one {length_bytes}")]
    Length {
        /// The length found.
        length_bytes: usize,
    },
    /// A character that cannot stand where it stands.
    #[error("byte 0x{byte:02x} cannot stand at position {position} of a value")]
    Character {
        /// Position in the value, from 0.
        position: usize,
        /// The byte found there.
        byte: u8,
    },
    /// The five characters of the sequence number say more than 2^28.
    #[error("sequence number {sequence} is beyond 2^28")]
    Sequence {
        /// The number found.
        sequence: u64,
    },
    /// A Double outside [4096, 8192).
    #[error("the Double is not between 4096 and 8192")]
    Exponent,
}

/// Writes the value of one change. Costs one allocation for a String, none for a Double.
///
/// # Panics
/// If a part of `change` is not below its limit: the plant counts within them.
pub fn encode(format: ValueFormat, change: Change) -> PlantValue {
    match format {
        ValueFormat::Text20 => PlantValue::Text(encode_text(change)),
        ValueFormat::Number8 => {
            PlantValue::Number(encode_number(NumberChange { sequence: change.sequence, walk: change.walk }))
        }
    }
}

/// Writes a String value.
///
/// # Panics
/// If a part of `change` is not below its limit.
pub fn encode_text(change: Change) -> String {
    assert!(change.tag_index < TAG_INDEX_END, "the scenario's check bounds the number of tags");
    assert!(change.sequence < SEQUENCE_END, "sequence numbers wrap at 2^28");
    assert!(change.walk < TEXT_WALK_END, "the walk turns round at 10 digits");
    let mut text = [0; TEXT_BYTES];
    write_digits(&mut text[0..4], change.tag_index);
    text[4] = SEPARATOR;
    write_digits(&mut text[5..10], change.sequence);
    let mut rest = change.walk;
    for place in text[10..].iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).expect("a decimal digit fits in a byte");
        rest /= 10;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

/// Reads a String value.
///
/// # Errors
/// [`DecodeError`], when the plant cannot have made `text`: it was changed on its way, or is no value of a plant.
pub fn decode_text(text: &[u8]) -> Result<Change, DecodeError> {
    if text.len() != TEXT_BYTES {
        return Err(DecodeError::Length { length_bytes: text.len() });
    }
    let tag_index = read_digits(text, 0..4)?;
    if text[4] != SEPARATOR {
        return Err(DecodeError::Character { position: 4, byte: text[4] });
    }
    let sequence = read_digits(text, 5..10)?;
    if sequence >= u64::from(SEQUENCE_END) {
        return Err(DecodeError::Sequence { sequence });
    }
    let mut walk = 0;
    for (position, &byte) in text.iter().enumerate().skip(10) {
        if !byte.is_ascii_digit() {
            return Err(DecodeError::Character { position, byte });
        }
        walk = walk * 10 + u64::from(byte - b'0');
    }
    Ok(Change {
        tag_index: u32::try_from(tag_index).expect("four digits of six bits"),
        sequence: u32::try_from(sequence).expect("checked above"),
        walk,
    })
}

/// Writes a Double value.
///
/// # Panics
/// If a part of `change` is not below its limit.
pub fn encode_number(change: NumberChange) -> f64 {
    assert!(change.sequence < SEQUENCE_END, "sequence numbers wrap at 2^28");
    assert!(change.walk < NUMBER_WALK_END, "the walk turns round at 24 bits");
    f64::from_bits(NUMBER_EXPONENT_BITS | (change.walk << SEQUENCE_BITS) | u64::from(change.sequence))
}

/// Reads a Double value. It must have kept all its bits: text with 17 significant digits, or the shortest that reads
/// back the same, does that.
///
/// # Errors
/// [`DecodeError::Exponent`], when the plant cannot have made `number`.
pub fn decode_number(number: f64) -> Result<NumberChange, DecodeError> {
    let bits = number.to_bits();
    if bits & NUMBER_EXPONENT_MASK != NUMBER_EXPONENT_BITS {
        return Err(DecodeError::Exponent);
    }
    Ok(NumberChange {
        sequence: u32::try_from(bits & u64::from(SEQUENCE_END - 1)).expect("28 bits"),
        walk: (bits & !NUMBER_EXPONENT_MASK) >> SEQUENCE_BITS,
    })
}

fn write_digits(places: &mut [u8], number: u32) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = DIGITS[usize::try_from(rest & 63).expect("six bits")];
        rest >>= 6;
    }
}

fn read_digits(text: &[u8], range: std::ops::Range<usize>) -> Result<u64, DecodeError> {
    let mut number = 0;
    for position in range {
        let byte = text[position];
        let digit = match byte {
            b'-' => 0,
            b'0'..=b'9' => byte - b'0' + 1,
            b'A'..=b'Z' => byte - b'A' + 11,
            b'_' => 37,
            b'a'..=b'z' => byte - b'a' + 38,
            _ => return Err(DecodeError::Character { position, byte }),
        };
        number = (number << 6) | u64::from(digit);
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_value_reads_as_documented() {
        let text = encode_text(Change { tag_index: 1575, sequence: 16 * 64 + 16, walk: 3_141_592 });
        assert_eq!(text, "--Nb.---FF0003141592");
        assert_eq!(text.len(), TEXT_BYTES);
    }

    #[test]
    fn a_number_value_keeps_the_walk_above_and_the_sequence_below() {
        let number = encode_number(NumberChange { sequence: 0, walk: 4096 });
        assert_eq!(number.to_bits(), 4097_f64.to_bits());
        let later = encode_number(NumberChange { sequence: SEQUENCE_END - 1, walk: 4096 });
        assert!(later > number && later < number + 1.0 / 4096.0);
    }

    #[test]
    fn what_the_plant_did_not_make_is_refused() {
        assert_eq!(decode_text(b""), Err(DecodeError::Length { length_bytes: 0 }));
        assert_eq!(decode_text(b"--Nb,---FF0003141592"), Err(DecodeError::Character { position: 4, byte: b',' }));
        assert_eq!(decode_text(b"--Nb.---FF000314159x"), Err(DecodeError::Character { position: 19, byte: b'x' }));
        assert_eq!(decode_text(b"--N!.---FF0003141592"), Err(DecodeError::Character { position: 3, byte: b'!' }));
        assert_eq!(decode_text(b"--Nb.zzzzz0003141592"), Err(DecodeError::Sequence { sequence: (1 << 30) - 1 }));
        for number in [0.0, -4097.0, 4095.9, 8192.0, f64::NAN, f64::INFINITY] {
            assert_eq!(decode_number(number), Err(DecodeError::Exponent), "{number}");
        }
    }

    proptest! {
        #[test]
        fn every_change_survives_text(
            tag_index in 0..TAG_INDEX_END, sequence in 0..SEQUENCE_END, walk in 0..TEXT_WALK_END,
        ) {
            let change = Change { tag_index, sequence, walk };
            let text = encode_text(change);
            prop_assert_eq!(text.len(), TEXT_BYTES);
            prop_assert_eq!(decode_text(text.as_bytes()), Ok(change));
        }

        #[test]
        fn every_change_survives_a_double_and_its_decimal_text(sequence in 0..SEQUENCE_END, walk in 0..NUMBER_WALK_END) {
            let change = NumberChange { sequence, walk };
            let number = encode_number(change);
            prop_assert_eq!(decode_number(number), Ok(change));
            let reread: f64 = number.to_string().parse().unwrap();
            prop_assert_eq!(decode_number(reread), Ok(change));
        }

        #[test]
        fn text_sorts_like_tag_and_sequence(
            left in (0..TAG_INDEX_END, 0..SEQUENCE_END), right in (0..TAG_INDEX_END, 0..SEQUENCE_END),
        ) {
            let text = |(tag_index, sequence)| encode_text(Change { tag_index, sequence, walk: 0 });
            prop_assert_eq!(text(left).cmp(&text(right)), left.cmp(&right));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), bits in any::<u64>()) {
            let _ = decode_text(&bytes);
            let _ = decode_number(f64::from_bits(bits));
        }
    }
}
