//! The rules of a site, checked and ready to be asked.

use std::sync::Arc;

use crate::compile_error::{CompileError, Mistake, Place};
use crate::configuration::{Action, PrincipalsConfig, ResourceConfig, RuleConfig};
use crate::name_pattern::NamePattern;
use crate::topic_pattern::TopicPattern;
use crate::{Principal, Rights};

/// Rules of one rule set; more are a [`CompileError`].
pub const RULES_COUNT_MAX: usize = 10_000;
/// Topics of one rule set over all its rules; more are a [`CompileError`]. A Topic Name that was not asked before costs
/// about 30 ns for each topic of the rules that the client matches.
pub const TOPICS_COUNT_MAX: usize = 50_000;

/// Who may do what. What no rule allows is denied.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// `None`: everybody may do everything.
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    client_identifiers: Vec<NamePattern>,
    user_names: Vec<NamePattern>,
    attributes: Vec<Vec<(Box<str>, Box<str>)>>,
    resources: Vec<Resource>,
}

/// One thing that a rule allows.
#[derive(Debug, PartialEq, Eq)]
struct Resource {
    action: Action,
    client_identifiers: Vec<NamePattern>,
    topics: Box<[TopicPattern]>,
}

/// Which resource of which rule; both counts are within the limits, so both fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceIndex {
    rule: u16,
    resource: u16,
}

impl AccessRules {
    /// Everybody may do everything; its [`Rights`] cost nothing.
    pub const fn allow_all() -> Self {
        Self { rules: None }
    }

    /// Checks `rules` as they were written. Without any, nobody may do anything.
    ///
    /// # Errors
    /// Every mistake, in the order of the configuration, each with its place and what to write.
    pub fn compile(rules: &[RuleConfig]) -> Result<Self, Vec<CompileError>> {
        let mut compiler = Compiler { errors: Vec::new() };
        let topics_count: usize = rules.iter().flat_map(|rule| &rule.resources).map(|each| each.topics.len()).sum();
        if rules.len() > RULES_COUNT_MAX || topics_count > TOPICS_COUNT_MAX {
            let problem = format!("{} rules with {topics_count} topics are too many", rules.len());
            let hint =
                "at most 10,000 rules with 50,000 topics; a substitution such as {clientId} stands for many clients";
            return Err(vec![Mistake::new(problem, hint).at(Place::Rules)]);
        }
        let checked = rules.iter().enumerate().map(|(index, rule)| compiler.rule(index, rule)).collect();
        if compiler.errors.is_empty() { Ok(Self { rules: Some(checked) }) } else { Err(compiler.errors) }
    }

    /// Whether everybody may do everything.
    pub const fn allows_all(&self) -> bool {
        self.rules.is_none()
    }

    /// What `principal` may do under these rules. For the time of connecting: its cost grows with the number of rules. It
    /// takes about 100 bytes and 4 for each resource that applies; nothing at all where everybody may do everything.
    pub fn rights(self: &Arc<Self>, principal: &Arc<Principal>) -> Rights {
        if self.allows_all() { Rights::all() } else { Rights::limited(Arc::clone(self), Arc::clone(principal)) }
    }

    /// Calls `visit` with each resource that applies to `principal`, and what it allows, in their order.
    pub(crate) fn visit_resources(&self, principal: &Principal, mut visit: impl FnMut(Action, ResourceIndex)) {
        for (rule_index, rule) in self.rules.iter().flatten().enumerate().filter(|(_, rule)| rule.is_about(principal)) {
            for (resource_index, resource) in rule.resources.iter().enumerate() {
                if resource.applies_to(principal) {
                    let index = ResourceIndex { rule: short(rule_index), resource: short(resource_index) };
                    visit(resource.action, index);
                }
            }
        }
    }

    /// The topics of a resource.
    pub(crate) fn topics(&self, index: ResourceIndex) -> &[TopicPattern] {
        self.rules
            .as_ref()
            .map_or(&[], |rules| &rules[usize::from(index.rule)].resources[usize::from(index.resource)].topics)
    }
}

fn short(index: usize) -> u16 {
    u16::try_from(index).expect("the limits of compile are below 65,536")
}

impl Rule {
    fn is_about(&self, principal: &Principal) -> bool {
        let name = &*principal.client_identifier;
        let has = |(key, value): &(Box<str>, Box<str>)| principal.attributes.get(key) == Some(value);
        self.client_identifiers.iter().any(|pattern| pattern.matches(name, principal))
            || principal
                .user_name
                .as_deref()
                .is_some_and(|name| self.user_names.iter().any(|pattern| pattern.matches(name, principal)))
            || self.attributes.iter().any(|set| set.iter().all(has))
    }
}

impl Resource {
    fn applies_to(&self, principal: &Principal) -> bool {
        self.client_identifiers.is_empty()
            || self.client_identifiers.iter().any(|pattern| pattern.matches(&principal.client_identifier, principal))
    }
}

/// Goes on after a mistake, so that one look finds all.
struct Compiler {
    errors: Vec<CompileError>,
}

