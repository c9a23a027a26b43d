//! Who a client turned out to be.

use std::collections::BTreeMap;

/// A client that was authenticated, or let in as anonymous. It says nothing about how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The Client Identifier. The client chooses it freely, so a rule that names it trusts every client that can log in.
    pub client_identifier: Box<str>,
    /// The user name that was proved: of the password file, the certificate's common name, or the token's subject. `None`
    /// for anonymous clients, whatever they wrote into CONNECT.
    pub user_name: Option<Box<str>>,
    /// Attributes that were proved: those that the site's configuration gives to a subject in the certificate's chain, or
    /// those of the token.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
}

impl Principal {
    /// A client that proved nothing.
    pub fn anonymous(client_identifier: impl Into<Box<str>>) -> Self {
        Self { client_identifier: client_identifier.into(), ..Self::default() }
    }
}
