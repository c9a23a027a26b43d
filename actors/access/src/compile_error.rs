//! What is wrong with a rule, and which field of it: a file's reader adds the line.

use std::fmt;

/// A field of the rules; every index counts from 0, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// All rules together.
    Rules,
    /// All principals of a rule.
    Principals {
        /// The rule.
        rule: usize,
    },
    /// An entry of its `client_identifiers`.
    PrincipalClientIdentifier {
        /// The rule.
        rule: usize,
        /// The entry.
        index: usize,
    },
    /// An entry of its `user_names`.
    PrincipalUserName {
        /// The rule.
        rule: usize,
        /// The entry.
        index: usize,
    },
    /// An entry of its `attributes`.
    PrincipalAttributes {
        /// The rule.
        rule: usize,
        /// The entry.
        index: usize,
    },
    /// All resources of a rule.
    Resources {
        /// The rule.
        rule: usize,
    },
    /// An entry of a resource's `client_identifiers`.
    ResourceClientIdentifier {
        /// The rule.
        rule: usize,
        /// The resource.
        resource: usize,
        /// The entry.
        index: usize,
    },
    /// All topics of a resource.
    Topics {
        /// The rule.
        rule: usize,
        /// The resource.
        resource: usize,
    },
    /// An entry of a resource's `topics`.
    Topic {
        /// The rule.
        rule: usize,
        /// The resource.
        resource: usize,
        /// The entry.
        index: usize,
    },
}

impl fmt::Display for Place {
    /// For people, so everything counts from 1.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Rules => formatter.write_str("rules"),
            Self::Principals { rule } => write!(formatter, "rule {}, principals", rule + 1),
            Self::PrincipalClientIdentifier { rule, index } => {
                write!(formatter, "rule {}, principals, client identifier {}", rule + 1, index + 1)
            }
            Self::PrincipalUserName { rule, index } => {
                write!(formatter, "rule {}, principals, user name {}", rule + 1, index + 1)
            }
            Self::PrincipalAttributes { rule, index } => {
                write!(formatter, "rule {}, principals, attributes {}", rule + 1, index + 1)
            }
            Self::Resources { rule } => write!(formatter, "rule {}, resources", rule + 1),
            Self::ResourceClientIdentifier { rule, resource, index } => {
                write!(formatter, "rule {}, resource {}, client identifier {}", rule + 1, resource + 1, index + 1)
            }
            Self::Topics { rule, resource } => {
                write!(formatter, "rule {}, resource {}, topics", rule + 1, resource + 1)
            }
            Self::Topic { rule, resource, index } => {
                write!(formatter, "rule {}, resource {}, topic {}", rule + 1, resource + 1, index + 1)
            }
        }
    }
}

/// One mistake in the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct CompileError {
    /// Which field.
    pub place: Place,
    /// What is wrong with it.
    pub problem: String,
    /// What to write.
    pub hint: &'static str,
}

/// A mistake whose place is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) problem: String,
    pub(crate) hint: &'static str,
}

impl Mistake {
    pub(crate) fn new(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { problem: problem.into(), hint }
    }

    pub(crate) fn at(self, place: Place) -> CompileError {
        CompileError { place, problem: self.problem, hint: self.hint }
    }
}
