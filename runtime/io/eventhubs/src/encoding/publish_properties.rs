//! The properties of a PUBLISH that mean something to a consumer of the hub (MQTT 5.0 §3.3.2.3).

/// What of a PUBLISH's properties becomes part of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishProperties<'a> {
    /// Content Type (MQTT 5.0 §3.3.2.3.9).
    pub(crate) content_type: Option<&'a str>,
    /// Response Topic (MQTT 5.0 §3.3.2.3.5).
    pub(crate) response_topic: Option<&'a str>,
    /// Correlation Data (MQTT 5.0 §3.3.2.3.6).
    pub(crate) correlation_data: Option<&'a [u8]>,
    /// User Properties in their order (MQTT 5.0 §3.3.2.3.7).
    pub(crate) user_properties: Vec<(&'a str, &'a str)>,
}

impl<'a> PublishProperties<'a> {
    /// Reads `bytes`, the properties without their length. Reading ends at the first byte that is no property, and
    /// text that is no UTF-8 is left out: whoever published it was told when it came.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut properties = Self::default();
        let mut rest = bytes;
        while let Some(after) = properties.read_one(rest) {
            rest = after;
        }
        properties
    }

    /// Reads one property; what follows it, or `None` at the end and where nothing can be read.
    fn read_one(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (identifier, rest) = bytes.split_first()?;
        match identifier {
            0x03 => {
                let (text, rest) = binary(rest)?;
                self.content_type = std::str::from_utf8(text).ok();
                Some(rest)
            }
            0x08 => {
                let (text, rest) = binary(rest)?;
                self.response_topic = std::str::from_utf8(text).ok();
                Some(rest)
            }
            0x09 => {
                let (data, rest) = binary(rest)?;
                self.correlation_data = Some(data);
                Some(rest)
            }
            0x26 => {
                let (name, rest) = binary(rest)?;
                let (value, rest) = binary(rest)?;
                if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
                    self.user_properties.push((name, value));
                }
                Some(rest)
            }
            // Payload Format Indicator, Topic Alias, Message Expiry Interval.
            0x01 => rest.get(1..),
            0x23 => rest.get(2..),
            0x02 => rest.get(4..),
            // Subscription Identifier: a Variable Byte Integer.
            0x0b => rest.get(rest.iter().position(|byte| byte & 0x80 == 0)? + 1..),
            _ => None,
        }
    }
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
    fn what_consumers_need_is_found_between_what_they_do_not() {
        let bytes = [
            &[0x01, 1][..],
            &[0x02, 0, 0, 0, 9],
            &[0x03, 0, 1, b'j'],
            &[0x08, 0, 1, b'r'],
            &[0x09, 0, 1, 0],
            &[0x23, 0, 7],
            &[0x0b, 0x80, 0x01],
            &[0x26, 0, 1, b'a', 0, 1, b'1'],
            &[0x26, 0, 1, 0xff, 0, 1, b'1'],
            &[0x26, 0, 1, b'b', 0, 0],
        ]
        .concat();
        let expected = PublishProperties {
            content_type: Some("j"),
            response_topic: Some("r"),
            correlation_data: Some(&[0]),
            user_properties: vec![("a", "1"), ("b", "")],
        };
        assert_eq!(PublishProperties::read(&bytes), expected);
    }

    #[test]
    fn bytes_that_are_cut_anywhere_give_what_stood_before_the_cut() {
        let bytes = [0x26, 0, 1, b'a', 0, 1, b'1', 0x26, 0, 1, b'b', 0, 1, b'2'];
        for length in 0..bytes.len() {
            let found = PublishProperties::read(&bytes[..length]).user_properties.len();
            assert_eq!(found, length / 7, "length {length}");
        }
    }
}
