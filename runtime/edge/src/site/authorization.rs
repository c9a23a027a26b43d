//! Who may do what, in the model of Azure IoT Operations: rules about principals, and what these may do.

use std::collections::BTreeMap;
use std::ops::Range;

use access::{AccessRules, Action, CompileError, Place, PrincipalsConfig, ResourceConfig, RuleConfig};
use serde::Deserialize;
use toml::Spanned;

/// A set of rules that listeners name: `[[authorization]]`. What no rule allows is denied.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authorization {
    /// A name of your choice, unique.
    pub name: Spanned<String>,
    /// What becomes of a publication of a 3.1.1 client that the rules do not allow.
    #[serde(default)]
    pub denied_publish_v3: DeniedPublish,
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Spanned<Rule>>,
}

/// What becomes of a publication that is not allowed, where the protocol has no word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeniedPublish {
    /// The connection ends.
    #[default]
    Disconnect,
    /// It is acknowledged and dropped.
    Silent,
}

/// One rule: `[[authorization.rule]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Whom it is about: any of these.
    pub principals: Spanned<Principals>,
    /// What they may do.
    pub resources: Spanned<Vec<Spanned<Resource>>>,
}

/// Whom a rule is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Principals {
    /// Client Identifiers; `*` stands for any run of characters.
    #[serde(default)]
    pub client_ids: Vec<Spanned<String>>,
    /// User names; `*` as above.
    #[serde(default)]
    pub user_names: Vec<Spanned<String>>,
    /// Sets of attributes; a client has all of a set.
    #[serde(default)]
    pub attributes: Vec<Spanned<BTreeMap<String, String>>>,
}

/// One thing that a rule allows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// What.
    pub method: Method,
    /// Only with these Client Identifiers.
    #[serde(default)]
    pub client_ids: Vec<Spanned<String>>,
    /// Topic Filters, where a level may be `{clientId}`, `{username}` or `{principal.attributes.NAME}`.
    #[serde(default)]
    pub topics: Vec<Spanned<String>>,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Method {
    /// Be connected.
    Connect,
    /// Publish, also as a Will Message.
    Publish,
    /// Subscribe.
    Subscribe,
}

impl Authorization {
    /// The rules, checked.
    ///
    /// # Errors
    /// Every mistake with its place in the site's file.
    pub(crate) fn compile(&self) -> Result<AccessRules, Vec<(Range<usize>, CompileError)>> {
        let rules: Vec<RuleConfig> = self.rules.iter().map(|rule| rule.get_ref().config()).collect();
        AccessRules::compile(&rules)
            .map_err(|errors| errors.into_iter().map(|error| (self.span(error.place), error)).collect())
    }

    /// Where the file says what is wrong.
    fn span(&self, place: Place) -> Range<usize> {
        let rule_at = |rule: usize| self.rules[rule].get_ref();
        let principals = |rule: usize| rule_at(rule).principals.get_ref();
        let resource_at = |rule: usize, resource: usize| &rule_at(rule).resources.get_ref()[resource];
        match place {
            Place::Rules => self.name.span(),
            Place::Principals { rule } => rule_at(rule).principals.span(),
            Place::PrincipalClientIdentifier { rule, index } => principals(rule).client_ids[index].span(),
            Place::PrincipalUserName { rule, index } => principals(rule).user_names[index].span(),
            Place::PrincipalAttributes { rule, index } => principals(rule).attributes[index].span(),
            Place::Resources { rule } => rule_at(rule).resources.span(),
            Place::ResourceClientIdentifier { rule, resource, index } => {
                resource_at(rule, resource).get_ref().client_ids[index].span()
            }
            Place::Topics { rule, resource } => resource_at(rule, resource).span(),
            Place::Topic { rule, resource, index } => resource_at(rule, resource).get_ref().topics[index].span(),
        }
    }
}

impl Rule {
    fn config(&self) -> RuleConfig {
        let principals = self.principals.get_ref();
        let resource = |resource: &Spanned<Resource>| {
            let resource = resource.get_ref();
            ResourceConfig {
                action: match resource.method {
                    Method::Connect => Action::Connect,
                    Method::Publish => Action::Publish,
                    Method::Subscribe => Action::Subscribe,
                },
                client_identifiers: texts(&resource.client_ids),
                topics: texts(&resource.topics),
            }
        };
        RuleConfig {
            principals: PrincipalsConfig {
                client_identifiers: texts(&principals.client_ids),
                user_names: texts(&principals.user_names),
                attributes: principals.attributes.iter().map(|set| set.get_ref().clone()).collect(),
            },
            resources: self.resources.get_ref().iter().map(resource).collect(),
        }
    }
}

fn texts(spanned: &[Spanned<String>]) -> Vec<String> {
    spanned.iter().map(|text| text.get_ref().clone()).collect()
}
