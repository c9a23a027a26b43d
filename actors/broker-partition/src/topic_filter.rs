//! Whether one Topic Filter matches one Topic Name (MQTT 5.0 §4.7): for Retained Messages, which are searched by filter.

/// Whether `filter`, a valid one, matches `topic_name`. About 1 ns a byte; no allocation.
pub(crate) fn matches(filter: &str, topic_name: &[u8]) -> bool {
    // A filter that starts with a wildcard does not match a Topic Name that starts with `$` (MQTT-4.7.2-1).
    if topic_name.first() == Some(&b'$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut filter_levels = filter.as_bytes().split(|byte| *byte == b'/');
    let mut topic_levels = topic_name.split(|byte| *byte == b'/');
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (Some(b"#"), _) | (None, None) => return true,
            (Some(filter), Some(topic)) if filter == b"+" || filter == topic => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
}

/// The text with which every Topic Name begins that `filter` matches.
pub(crate) fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        // The separator before `#` is no part of it: `a/#` matches `a` (MQTT 5.0 §4.7.1.2).
        Some(at) => filter[..at].strip_suffix('/').unwrap_or(&filter[..at]),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_levels() {
        for (filter, topic_name, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+/c", "a//c", true),
            ("+", "a/b", false),
            ("+/+", "/finance", true),
            ("#", "a/b/c", true),
            ("sport/tennis/#", "sport/tennis", true),
            ("sport/tennis/#", "sport", false),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
        ] {
            assert_eq!(matches(filter, topic_name.as_bytes()), expected, "{filter} {topic_name}");
        }
    }

    #[test]
    fn the_literal_prefix_leaves_no_match_out() {
        for (filter, prefix) in [("a/b", "a/b"), ("a/#", "a"), ("a/+/c", "a"), ("#", ""), ("/+", ""), ("a/b+", "a/b")] {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }
}
