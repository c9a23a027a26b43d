//! Ways to find out who an MQTT client is; listeners name them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// One way: `[[authentication]]`. Which keys it has follows from its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthenticationMethod {
    /// A name of your choice, unique.
    pub name: Spanned<String>,
    /// What is asked for.
    pub kind: AuthenticationKind,
    /// `password_file`: the file, as `millicore passwd` writes it.
    pub file: Option<Spanned<PathBuf>>,
    /// `x509`: subjects and what they stand for.
    #[serde(default, rename = "subject")]
    pub subjects: Vec<Spanned<Subject>>,
    /// `jwt`: the file of public keys, a JSON Web Key Set.
    pub jwks_file: Option<Spanned<PathBuf>>,
    /// `jwt`: accepted issuers.
    #[serde(default)]
    pub issuers: Vec<Spanned<String>>,
    /// `jwt`: accepted audiences.
    #[serde(default)]
    pub audiences: Vec<Spanned<String>>,
    /// `jwt`: how far clocks may be apart, in seconds.
    pub clock_skew_s: Option<Spanned<u32>>,
    /// `jwt`: Authentication Methods of MQTT 5.0 that bring a token.
    #[serde(default)]
    pub methods: Vec<Spanned<String>>,
    /// `jwt`: whether a password that looks like a token is one.
    pub as_password: Option<Spanned<bool>>,
    /// `jwt`: the claim that is the user name.
    pub user_name_claim: Option<Spanned<String>>,
    /// `jwt`: attributes, each with the claim that it is read from.
    #[serde(default)]
    pub attributes: BTreeMap<String, Spanned<String>>,
}

/// What a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthenticationKind {
    /// A user name and a password of a file.
    PasswordFile,
    /// A certificate that the listener's TLS has verified.
    X509,
    /// A JSON Web Token.
    Jwt,
}

/// The subject of a certificate, and the attributes of clients whose chain has it: `[[authentication.subject]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    /// For example `CN = Press CA, O = Contoso`.
    pub subject: String,
    /// What it stands for.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl AuthenticationKind {
    /// As the file has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PasswordFile => "password_file",
            Self::X509 => "x509",
            Self::Jwt => "jwt",
        }
    }
}

impl AuthenticationMethod {
    /// Users of a password file, where the site's file says nothing.
    pub(crate) fn of_password_file(name: &str, file: PathBuf) -> Self {
        Self {
            name: Spanned::new(0..0, name.to_owned()),
            kind: AuthenticationKind::PasswordFile,
            file: Some(Spanned::new(0..0, file)),
            subjects: Vec::new(),
            jwks_file: None,
            issuers: Vec::new(),
            audiences: Vec::new(),
            clock_skew_s: None,
            methods: Vec::new(),
            as_password: None,
            user_name_claim: None,
            attributes: BTreeMap::new(),
        }
    }

    /// Keys that stand there and do not belong to its kind, each with its place and the kind that it belongs to.
    pub(crate) fn foreign_keys(&self) -> Vec<(std::ops::Range<usize>, &'static str, AuthenticationKind)> {
        use AuthenticationKind::{Jwt, PasswordFile, X509};
        fn first<T>(found: &[Spanned<T>]) -> Option<std::ops::Range<usize>> {
            found.first().map(Spanned::span)
        }
        fn span<T>(found: Option<&Spanned<T>>) -> Option<std::ops::Range<usize>> {
            found.map(Spanned::span)
        }
        let given = [
            (span(self.file.as_ref()), "file", PasswordFile),
            (first(&self.subjects), "subject", X509),
            (span(self.jwks_file.as_ref()), "jwks_file", Jwt),
            (first(&self.issuers), "issuers", Jwt),
            (first(&self.audiences), "audiences", Jwt),
            (span(self.clock_skew_s.as_ref()), "clock_skew_s", Jwt),
            (first(&self.methods), "methods", Jwt),
            (span(self.as_password.as_ref()), "as_password", Jwt),
            (span(self.user_name_claim.as_ref()), "user_name_claim", Jwt),
            (span(self.attributes.values().next()), "attributes", Jwt),
        ];
        let foreign = given.into_iter().filter(|(_, _, kind)| *kind != self.kind);
        foreign.filter_map(|(span, key, kind)| Some((span?, key, kind))).collect()
    }

    /// Keys that its kind needs and that are missing.
    pub(crate) fn missing_keys(&self) -> Vec<&'static str> {
        let missing = match self.kind {
            AuthenticationKind::PasswordFile => vec![(self.file.is_none(), "file")],
            AuthenticationKind::X509 => Vec::new(),
            AuthenticationKind::Jwt => vec![
                (self.jwks_file.is_none(), "jwks_file"),
                (self.issuers.is_empty(), "issuers"),
                (self.audiences.is_empty(), "audiences"),
            ],
        };
        missing.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, key)| key).collect()
    }
}