impl Compiler {
    fn rule(&mut self, rule: usize, config: &RuleConfig) -> Rule {
        let PrincipalsConfig { client_identifiers, user_names, attributes } = &config.principals;
        if client_identifiers.is_empty() && user_names.is_empty() && attributes.is_empty() {
            let hint = "name client identifiers, user names or attributes; the client identifier * is everybody";
            self.mistake(Mistake::new("the rule is about nobody", hint), Place::Principals { rule });
        }
        if config.resources.is_empty() {
            let hint = "add a resource with the action Connect, Publish or Subscribe";
            self.mistake(Mistake::new("the rule allows nothing", hint), Place::Resources { rule });
        }
        if u16::try_from(config.resources.len()).is_err() {
            let hint = "a resource may have many topics";
            self.mistake(Mistake::new("more than 65,535 resources", hint), Place::Resources { rule });
        }
        for (index, _) in attributes.iter().enumerate().filter(|(_, set)| set.is_empty()) {
            let hint = "name the attributes that the client must have, for example site = \"bern\"";
            self.mistake(
                Mistake::new("an empty set matches everybody", hint),
                Place::PrincipalAttributes { rule, index },
            );
        }
        let pairs = |set: &std::collections::BTreeMap<String, String>| {
            set.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
        };
        Rule {
            client_identifiers: self.each(client_identifiers, NamePattern::parse_plain, |index| {
                Place::PrincipalClientIdentifier { rule, index }
            }),
            user_names: self
                .each(user_names, NamePattern::parse_plain, |index| Place::PrincipalUserName { rule, index }),
            attributes: attributes.iter().map(pairs).collect(),
            resources: config
                .resources
                .iter()
                .enumerate()
                .map(|(resource, config)| self.resource(rule, resource, config))
                .collect(),
        }
    }

    fn resource(&mut self, rule: usize, resource: usize, config: &ResourceConfig) -> Resource {
        match config.action {
            Action::Connect if !config.topics.is_empty() => {
                let mistake = Mistake::new("Connect has no topics", "put them into a resource of Publish or Subscribe");
                self.mistake(mistake, Place::Topics { rule, resource });
            }
            Action::Publish | Action::Subscribe if config.topics.is_empty() => {
                let mistake = Mistake::new("no topics, so nothing is allowed", "for example topics = [\"plant/#\"]");
                self.mistake(mistake, Place::Topics { rule, resource });
            }
            Action::Connect | Action::Publish | Action::Subscribe => {}
        }
        Resource {
            action: config.action,
            client_identifiers: self.each(&config.client_identifiers, NamePattern::parse, |index| {
                Place::ResourceClientIdentifier { rule, resource, index }
            }),
            topics: self
                .each(&config.topics, TopicPattern::parse, |index| Place::Topic { rule, resource, index })
                .into(),
        }
    }

    fn each<T>(
        &mut self,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, Mistake>,
        place: impl Fn(usize) -> Place,
    ) -> Vec<T> {
        let mut parsed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(pattern) => parsed.push(pattern),
                Err(mistake) => self.mistake(mistake, place(index)),
            }
        }
        parsed
    }

    fn mistake(&mut self, mistake: Mistake, place: Place) {
        self.errors.push(mistake.at(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rules: &[RuleConfig]) -> Vec<Place> {
        AccessRules::compile(rules).unwrap_err().into_iter().map(|error| error.place).collect()
    }

    fn resource(action: Action, topics: &[&str]) -> ResourceConfig {
        let topics = topics.iter().map(ToString::to_string).collect();
        ResourceConfig { action, client_identifiers: Vec::new(), topics }
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let principals = PrincipalsConfig {
            client_identifiers: vec!["ok".into(), "{clientId}".into()],
            user_names: vec![String::new()],
            attributes: vec![std::collections::BTreeMap::new()],
        };
        let mut resources = vec![
            resource(Action::Connect, &["a"]),
            resource(Action::Publish, &[]),
            resource(Action::Subscribe, &["a/#", "a/#/b", "x-{clientId}"]),
        ];
        resources[2].client_identifiers = vec!["{nobody}".into()];
        let rules = [RuleConfig::default(), RuleConfig { principals, resources }];
        assert_eq!(
            places(&rules),
            [
                Place::Principals { rule: 0 },
                Place::Resources { rule: 0 },
                Place::PrincipalAttributes { rule: 1, index: 0 },
                Place::PrincipalClientIdentifier { rule: 1, index: 1 },
                Place::PrincipalUserName { rule: 1, index: 0 },
                Place::Topics { rule: 1, resource: 0 },
                Place::Topics { rule: 1, resource: 1 },
                Place::ResourceClientIdentifier { rule: 1, resource: 2, index: 0 },
                Place::Topic { rule: 1, resource: 2, index: 1 },
                Place::Topic { rule: 1, resource: 2, index: 2 },
            ]
        );
        let text = AccessRules::compile(&rules).unwrap_err()[8].to_string();
        assert!(text.starts_with("rule 2, resource 3, topic 2: \"a/#/b\" is not a Topic Filter"), "{text}");
    }

    #[test]
    fn more_than_the_limits_is_refused_as_a_whole() {
        assert_eq!(places(&vec![RuleConfig::default(); RULES_COUNT_MAX + 1]), [Place::Rules]);
        let topics = vec!["a"; TOPICS_COUNT_MAX + 1];
        let rule = RuleConfig { resources: vec![resource(Action::Publish, &topics)], ..RuleConfig::default() };
        assert_eq!(places(&[rule]), [Place::Rules]);
    }
}
