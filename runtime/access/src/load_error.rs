//! What is wrong with a chain of authenticators: a field of the configuration, or a file that it names.

use std::fmt;

use crate::FileError;

/// One mistake, with the authenticator that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// In the configuration itself.
    #[error("authenticator {}, {field}: {problem}", authenticator + 1)]
    Config {
        /// Which authenticator, from 0.
        authenticator: usize,
        /// Which field of it.
        field: ConfigField,
        /// What is wrong.
        problem: String,
        /// What to write.
        hint: &'static str,
    },
    /// In a file that it names.
    #[error("{error}")]
    File {
        /// Which authenticator, from 0.
        authenticator: usize,
        /// File, line, and what is wrong.
        error: FileError,
    },
}

/// A field of an authenticator's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigField {
    /// The whole chain.
    Chain,
    /// An entry of `subjects`, from 0.
    Subject(usize),
    /// `issuers`.
    Issuers,
    /// `audiences`.
    Audiences,
    /// `methods` and `as_password` together.
    Methods,
}

impl fmt::Display for ConfigField {
    /// For people, so entries count from 1.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => formatter.write_str("its place"),
            Self::Subject(index) => write!(formatter, "subject {}", index + 1),
            Self::Issuers => formatter.write_str("issuers"),
            Self::Audiences => formatter.write_str("audiences"),
            Self::Methods => formatter.write_str("methods"),
        }
    }
}
