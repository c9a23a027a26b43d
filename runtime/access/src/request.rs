//! What a client shows, and the answer to it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use access::{Credentials, Principal};
use mqtt::ReasonCode;

/// What a client shows.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of CONNECT or AUTH.
    pub credentials: Credentials,
    /// The path along which TLS has verified the client's certificate, in DER, that certificate first and the root last; never
    /// what the client has merely sent. Empty without certificate.
    pub certificates: Vec<Vec<u8>>,
    /// Where it comes from; failures are counted by it.
    pub peer: IpAddr,
}

/// Who the client is, or the Reason Code that refuses it: 0x86 Bad User Name or Password, 0x87 Not authorized, 0x8C Bad
/// authentication method, 0x89 Server busy where more clients wait to be checked than may, 0x9F Connection rate exceeded after too
/// many failures from this address, or 0x80 where we broke.
pub type Answer = Result<Grant, ReasonCode>;

/// A client that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Who said so.
    pub by: AuthenticatorKind,
    /// When what it has shown ends, in seconds since 1970 UTC: a token's `exp`. `None`: never.
    pub expires_at_s: Option<u64>,
}

/// A kind of authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// The password file.
    Password,
    /// A client certificate.
    Certificate,
    /// A JSON Web Token.
    Jwt,
    /// Whoever comes.
    Anonymous,
}

impl fmt::Display for AuthenticatorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Password => "password",
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Anonymous => "anonymous",
        })
    }
}

/// Why a client was refused: the code for the client, which tells little, and the cause for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) reason_code: ReasonCode,
    pub(crate) cause: &'static str,
}
