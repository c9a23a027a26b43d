//! What one client may do: the rules that are about it, picked once when it connects.

use std::sync::Arc;

use crate::configuration::Action;
use crate::recent_topics::RecentTopics;
use crate::rules::ResourceIndex;
use crate::{AccessRules, Principal};

/// What one client may do. Owned by its connection; 8 bytes where everybody may do everything.
#[derive(Clone, Debug)]
pub struct Rights(Option<Box<Limited>>);

#[derive(Clone, Debug)]
struct Limited {
    rules: Arc<AccessRules>,
    principal: Arc<Principal>,
    may_connect: bool,
    publish: Box<[ResourceIndex]>,
    subscribe: Box<[ResourceIndex]>,
    recent: RecentTopics,
}

/// A right that a client uses and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostRight<'a> {
    /// To be connected at all.
    Connect,
    /// To publish its Will Message to this topic.
    Will(&'a str),
    /// To hold a Subscription to this Topic Filter.
    Subscribe(&'a str),
}

impl Rights {
    /// Everything.
    pub const fn all() -> Self {
        Self(None)
    }

    pub(crate) fn limited(rules: Arc<AccessRules>, principal: Arc<Principal>) -> Self {
        let (mut may_connect, mut publish, mut subscribe) = (false, Vec::new(), Vec::new());
        rules.visit_resources(&principal, |action, resource| match action {
            Action::Connect => may_connect = true,
            Action::Publish => publish.push(resource),
            Action::Subscribe => subscribe.push(resource),
        });
        let (publish, subscribe, recent) = (publish.into(), subscribe.into(), RecentTopics::default());
        Self(Some(Box::new(Limited { rules, principal, may_connect, publish, subscribe, recent })))
    }

    /// Whether it may be connected.
    pub fn may_connect(&self) -> bool {
        self.0.as_ref().is_none_or(|limited| limited.may_connect)
    }

    /// Whether it may publish to `topic_name`, a valid Topic Name. Remembers the last some hundred names that it was allowed:
    /// 20 to 50 ns for one of these.
    pub fn may_publish(&mut self, topic_name: &str) -> bool {
        let Some(limited) = &mut self.0 else { return true };
        if limited.recent.contains(topic_name) {
            return true;
        }
        let allowed = limited.covers(&limited.publish, topic_name);
        if allowed {
            limited.recent.insert(topic_name);
        }
        allowed
    }

    /// Whether it may subscribe to `topic_filter`, a valid Topic Filter: one topic of the rules must cover it whole. The
    /// filter of a Shared Subscription is judged without its `$share/name/` (MQTT 5.0 §4.8.2), with or without which it may
    /// be given here.
    pub fn may_subscribe(&self, topic_filter: &str) -> bool {
        let Some(limited) = &self.0 else { return true };
        let topic_filter = match topic_filter.strip_prefix("$share/") {
            Some(shared) => shared.split_once('/').map_or("", |(_, topic_filter)| topic_filter),
            None => topic_filter,
        };
        !topic_filter.is_empty() && limited.covers(&limited.subscribe, topic_filter)
    }

    /// Of what the client uses, the first that these rights do not give; for a client whose rules have changed, asked of its
    /// new rights. `None`: it may stay as it is. Publications are not among what it uses, for each is judged as it comes.
    pub fn used_right_lost<'a>(
        &self,
        will_topic: Option<&'a str>,
        topic_filters: impl IntoIterator<Item = &'a str>,
    ) -> Option<LostRight<'a>> {
        let limited = self.0.as_ref()?;
        if !limited.may_connect {
            return Some(LostRight::Connect);
        }
        if let Some(topic_name) = will_topic.filter(|topic_name| !limited.covers(&limited.publish, topic_name)) {
            return Some(LostRight::Will(topic_name));
        }
        topic_filters.into_iter().find(|topic_filter| !self.may_subscribe(topic_filter)).map(LostRight::Subscribe)
    }
}

