//! Reads fields of the binary encoding off a slice (Part 6 §5.2.2), each with its bounds checked.

/// Why bytes are not what the standard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end inside a field, or an array claims more elements than bytes are left.
    #[error("the encoding ends too early")]
    Truncated,
    /// A byte says what the standard does not define.
    #[error("the encoding is not of OPC UA")]
    Malformed,
    /// Variants, `DataValues` or `DiagnosticInfos` nest deeper than [`Reader::DEPTH_MAX`].
    #[error("the encoding nests too deeply")]
    TooDeep,
}

/// What is left to read. Copying it is free, so a look ahead is a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

macro_rules! number {
    ($name:ident, $type:ty) => {
        #[inline]
        pub(crate) fn $name(&mut self) -> Result<$type, DecodeError> {
            self.array().map(<$type>::from_le_bytes)
        }
    };
}

impl<'a> Reader<'a> {
    /// How deep Variants, `DataValues` and `DiagnosticInfos` may nest. Part 6 §5.1.10 asks for a limit, and suggests 100; what a
    /// plant sends nests twice.
    pub(crate) const DEPTH_MAX: u8 = 32;

    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn remaining_bytes(&self) -> usize {
        self.rest.len()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (head, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    number!(u16, u16);
    number!(i16, i16);
    number!(u32, u32);
    number!(i32, i32);
    number!(u64, u64);
    number!(i64, i64);
    number!(f32, f32);
    number!(f64, f64);

    /// A String, ByteString or `XmlElement`: a length and its bytes; any negative length is null (§5.2.2.4).
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match usize::try_from(self.i32()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The length of an array whose elements take at least one byte each; null counts as empty (§5.2.5).
    pub(crate) fn array_length(&mut self) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(length)
    }

    /// An array of `UInt32`, as its bytes.
    pub(crate) fn u32_array(&mut self) -> Result<&'a [[u8; 4]], DecodeError> {
        let length = self.array_length()?;
        let bytes = self.take(length.checked_mul(4).ok_or(DecodeError::Truncated)?)?;
        Ok(bytes.as_chunks::<4>().0)
    }

    pub(crate) fn skip_text(&mut self) -> Result<(), DecodeError> {
        self.text().map(|_| ())
    }

    /// A NodeId or `ExpandedNodeId` (§5.2.2.9, §5.2.2.10).
    pub(crate) fn skip_node_id(&mut self) -> Result<(), DecodeError> {
        let encoding = self.byte()?;
        match encoding & 0x3f {
            0 => self.take(1).map(|_| ())?,
            1 => self.take(3).map(|_| ())?,
            2 => self.take(6).map(|_| ())?,
            3 | 5 => {
                self.take(2)?;
                self.skip_text()?;
            }
            4 => self.take(18).map(|_| ())?,
            _ => return Err(DecodeError::Malformed),
        }
        if encoding & 0x80 != 0 {
            self.skip_text()?;
        }
        if encoding & 0x40 != 0 {
            self.take(4)?;
        }
        Ok(())
    }

    /// The number of a numeric NodeId of namespace 0; `None` for any other.
    pub(crate) fn standard_node_id(&mut self) -> Result<Option<u32>, DecodeError> {
        let mut ahead = *self;
        self.skip_node_id()?;
        Ok(match ahead.byte()? {
            0 => Some(u32::from(ahead.byte()?)),
            1 if ahead.byte()? == 0 => Some(u32::from(ahead.u16()?)),
            2 if ahead.u16()? == 0 => Some(ahead.u32()?),
            _ => None,
        })
    }

    /// An ExtensionObject's body (§5.2.2.15), behind its type; `None` where it has none.
    pub(crate) fn extension_object_body(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.byte()? {
            0 => Ok(None),
            1 | 2 => self.text(),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// A `LocalizedText` (§5.2.2.14).
    pub(crate) fn skip_localized_text(&mut self) -> Result<(), DecodeError> {
        let mask = self.byte()?;
        if mask & 1 != 0 {
            self.skip_text()?;
        }
        if mask & 2 != 0 {
            self.skip_text()?;
        }
        Ok(())
    }

    /// A `DiagnosticInfo` (§5.2.2.12).
    pub(crate) fn skip_diagnostic_info(&mut self) -> Result<(), DecodeError> {
        for _ in 0..=Self::DEPTH_MAX {
            let mask = self.byte()?;
            self.take(4 * (mask & 0x0f).count_ones() as usize)?;
            if mask & 0x10 != 0 {
                self.skip_text()?;
            }
            if mask & 0x20 != 0 {
                self.take(4)?;
            }
            if mask & 0x40 == 0 {
                return Ok(());
            }
        }
        Err(DecodeError::TooDeep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_more_than_there_is_is_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0x7f, 1]).text(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[5, 0, 0, 0, 1]).array_length(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[2, 0, 0, 0, 1, 2, 3, 4]).u32_array(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0xfe, 0xff, 0xff, 0xff]).text(), Ok(None));
    }

    #[test]
    fn every_form_of_node_id_is_as_long_as_the_standard_says() {
        for (bytes, number) in [
            (&[0, 72][..], Some(72)),
            (&[1, 0, 0x2b, 0x03], Some(811)),
            (&[1, 5, 1, 4], None),
            (&[2, 0, 0, 1, 0, 0, 0], Some(1)),
            (&[3, 1, 0, 3, 0, 0, 0, b'H', b'o', b't'], None),
            (&[4, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], None),
            (&[5, 1, 0, 1, 0, 0, 0, 9], None),
            (&[0xc0, 72, 1, 0, 0, 0, b'u', 1, 0, 0, 0], None),
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.standard_node_id(), Ok(number), "{bytes:?}");
            assert_eq!(reader.remaining_bytes(), 0, "{bytes:?}");
        }
        assert_eq!(Reader::new(&[6, 0, 0, 0]).skip_node_id(), Err(DecodeError::Malformed));
    }

    #[test]
    fn inner_diagnostic_infos_end_somewhere() {
        assert_eq!(Reader::new(&[0x40; 100]).skip_diagnostic_info(), Err(DecodeError::TooDeep));
        let mut reader =
            Reader::new(&[0x7f, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(reader.skip_diagnostic_info(), Ok(()));
        assert_eq!(reader.remaining_bytes(), 0);
    }
}
