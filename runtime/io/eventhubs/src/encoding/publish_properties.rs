//! The properties of a PUBLISH that mean something to a consumer of the hub (MQTT 5.0 §3.3.2.3).

use mqtt::{Properties, Property};

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
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let mut properties = Self::default();
        for property in Properties::new(bytes) {
            match property {
                Property::ContentType(bytes) => properties.content_type = text(bytes),
                Property::ResponseTopic(bytes) => properties.response_topic = text(bytes),
                Property::CorrelationData(bytes) => properties.correlation_data = Some(bytes),
                Property::UserProperty { name, value } => {
                    properties.user_properties.extend(text(name).zip(text(value)));
                }
                Property::PayloadFormatIndicator(_)
                | Property::MessageExpiryInterval(_)
                | Property::SubscriptionIdentifier(_)
                | Property::TopicAlias(_) => {}
            }
        }
        properties
    }
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
