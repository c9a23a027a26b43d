//! Who may do what, until `actors/access` says it.

use std::collections::BTreeMap;

/// Who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The Client Identifier.
    pub client_identifier: Box<str>,
    /// The user name, where it was proven.
    pub user_name: Option<Box<str>>,
    /// Attributes of its certificate.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
}

/// What principals may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    everything: bool,
}

impl AccessRules {
    /// Everybody may do everything.
    pub fn allow_all() -> Self {
        Self { everything: true }
    }
}
