//! Rules as they are written: plain text, unchecked.

use std::collections::BTreeMap;

/// One rule: any of the principals may do each of the things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleConfig {
    /// Whom it is about.
    pub principals: PrincipalsConfig,
    /// What they may do; at least one.
    pub resources: Vec<ResourceConfig>,
}

/// Whom a rule is about: a client that matches any entry of any of the three lists. At least one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrincipalsConfig {
    /// Client Identifiers; `*` stands for any run of characters, so `*` alone is every client.
    pub client_identifiers: Vec<String>,
    /// User names; `*` as above, so `*` alone is every client that has one.
    pub user_names: Vec<String>,
    /// Sets of attributes; a client matches a set that it has whole, with equal values. No set is empty.
    pub attributes: Vec<BTreeMap<String, String>>,
}

/// One thing that a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceConfig {
    /// What.
    pub action: Action,
    /// Only with these Client Identifiers: `*` stands for any run of characters, and a substitution for the client's own
    /// value, as in `{principal.attributes.building}-*`. Empty: with any.
    pub client_identifiers: Vec<String>,
    /// Topic Filters, where a level may be a substitution: `{clientId}` or `{principal.clientId}`, `{username}` or
    /// `{principal.username}`, `{principal.attributes.<name>}`. At least one for Publish and Subscribe, none for Connect.
    pub topics: Vec<String>,
}

/// What a client may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Open a connection.
    Connect,
    /// Publish to a topic, also as a Will Message.
    Publish,
    /// Subscribe to a Topic Filter, and so read the Retained Messages that it matches.
    Subscribe,
}
