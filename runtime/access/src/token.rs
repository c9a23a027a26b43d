//! A JSON Web Token (RFC 7519): its signature by a file of keys, its issuer, its audience and its dates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use access::{Credentials, Principal, Secret};
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::key_set::KeySet;

/// A longer token is refused unread.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Which tokens let a client in, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// The file of public keys, a JSON Web Key Set.
    pub keys_file: PathBuf,
    /// Accepted values of `iss`; at least one.
    pub issuers: Vec<String>,
    /// Accepted values of `aud`; at least one.
    pub audiences: Vec<String>,
    /// How far clocks may be apart, in seconds; 60 is usual.
    pub clock_skew_s: u32,
    /// Authentication Methods (MQTT 5.0 §4.12) that bring a token in the Authentication Data, for example `K8S-SAT`.
    pub methods: Vec<String>,
    /// Whether a password that looks like a token is one.
    pub as_password: bool,
    /// The claim that is the user name; `sub` is usual.
    pub user_name_claim: String,
    /// Attributes of the principal, each with the claim that it is read from: the name of a claim, or a JSON Pointer
    /// (RFC 6901) such as `/kubernetes.io/namespace`. Texts, numbers and truth values count.
    pub attribute_claims: BTreeMap<String, String>,
}

/// Why a token lets nobody in, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Malformed,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    Expired,
    NotYetValid,
}

impl TokenError {
    pub(crate) const fn cause(self) -> &'static str {
        match self {
            Self::Malformed => "not a token",
            Self::UnknownKey => "no key for this token",
            Self::Signature => "the signature is wrong",
            Self::Issuer => "another issuer",
            Self::Audience => "another audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not valid yet",
        }
    }
}

/// A configuration with its keys.
#[derive(Debug)]
pub(crate) struct TokenChecker {
    config: JwtConfig,
    keys: KeySet,
}

impl TokenChecker {
    pub(crate) fn new(config: JwtConfig, keys: KeySet) -> Self {
        Self { config, keys }
    }

    /// The token in `credentials` and whether it came as a password; `None` where they have none for us. The Authentication
    /// Data of one of our methods is ours, even if it is missing.
    pub(crate) fn token_in<'c>(&self, credentials: &'c Credentials) -> Option<(&'c [u8], bool)> {
        if let Some(method) = &credentials.authentication_method {
            let ours = self.config.methods.iter().any(|name| **name == **method);
            return ours.then(|| (credentials.authentication_data.as_ref().map_or(&[][..], Secret::reveal), false));
        }
        let password = credentials.password.as_ref()?.reveal();
        (self.config.as_password && looks_like_token(password)).then_some((password, true))
    }

    /// Who `token` stands for at `now_s`, in seconds since 1970 UTC, and until when.
    pub(crate) fn principal(
        &self,
        client_identifier: &str,
        token: &[u8],
        now_s: u64,
    ) -> Result<(Principal, u64), TokenError> {
        let claims = self.claims(token)?;
        let expires_at_s = self.check(&claims, now_s)?;
        let attributes = self.config.attribute_claims.iter();
        let principal = Principal {
            client_identifier: client_identifier.into(),
            user_name: text(&claims, &self.config.user_name_claim).map(Into::into),
            attributes: attributes
                .filter_map(|(name, claim)| Some((name.as_str().into(), text(&claims, claim)?.into())))
                .collect(),
        };
        Ok((principal, expires_at_s))
    }

    /// The claims of `token`, once its signature has been found right.
    fn claims(&self, token: &[u8]) -> Result<Map<String, Value>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        // Extensions that must be understood, and none is here (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let candidates = self.keys.candidates(header.kid.as_deref(), header.alg);
        // Only the signature; what the claims say is checked here, at the time that is given.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        let mut error = TokenError::UnknownKey;
        for key in candidates {
            match decode::<Map<String, Value>>(token, key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(_) => error = TokenError::Signature,
            }
        }
        Err(error)
    }

    /// Checks what `claims` say; returns when they end.
    fn check(&self, claims: &Map<String, Value>, now_s: u64) -> Result<u64, TokenError> {
        let accepted = |value: &Value, list: &[String]| {
            value.as_str().is_some_and(|text| list.iter().any(|accepted| accepted == text))
        };
        if !claims.get("iss").is_some_and(|issuer| accepted(issuer, &self.config.issuers)) {
            return Err(TokenError::Issuer);
        }
        let audience = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(|each| accepted(each, &self.config.audiences)),
            Some(audience) => accepted(audience, &self.config.audiences),
            None => false,
        };
        if !audience {
            return Err(TokenError::Audience);
        }
        let skew_s = u64::from(self.config.clock_skew_s);
        let expires_at_s = claims.get("exp").and_then(seconds).ok_or(TokenError::Expired)?;
        // RFC 7519 §4.1.4: on or after the time it is not accepted.
        if now_s >= expires_at_s.saturating_add(skew_s) {
            return Err(TokenError::Expired);
        }
        match claims.get("nbf") {
            None => Ok(expires_at_s),
            Some(begin) if seconds(begin).is_some_and(|begin_s| begin_s <= now_s.saturating_add(skew_s)) => {
                Ok(expires_at_s)
            }
            Some(_) => Err(TokenError::NotYetValid),
        }
    }
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate; negative is checked"
)]
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

