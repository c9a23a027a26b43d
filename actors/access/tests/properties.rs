//! Covering is sound against random topics, substitution never widens, and remembering changes no answer.

use std::sync::Arc;

use access::{AccessRules, Action, Principal, PrincipalsConfig, ResourceConfig, Rights, RuleConfig};
use mqtt::{TopicFilter, TopicName};
use proptest::prelude::*;

/// Rights of `principal` to publish and subscribe to each of `topics`; `None` where they do not compile.
fn rights(topics: &[String], principal: &Principal) -> Option<Rights> {
    let resource = |action| ResourceConfig { action, client_identifiers: Vec::new(), topics: topics.to_vec() };
    let principals = PrincipalsConfig { client_identifiers: vec!["*".into()], ..PrincipalsConfig::default() };
    let resources = vec![resource(Action::Publish), resource(Action::Subscribe)];
    let rules = AccessRules::compile(&[RuleConfig { principals, resources }]).ok()?;
    Some(Arc::new(rules).rights(&Arc::new(principal.clone())))
}

/// Texts of few distinct levels, so that they often meet.
fn levels(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(choices), 1..5).prop_map(|levels| levels.join("/"))
}

fn filters() -> impl Strategy<Value = String> {
    levels(&["a", "b", "", "$s", "+", "+", "#"]).prop_filter("a Topic Filter", |text| TopicFilter::parse(text).is_ok())
}

fn names() -> impl Strategy<Value = String> {
    levels(&["a", "b", "", "$s", "pump"]).prop_filter("a Topic Name", |text| TopicName::parse(text).is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_a_covered_filter_matches_may_be_published_too(rule in filters(), asked in filters(), name in names()) {
        let mut rights = rights(std::slice::from_ref(&rule), &Principal::anonymous("c")).unwrap();
        let matches = |filter: &str| TopicFilter::parse(filter).unwrap().matches(name.as_bytes());
        prop_assert_eq!(rights.may_publish(&name), matches(&rule), "{} {}", rule, name);
        if rights.may_subscribe(&asked) && matches(&asked) {
            prop_assert!(matches(&rule), "{} covers {} but not {}", rule, asked, name);
        }
    }

    #[test]
    fn a_filter_that_is_not_covered_matches_a_name_that_the_rule_does_not(rule in filters(), asked in filters()) {
        let rights = rights(std::slice::from_ref(&rule), &Principal::anonymous("c")).unwrap();
        let filter = |text: &str| TopicFilter::parse(text).unwrap();
        // Every name of up to five levels over an alphabet with a letter that no filter has.
        let alphabet = ["a", "b", "", "$s", "q"];
        let mut all: Vec<String> = alphabet.map(str::to_owned).to_vec();
        let mut longest = all.clone();
        for _ in 1..5 {
            longest = longest.iter().flat_map(|name| alphabet.map(|level| format!("{name}/{level}"))).collect();
            all.extend(longest.iter().cloned());
        }
        let (rule_filter, asked_filter) = (filter(&rule), filter(&asked));
        let of_asked = |name: &&String| !name.is_empty() && asked_filter.matches(name.as_bytes());
        let escapes = all.iter().filter(of_asked).any(|name| !rule_filter.matches(name.as_bytes()));
        // A filter of one name, the empty one being none, matches nothing.
        prop_assert_eq!(rights.may_subscribe(&asked), !escapes, "{} {}", rule, asked);
    }

    #[test]
    fn substitution_never_widens(
        rule in levels(&["a", "{clientId}", "{username}", "{principal.attributes.site}", "+", "#"]),
        values in prop::array::uniform3("[ab$+#/*{}]{0,3}|\\PC{0,4}"),
        asked in filters(),
    ) {
        let [client_identifier, user_name, site] = values;
        let principal = Principal {
            client_identifier: client_identifier.clone().into(),
            user_name: Some(user_name.clone().into()),
            attributes: [("site".into(), site.clone().into())].into(),
        };
        let Some(mut given) = rights(std::slice::from_ref(&rule), &principal) else { return Ok(()) };
        // What the rule gives with `+` in the place of each value is the most that it may give.
        let widest = ["{clientId}", "{username}", "{principal.attributes.site}"]
            .iter()
            .fold(rule.clone(), |text, token| text.replace(token, "+"));
        let mut most = rights(&[widest], &principal).unwrap();
        prop_assert!(!given.may_subscribe(&asked) || most.may_subscribe(&asked), "{} {:?} {}", rule, principal, asked);
        prop_assert!(!given.may_publish(&asked) || most.may_publish(&asked));
        // And each value stands for itself alone: a level that is not the value is never taken for it.
        let with = |value: &str| rule.replace("{clientId}", value).replace("{username}", "u").replace("{principal.attributes.site}", "s");
        if rule.contains("{clientId}") && client_identifier != "other" {
            let other = Principal { user_name: Some("u".into()), attributes: [("site".into(), "s".into())].into(), ..principal };
            let mut given = rights(std::slice::from_ref(&rule), &other).unwrap();
            let foreign = with("other").replace(['+', '#'], "z");
            prop_assert!(!given.may_publish(&foreign) && !given.may_subscribe(&with("other")) && !given.may_subscribe(&with("+")));
        }
    }

    #[test]
    fn remembering_changes_no_answer(rules in prop::collection::vec(filters(), 3..8), asked in prop::collection::vec(names(), 1..60)) {
        let mut remembering = rights(&rules, &Principal::anonymous("c")).unwrap();
        for name in asked.iter().chain(&asked) {
            let fresh = rules.iter().any(|rule| TopicFilter::parse(rule).unwrap().matches(name.as_bytes()));
            prop_assert_eq!(remembering.may_publish(name), fresh, "{:?} {}", rules, name);
        }
    }

    #[test]
    fn no_text_panics(topics in prop::collection::vec("\\PC{0,12}", 1..4), client in "\\PC{0,8}", asked in "\\PC{0,12}") {
        if let Some(mut rights) = rights(&topics, &Principal::anonymous(client)) {
            let _answers = (rights.may_publish(&asked), rights.may_subscribe(&asked), rights.may_connect());
        }
    }
}