impl Limited {
    fn covers(&self, resources: &[ResourceIndex], asked: &str) -> bool {
        let topics = resources.iter().flat_map(|resource| self.rules.topics(*resource));
        topics.into_iter().any(|topic| topic.covers(asked, &self.principal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrincipalsConfig, ResourceConfig, RuleConfig};

    fn resource(action: Action, topics: &[&str]) -> ResourceConfig {
        let topics = topics.iter().map(ToString::to_string).collect();
        ResourceConfig { action, client_identifiers: Vec::new(), topics }
    }

    fn principal(client_identifier: &str, user_name: Option<&str>, attributes: &[(&str, &str)]) -> Arc<Principal> {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let user_name = user_name.map(Into::into);
        Arc::new(Principal { client_identifier: client_identifier.into(), user_name, attributes })
    }

    /// The example of the documentation of Azure IoT Operations, in our words.
    fn telemetry() -> Arc<AccessRules> {
        let seattle = [("city", "seattle"), ("organization", "contoso")];
        let principals = PrincipalsConfig {
            client_identifiers: Vec::new(),
            user_names: vec!["temperature-sensor".into(), "humidity-sensor".into()],
            attributes: vec![seattle.map(|(key, value)| (key.to_owned(), value.to_owned())).into()],
        };
        let resources = vec![
            resource(Action::Connect, &[]),
            resource(
                Action::Publish,
                &["/telemetry/{principal.username}", "/telemetry/{principal.attributes.organization}", "a", "b"],
            ),
            resource(Action::Subscribe, &["/commands/{principal.attributes.organization}/#"]),
        ];
        Arc::new(AccessRules::compile(&[RuleConfig { principals, resources }]).unwrap())
    }

    #[test]
    fn any_principal_of_a_rule_is_enough_and_a_set_of_attributes_counts_whole() {
        let connects = |principal| telemetry().rights(&principal).may_connect();
        assert!(connects(principal("c", Some("humidity-sensor"), &[])));
        assert!(connects(principal("c", None, &[("city", "seattle"), ("organization", "contoso"), ("x", "y")])));
        assert!(!connects(principal("c", None, &[("city", "seattle")])));
        assert!(!connects(principal("humidity-sensor", Some("x"), &[])));
    }

    #[test]
    fn a_client_publishes_under_its_own_values_only() {
        let mut rights = telemetry().rights(&principal("c", Some("temperature-sensor"), &[]));
        for _ in 0..2 {
            assert!(rights.may_publish("/telemetry/temperature-sensor") && rights.may_publish("a"));
            assert!(!rights.may_publish("/telemetry/humidity-sensor") && !rights.may_publish("/telemetry/contoso"));
        }
        assert!(!rights.may_subscribe("/commands/contoso"));
    }

    #[test]
    fn a_shared_subscription_is_judged_by_its_filter() {
        let attributes = [("city", "seattle"), ("organization", "contoso")];
        let rights = telemetry().rights(&principal("c", None, &attributes));
        assert!(rights.may_subscribe("/commands/contoso/+") && rights.may_subscribe("$share/g//commands/contoso/+"));
        assert!(!rights.may_subscribe("$share/g/commands/contoso/+") && !rights.may_subscribe("$share/g"));
        assert!(!rights.may_subscribe("/commands/+") && !rights.may_subscribe(""));
    }

    #[test]
    fn a_resource_may_ask_for_a_client_identifier() {
        let mut connect = resource(Action::Connect, &[]);
        connect.client_identifiers = vec!["{principal.attributes.building}*".into()];
        let principals = PrincipalsConfig { client_identifiers: vec!["*".into()], ..PrincipalsConfig::default() };
        let rules = Arc::new(AccessRules::compile(&[RuleConfig { principals, resources: vec![connect] }]).unwrap());
        let connects = |name, attributes| rules.rights(&principal(name, None, attributes)).may_connect();
        assert!(connects("b17-pump", &[("building", "b17")]));
        assert!(!connects("b18-pump", &[("building", "b17")]) && !connects("b17-pump", &[]));
    }

    #[test]
    fn nothing_is_allowed_without_rules_and_everything_by_allow_all() {
        let nobody = principal("c", Some("u"), &[]);
        let mut none = Arc::new(AccessRules::compile(&[]).unwrap()).rights(&nobody);
        assert!(!none.may_connect() && !none.may_publish("a") && !none.may_subscribe("a"));
        let mut all = Arc::new(AccessRules::allow_all()).rights(&nobody);
        assert!(all.may_connect() && all.may_publish("a") && all.may_subscribe("#"));
        assert_eq!(all.used_right_lost(Some("w"), ["#"]), None);
        assert_eq!(size_of::<Rights>(), 8);
    }

    #[test]
    fn after_new_rules_only_rights_in_use_count() {
        let client = principal("c", Some("temperature-sensor"), &[("organization", "contoso")]);
        let rights = telemetry().rights(&client);
        assert_eq!(rights.used_right_lost(Some("a"), ["/commands/contoso/#"]), None);
        assert_eq!(rights.used_right_lost(Some("z"), ["/commands/contoso/#"]), Some(LostRight::Will("z")));
        assert_eq!(rights.used_right_lost(None, ["/commands/contoso/x", "y"]), Some(LostRight::Subscribe("y")));
        let none = Arc::new(AccessRules::compile(&[]).unwrap()).rights(&client);
        assert_eq!(none.used_right_lost(None, []), Some(LostRight::Connect));
    }
}
