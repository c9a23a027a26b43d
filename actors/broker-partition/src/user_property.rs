//! One User Property of a publication (MQTT 5.0 §3.3.2.3.7): the one that a Shared Subscription is divided by.

/// The value of the first User Property called `name` among the `properties` of a PUBLISH; `None` where there is none
/// or where the bytes are no properties. No allocation.
pub(crate) fn user_property<'a>(mut properties: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    while let Some((identifier, rest)) = properties.split_first() {
        let skip_bytes = match identifier {
            // User Property.
            0x26 => {
                let (found, after) = binary(rest)?;
                let (value, after) = binary(after)?;
                if found == name {
                    return Some(value);
                }
                rest.len() - after.len()
            }
            // Content Type, Response Topic, Correlation Data.
            0x03 | 0x08 | 0x09 => rest.len() - binary(rest)?.1.len(),
            // Payload Format Indicator.
            0x01 => 1,
            // Topic Alias.
            0x23 => 2,
            // Message Expiry Interval.
            0x02 => 4,
            // Subscription Identifier: a Variable Byte Integer.
            0x0b => rest.iter().position(|byte| byte & 0x80 == 0)? + 1,
            _ => return None,
        };
        properties = rest.get(skip_bytes..)?;
    }
    None
}

/// Splits off Binary Data or a UTF-8 Encoded String (MQTT 5.0 §1.5.4, §1.5.6).
fn binary(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_behind_other_properties_and_never_in_cut_bytes() {
        let whole = [
            &[0x01, 1, 0x02, 0, 0, 0, 9, 0x03, 0, 1, b'j', 0x0b, 0x80, 0x01][..],
            &[0x26, 0, 1, b'a', 0, 1, b'1'],
            &[0x26, 0, 1, b'b', 0, 2, b'2', b'3'],
        ]
        .concat();
        assert_eq!(user_property(&whole, b"b"), Some(b"23".as_slice()));
        for length in 0..whole.len() {
            assert_eq!(user_property(&whole[..length], b"b"), None, "length {length}");
        }
    }
}
