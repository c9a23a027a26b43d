//! What may be published to: a Topic Name (MQTT 5.0 §4.7).
//!
//! `valid_topic` of mqttbytes takes an empty name and U+0000.

/// A Topic Name that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicName<'a> {
    text: &'a str,
}

impl<'a> TopicName<'a> {
    /// Checks `text`: at least one character (MQTT-4.7.3-1), no U+0000 (MQTT-4.7.3-2), at most 65,535 bytes (MQTT-4.7.3-3),
    /// no wildcard (MQTT-3.3.2-2). `None` where it is no Topic Name.
    pub fn parse(text: &'a str) -> Option<Self> {
        // Without a way out of the loop: it is taken sixteen bytes at a time.
        let others = text.bytes().fold(0, |found, byte| found | u8::from(matches!(byte, 0 | b'+' | b'#')));
        let valid = !text.is_empty() && u16::try_from(text.len()).is_ok() && others == 0;
        valid.then_some(Self { text })
    }

    /// The name as text.
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// Whether its first level is `$SYS`: a server keeps these for itself (MQTT 5.0 §4.7.2).
    pub fn is_system(self) -> bool {
        is_system_topic(self.text)
    }
}

/// Whether the first level of `text`, a Topic Name, is `$SYS`: a server keeps these for itself (MQTT 5.0 §4.7.2).
pub fn is_system_topic(text: &str) -> bool {
    text.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A Topic Name that was checked and outlives its packet; nothing until the first is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptTopicName {
    text: String,
}

impl KeptTopicName {
    /// Keeps `topic_name` instead of the one before, in the same memory where it has room.
    pub fn keep(&mut self, topic_name: TopicName<'_>) {
        self.text.clear();
        self.text.push_str(topic_name.text);
    }

    /// The name that is kept.
    #[inline]
    pub fn get(&self) -> Option<TopicName<'_>> {
        (!self.text.is_empty()).then_some(TopicName { text: &self.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_topic_name_is_refused() {
        for text in ["", "a/+", "#", "a\0b"] {
            assert_eq!(TopicName::parse(text), None, "{text:?}");
        }
        assert_eq!(TopicName::parse(&"a".repeat(65_536)), None);
        for text in ["/", "a b", "a//c", "$SYS/x", "\u{e9}/b"] {
            assert_eq!(TopicName::parse(text).map(TopicName::as_str), Some(text));
        }
    }

    #[test]
    fn the_last_name_is_kept() {
        let mut kept = KeptTopicName::default();
        assert_eq!(kept.get(), None);
        for text in ["plant/a", "b"] {
            kept.keep(TopicName::parse(text).unwrap());
            assert_eq!(kept.get(), TopicName::parse(text));
        }
    }

    #[test]
    fn system_names_are_told_by_their_whole_first_level() {
        let is_system = |text| TopicName::parse(text).unwrap().is_system();
        assert_eq!(["$SYS", "$SYS/uptime", "$SYSTEM/a", "a/$SYS"].map(is_system), [true, true, false, false]);
    }
}
