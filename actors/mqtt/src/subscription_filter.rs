//! What SUBSCRIBE and UNSUBSCRIBE name: a Topic Filter, and the `ShareName` of a Shared Subscription (MQTT 5.0 §4.8.2).

use crate::{TopicFilter, TopicFilterError};

/// What a text begins with that names a Shared Subscription.
const SHARE: &str = "$share/";

/// The name of a Subscription, checked: `{filter}`, or `$share/{ShareName}/{filter}`.
///
/// 3.1.1 has no Shared Subscriptions; there `$share/group/a` is a Topic Filter that matches the Topic Name of the same text.
/// Brokers share it all the same (mosquitto reads both versions alike), clients of 3.1.1 rely on that, and so it is here:
/// one reading for both versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionFilter<'a> {
    /// Who shares: at least one character, none of them `/`, `+` and `#`. `None` where the Subscription is not shared.
    pub share_name: Option<&'a str>,
    /// What Topic Names are matched with.
    pub topic_filter: TopicFilter,
}

impl<'a> SubscriptionFilter<'a> {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`TopicFilterError::Invalid`]: what [`TopicFilter::parse`] says, an empty `ShareName` or one with a wildcard
    /// (MQTT-4.8.2-1), no `/` and no Topic Filter behind it (MQTT-4.8.2-2), or `$share/` once more behind it.
    pub fn parse(text: &'a str) -> Result<Self, TopicFilterError> {
        let Some(shared) = text.strip_prefix(SHARE) else {
            return Ok(Self { share_name: None, topic_filter: TopicFilter::parse(text)? });
        };
        let (share_name, topic_filter) = shared.split_once('/').ok_or(TopicFilterError::Invalid)?;
        if share_name.is_empty() || share_name.contains(['+', '#', '\0']) || text.len() > usize::from(u16::MAX) {
            return Err(TopicFilterError::Invalid);
        }
        let topic_filter = TopicFilter::parse(topic_filter).map_err(|_| TopicFilterError::Invalid)?;
        Ok(Self { share_name: Some(share_name), topic_filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_name_stands_between_the_prefix_and_the_filter() {
        let parts = |text| {
            let filter = SubscriptionFilter::parse(text).unwrap();
            (filter.share_name.map(String::from), filter.topic_filter.as_str().to_owned())
        };
        assert_eq!(parts("$share/group/a/+/#"), (Some("group".into()), "a/+/#".into()));
        assert_eq!(parts("$share/g//a"), (Some("g".into()), "/a".into()));
        assert_eq!(parts("$share/g/#"), (Some("g".into()), "#".into()));
        for ordinary in ["a/b", "$share", "$shared/g/a", "a/$share/g/b", "$SHARE/g/a"] {
            assert_eq!(parts(ordinary), (None, ordinary.into()));
        }
    }

    #[test]
    fn what_names_no_subscription_is_refused() {
        for text in [
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/g#/a",
            "$share/g/a#",
            "$share/g/$share/h/a",
            "$share/a\0/b",
            "",
        ] {
            assert_eq!(SubscriptionFilter::parse(text), Err(TopicFilterError::Invalid), "{text:?}");
        }
        let longest = format!("$share/g/{}", "a".repeat(65_535 - 9));
        assert!(SubscriptionFilter::parse(&longest).is_ok());
        assert_eq!(SubscriptionFilter::parse(&format!("{longest}a")), Err(TopicFilterError::Invalid));
    }
}
