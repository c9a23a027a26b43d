//! What a client shows of itself, before anybody has believed it.

use std::fmt;

/// Bytes that no log may hold: a password, a token. `Debug` shows only that they are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps the bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one who must check them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    /// Leaves no copy in freed memory, as far as safe code can ask for that.
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// What CONNECT, or AUTH after it, says about the client (MQTT 5.0 §3.1.2.8, §3.1.2.9, §3.1.2.11.9, §3.1.2.11.10).
///
/// What the transport knows beside it, certificates and the peer's address, is added by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The Client Identifier; where the client left it empty, the one assigned to it.
    pub client_identifier: Box<str>,
    /// The User Name.
    pub user_name: Option<Box<str>>,
    /// The Password.
    pub password: Option<Secret>,
    /// The Authentication Method of enhanced authentication (§4.12).
    pub authentication_method: Option<Box<str>>,
    /// The Authentication Data.
    pub authentication_data: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        let credentials = Credentials {
            client_identifier: "c".into(),
            user_name: Some("u".into()),
            password: Some(Secret::new(*b"hunter2")),
            authentication_method: Some("JWT".into()),
            authentication_data: Some(Secret::new(*b"token")),
        };
        let text = format!("{credentials:?}");
        assert!(!text.contains("hunter2") && !text.contains("token"), "{text}");
        assert!(!text.contains("104, 117"), "{text}");
    }
}
