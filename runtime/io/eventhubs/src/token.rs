//! Tokens from a shared access key or from Entra.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::Url;
use azure_core::time::OffsetDateTime;
use azure_messaging_eventhubs::ConnectionString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::ConfigError;

/// How long a token signed here is good for; the SDK signs its own for the same time.
const SIGNED_FOR: Duration = Duration::from_hours(1);

/// What an Entra token is asked for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// Where a route's tokens come from.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// A shared access key signs a token for the hub.
    SharedKey { audience: String, key_name: String, key: Secret },
    /// A signature that was made elsewhere; it cannot be renewed.
    Signature { token: Secret, expires_on: OffsetDateTime },
    /// Entra.
    Entra(Arc<dyn TokenCredential>),
}

/// The right to send, for a while.
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) expires_on: OffsetDateTime,
}

impl TokenSource {
    /// The source behind a connection string, for the hub at `url`.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`]: neither a key nor a signature that says when it ends.
    pub(crate) fn of_connection_string(parsed: ConnectionString, url: &Url) -> Result<Self, ConfigError> {
        if let Some(token) = parsed.shared_access_signature {
            let expires_on = expiry_of(token.secret())
                .ok_or_else(|| ConfigError::Unreadable("the signature does not say when it ends".to_owned()))?;
            return Ok(Self::Signature { token, expires_on });
        }
        match (parsed.shared_access_key_name, parsed.shared_access_key) {
            (Some(key_name), Some(key)) => Ok(Self::SharedKey { audience: url.to_string(), key_name, key }),
            (None | Some(_), None) | (None, Some(_)) => {
                Err(ConfigError::Unreadable("the connection string holds no key".to_owned()))
            }
        }
    }

    /// What the hub calls this kind of token; `None` for the kind that the SDK takes by default, Entra's.
    pub(crate) fn token_type(&self) -> Option<String> {
        match self {
            Self::SharedKey { .. } | Self::Signature { .. } => Some("servicebus.windows.net:sastoken".to_owned()),
            Self::Entra(_) => None,
        }
    }

    /// Whether another token would be good for longer.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(self, Self::Signature { .. })
    }

    /// A token that is good for now.
    ///
    /// # Errors
    /// Those of the credential: refused, or not to be reached.
    pub(crate) async fn token(&self) -> Result<Token, azure_core::Error> {
        match self {
            Self::SharedKey { audience, key_name, key } => {
                let expires_on = OffsetDateTime::now_utc() + SIGNED_FOR;
                let secret = Secret::new(sign(audience, key_name, key, expires_on.unix_timestamp()));
                Ok(Token { secret, expires_on })
            }
            Self::Signature { token, expires_on } => Ok(Token { secret: token.clone(), expires_on: *expires_on }),
            Self::Entra(credential) => {
                let token = credential.get_token(&[SCOPE], None).await?;
                Ok(Token { secret: token.token, expires_on: token.expires_on })
            }
        }
    }
}

/// A shared access signature for `audience`, until `expiry` in seconds since 1970. The key signs as it stands, not
/// decoded; resource and its escapes are in lower case, as in the service's other clients.
fn sign(audience: &str, key_name: &str, key: &Secret, expiry: i64) -> String {
    let resource = percent_encoded(audience).to_lowercase();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{resource}\n{expiry}").as_bytes());
    let signature = percent_encoded(&BASE64.encode(mac.finalize().into_bytes()));
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={key_name}")
}

/// Escapes all but the unreserved characters of RFC 3986 §2.3.
fn percent_encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// When a ready signature ends: its field `se`.
fn expiry_of(signature: &str) -> Option<OffsetDateTime> {
    let fields = signature.strip_prefix("SharedAccessSignature ")?;
    let expiry = fields.split('&').find_map(|field| field.strip_prefix("se="))?;
    OffsetDateTime::from_unix_timestamp(expiry.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_another_implementation_computes() {
        // Computed with the hmac, base64 and urllib modules of Python.
        let signed =
            sign("amqps://plant.servicebus.windows.net/lines", "sender", &Secret::new("a1b2c3d4"), 1_700_000_000);
        assert_eq!(
            signed,
            "SharedAccessSignature sr=amqps%3a%2f%2fplant.servicebus.windows.net%2flines&\
             sig=MRjDqQn%2BYrCg8NI8Ny1B9u%2BQHleOLqGaNnjkfEJ7BHM%3D&se=1700000000&skn=sender"
        );
        assert_eq!(expiry_of(&signed).map(OffsetDateTime::unix_timestamp), Some(1_700_000_000));
    }

    #[test]
    fn a_ready_signature_that_does_not_say_when_it_ends_is_refused() {
        for text in [
            "sr=a&se=1",
            "SharedAccessSignature sr=a",
            "SharedAccessSignature se=soon",
            "SharedAccessSignature se=99999999999999999",
        ] {
            assert_eq!(expiry_of(text), None, "{text}");
        }
    }
}
