//! Shared access signatures: is a token ours, for what, and until when.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The key that opens the namespace.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Its name, `RootManageSharedAccessKey` by default.
    pub name: String,
    /// Its text as connection strings carry it: signatures are made with the text, not with what it encodes.
    pub key: String,
}

/// What a valid token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Path below which everything is allowed; empty for the whole namespace.
    pub path: String,
    /// Seconds since 1970.
    pub expires_s: i64,
    /// Whether nobody checked it (a bearer token).
    pub unchecked: bool,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not look like one.
    #[error("the token is malformed")]
    Malformed,
    /// Another key, or changed afterwards.
    #[error("the token has an invalid signature")]
    Signature,
    /// Its time is over.
    #[error("the token is expired")]
    Expired,
    /// It is for something else.
    #[error("the token's audience does not cover the entity")]
    Audience,
}

impl AccessKey {
    /// Checks a token of the form `SharedAccessSignature sr=...&sig=...&se=...&skn=...`, put for `audience`.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, token: &str, audience: &str, now_s: i64) -> Result<Grant, TokenError> {
        let fields = token.strip_prefix("SharedAccessSignature ").ok_or(TokenError::Malformed)?;
        let field = |name: &str| {
            fields.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).ok_or(TokenError::Malformed)
        };
        let resource = field("sr")?;
        let expires = field("se")?;
        let expires_s = expires.parse().map_err(|_| TokenError::Malformed)?;
        let signature = percent_decode(field("sig")?).ok_or(TokenError::Malformed)?;
        let signature = STANDARD.decode(signature).map_err(|_| TokenError::Malformed)?;
        let key_name = percent_decode(field("skn")?).ok_or(TokenError::Malformed)?;
        if key_name != self.name {
            return Err(TokenError::Signature);
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(resource.as_bytes());
        mac.update(b"\n");
        mac.update(expires.as_bytes());
        mac.verify_slice(&signature).map_err(|_| TokenError::Signature)?;
        if expires_s <= now_s {
            return Err(TokenError::Expired);
        }
        let signed = path_of(&percent_decode(resource).ok_or(TokenError::Malformed)?);
        let path = path_of(audience);
        if covers(&signed, &path) { Ok(Grant { path, expires_s, unchecked: false }) } else { Err(TokenError::Audience) }
    }

    /// Makes such a token.
    pub fn sign(&self, resource: &str, expires_s: i64) -> String {
        let resource = percent_encode(resource);
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(format!("{resource}\n{expires_s}").as_bytes());
        let signature = percent_encode(&STANDARD.encode(mac.finalize().into_bytes()));
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires_s}&skn={}", percent_encode(&self.name))
    }
}

/// The path of a URL, or of what may be a path alone, in lower case, without slashes at its ends: hosts, ports and
/// schemes differ between SDKs.
pub fn path_of(audience: &str) -> String {
    let path = match audience.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => audience,
    };
    path.trim_matches('/').to_ascii_lowercase()
}

/// Whether `path` is `root`, or lies below it.
pub fn covers(root: &str, path: &str) -> bool {
    root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AccessKey {
        AccessKey { name: "RootManageSharedAccessKey".into(), key: "c2VjcmV0".into() }
    }

    #[test]
    fn a_token_opens_what_it_was_signed_for_and_what_lies_below() {
        let token = key().sign("sb://host:5671/Plant", 1_000);
        for audience in ["amqps://other/plant", "amqp://h:1/plant/partitions/3", "plant/consumergroups/a"] {
            let grant = key().check(&token, audience, 999).unwrap();
            assert_eq!((grant.path, grant.expires_s), (path_of(audience), 1_000));
        }
        assert_eq!(key().check(&token, "amqp://h/plant2", 999), Err(TokenError::Audience));
        assert_eq!(key().check(&token, "amqp://h/", 999), Err(TokenError::Audience));
        let root = key().sign("sb://host/", 1_000);
        assert!(key().check(&root, "amqp://h/plant2", 999).is_ok());
    }

    #[test]
    fn a_token_that_is_old_foreign_or_changed_is_refused() {
        let token = key().sign("sb://host/plant", 1_000);
        assert_eq!(key().check(&token, "/plant", 1_000), Err(TokenError::Expired));
        assert_eq!(key().check(&token.replace("se=1000", "se=2000"), "/plant", 1), Err(TokenError::Signature));
        let other = AccessKey { key: "other".into(), ..key() };
        assert_eq!(other.check(&token, "/plant", 1), Err(TokenError::Signature));
        let other = AccessKey { name: "other".into(), ..key() };
        assert_eq!(other.check(&token, "/plant", 1), Err(TokenError::Signature));
        for token in ["", "SharedAccessSignature ", "SharedAccessSignature sr=%&sig=%zz&se=1&skn=a", "x"] {
            assert_eq!(key().check(token, "/plant", 1), Err(TokenError::Malformed));
        }
    }
}
