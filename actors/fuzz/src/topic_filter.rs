//! Topic Filters and Topic Names (MQTT 5.0 §4.7) against a reference.
//!
//! The input is a Topic Filter, a line feed, and a Topic Name.

use mqtt::fuzzing::{matches, names_subscription};
use mqtt::{TopicFilter, TopicFilterError, TopicName};

/// Compares `input`'s filter and name with the reference.
pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (filter, name) = text.split_once('\n').unwrap_or((text, text));
    let parsed = TopicFilter::parse(filter);
    match &parsed {
        Ok(parsed) => assert_eq!(parsed.as_str(), filter),
        Err(TopicFilterError::Shared) => assert!(filter.starts_with("$share/")),
        Err(TopicFilterError::Invalid) => {}
    }
    let is_filter = is_filter(filter);
    assert_eq!(parsed.is_ok(), is_filter && !filter.starts_with("$share/"), "is `{filter}` a filter?");
    assert_eq!(names_subscription(filter), names(filter), "does `{filter}` name a Subscription?");
    // A Topic Name is a filter of its own that has no wildcard.
    assert_eq!(TopicName::parse(name).is_some(), is_name(name), "is `{name}` a name?");
    let expected = parsed.is_ok() && is_name(name) && is_match(filter, name);
    assert_eq!(matches(filter, name), expected, "does `{filter}` match `{name}`?");
}

/// Whether `text` is what a filter must be (MQTT 5.0 §4.7.1, §4.7.3), shared ones among them.
pub(crate) fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let (last, others) = levels.split_last().expect("a text has a level");
    let is_plain = |level: &str| level == "+" || !level.contains(['+', '#']);
    is_text(text) && others.iter().all(|level| is_plain(level)) && (*last == "#" || is_plain(last))
}

/// Whether `text` is a filter, or `$share/`, a `ShareName`, `/`, and a filter (MQTT 5.0 §4.8.2).
fn names(text: &str) -> bool {
    let is_ordinary = |text: &str| is_filter(text) && !text.starts_with("$share/");
    let levels: Vec<&str> = text.splitn(3, '/').collect();
    match levels[..] {
        ["$share", name, filter] => is_text(text) && !name.is_empty() && is_name(name) && is_ordinary(filter),
        _ => is_ordinary(text),
    }
}

/// Whether `text` is what a Topic Name must be.
pub(crate) fn is_name(text: &str) -> bool {
    is_text(text) && !text.contains(['+', '#'])
}

fn is_text(text: &str) -> bool {
    (1..=65_535).contains(&text.len()) && !text.contains('\0')
}

/// Whether a filter matches a name, level by level.
pub(crate) fn is_match(filter: &str, name: &str) -> bool {
    let is_hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
    !is_hidden && levels_match(Some(filter), Some(name))
}

fn levels_match(filter: Option<&str>, name: Option<&str>) -> bool {
    let split = |text: &str| match text.split_once('/') {
        Some((level, rest)) => (level.to_owned(), Some(rest.to_owned())),
        None => (text.to_owned(), None),
    };
    match (filter.map(split), name.map(split)) {
        (None, None) => true,
        (Some((level, _)), _) if level == "#" => true,
        (Some((level, filter)), Some((found, name))) => {
            (level == "+" || level == found) && levels_match(filter.as_deref(), name.as_deref())
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
