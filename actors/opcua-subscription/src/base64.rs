//! Base64 with padding (RFC 4648 §4), written piece by piece: how JSON carries a ByteString (Part 6 §5.4.2.8).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Hands the text form of `bytes` to `put`, four characters at a time.
pub(crate) fn encode(bytes: &[u8], mut put: impl FnMut(&[u8])) {
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        let mut text = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63]);
        text[group.len() + 1..].fill(b'=');
        put(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            let mut encoded = Vec::new();
            encode(bytes.as_bytes(), |characters| encoded.extend_from_slice(characters));
            assert_eq!(String::from_utf8(encoded).unwrap(), text);
        }
    }
}