fn text(claims: &Map<String, Value>, claim: &str) -> Option<String> {
    let value = match claim.strip_prefix('/') {
        Some(rest) => {
            let (first, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)?
        }
        None => claims.get(claim)?,
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether it has the three parts of a signed token with a header that can be read.
fn looks_like_token(text: &[u8]) -> bool {
    text.len() <= TOKEN_BYTES_MAX && text.split(|byte| *byte == b'.').count() == 3 && decode_header(text).is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The time of the fixtures, in seconds since 1970 UTC.
    const NOW_S: u64 = 1_800_000_000;
    const TOKENS: &str = include_str!("../vectors/tokens");

    fn checker() -> TokenChecker {
        let config = JwtConfig {
            keys_file: "keys.json".into(),
            issuers: vec!["https://other.example".to_owned(), "https://issuer.example".to_owned()],
            audiences: vec!["millicore".to_owned()],
            clock_skew_s: 60,
            methods: vec!["K8S-SAT".to_owned()],
            as_password: false,
            user_name_claim: "sub".to_owned(),
            attribute_claims: [
                ("site".to_owned(), "site".to_owned()),
                ("line".to_owned(), "line".to_owned()),
                ("namespace".to_owned(), "/kubernetes.io/namespace".to_owned()),
                ("none".to_owned(), "/kubernetes.io".to_owned()),
            ]
            .into(),
        };
        let keys = KeySet::parse(Path::new("keys.json"), include_bytes!("../vectors/keys.json")).unwrap();
        assert_eq!(keys.keys_count(), 4);
        TokenChecker::new(config, keys)
    }

    #[test]
    fn golden_tokens_are_judged_as_they_say() {
        let checker = checker();
        let mut good_count = 0;
        for line in TOKENS.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.split(' ').collect();
            let [expected, name, token] = parts[..] else { panic!("{line}") };
            match checker.principal("c", token.as_bytes(), NOW_S) {
                Ok((principal, _)) => {
                    assert_eq!(expected, "good", "{name}");
                    assert_eq!(principal.user_name.as_deref(), Some("pump-7"));
                    let attributes: Vec<_> =
                        principal.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
                    assert_eq!(attributes, [("line", "4"), ("namespace", "plant"), ("site", "bern")]);
                    good_count += 1;
                }
                Err(error) => assert_eq!(format!("{error:?}"), expected, "{name}"),
            }
        }
        assert_eq!(good_count, 14);
    }

    #[test]
    fn no_token_of_which_a_byte_was_changed_lets_anybody_in() {
        let checker = checker();
        let good = TOKENS.lines().find(|line| line.starts_with("good ES256 ")).unwrap().rsplit(' ').next().unwrap();
        // The last letter of a part has bits that say nothing, which the decoder must not pass over.
        for place in 0..good.len() {
            for letter in [b'A', b'.', b'-', 0, 255] {
                let mut token = good.as_bytes().to_vec();
                if std::mem::replace(&mut token[place], letter) != letter {
                    assert!(checker.principal("c", &token, NOW_S).is_err(), "byte {place}");
                }
            }
        }
        assert_eq!(checker.principal("c", &vec![b'a'; TOKEN_BYTES_MAX + 1], NOW_S), Err(TokenError::Malformed));
    }

    #[test]
    fn only_what_looks_like_a_token_is_taken_for_one() {
        assert!(looks_like_token(TOKENS.lines().last().unwrap().rsplit(' ').next().unwrap().as_bytes()));
        for text in [&b""[..], b"hunter2", b"a.b.c", b"...", b"e30.e30.e30", &[255, 46, 46]] {
            assert!(!looks_like_token(text), "{text:?}");
        }
    }
}
