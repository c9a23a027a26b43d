//! What a connection needs to know before it begins: where to, how secured, as whom, within which limits.

use std::path::PathBuf;
use std::time::Duration;

/// One server, and how to reach it.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// `opc.tcp://host[:port][/path]`; port 4840 where none is given. Host and port replace those that the server
    /// advertises, which port mapping and containers get wrong.
    pub endpoint_url: String,
    /// Security policy and mode of the endpoint to choose.
    pub security: Security,
    /// Who logs in; `None`: anonymous.
    pub user: Option<UserName>,
    /// Which server certificates are good enough.
    pub trust: TrustPolicy,
    /// Folder of our own certificate and key (`own/certificate.der`, `private/key.pem`), made at first use: RSA 2048, ten
    /// years, the key readable by its owner only. Used with [`Security::Basic256Sha256`] only. Servers must trust
    /// the certificate.
    pub pki_directory: PathBuf,
    /// Our `ApplicationUri`, also in our certificate; ASCII.
    pub application_uri: String,
    /// Our `ApplicationName`.
    pub application_name: String,
    /// What is refused.
    pub limits: TransportLimits,
    /// The longest from Connect to `Connected`, name resolution and both channels included.
    pub connect_timeout: Duration,
    /// Lifetime to ask for a channel's token. It is renewed after 70 % of what the server makes of it.
    pub token_lifetime: Duration,
}

impl TransportConfig {
    /// Anonymous, without security, with the limits that are right for nearly every server.
    pub fn new(endpoint_url: impl Into<String>, pki_directory: impl Into<PathBuf>) -> Self {
        Self {
            endpoint_url: endpoint_url.into(),
            security: Security::None,
            user: None,
            trust: TrustPolicy::AnyCertificate,
            pki_directory: pki_directory.into(),
            application_uri: "urn:millicore:client".to_owned(),
            application_name: "millicore".to_owned(),
            limits: TransportLimits::default(),
            connect_timeout: Duration::from_secs(10),
            token_lifetime: Duration::from_hours(1),
        }
    }
}

/// A user and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct UserName {
    /// The name.
    pub name: String,
    /// The password, encrypted on the wire wherever the server's token policy says with what.
    pub password: String,
}

impl std::fmt::Debug for UserName {
    /// Leaves the password out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UserName").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Security policy and mode (Part 7 §6.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Neither signed nor encrypted.
    #[default]
    None,
    /// Basic256Sha256, `SignAndEncrypt`.
    Basic256Sha256,
}

/// Which certificates of servers are good enough. Dates, key length and `ApplicationUri` are checked in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustPolicy {
    /// Any. Whoever sits between us and the server may pretend to be it.
    AnyCertificate,
    /// A certificate that lies in this folder as `*.der`, or one that was signed (RSA with SHA-256) by a certificate
    /// authority whose certificate lies there. At most 1,000 files are looked at, and those over 64 KiB are left out.
    Folder(PathBuf),
}

/// What is refused, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// Bytes of one message from the server, all its chunks together. 8,192 and above. More ends the connection.
    pub message_bytes_max: u32,
    /// Chunks of one message from the server, 1 and above. More ends the connection.
    pub chunk_count_max: u32,
    /// Bytes of one chunk in either direction, and of the read buffer. 8,192 to 16 MiB (Part 6 §7.1.2.3).
    pub chunk_bytes_max: u32,
    /// Elements of an array in a response; more ends the connection. Publish responses are not decoded here.
    pub array_length_max: u32,
    /// Bytes that wait for the socket; past it a request is answered with `Bad_TcpNotEnoughResources`.
    pub write_bytes_max: u32,
    /// Requests without an answer; past it one is answered with `Bad_TooManyOperations`.
    pub requests_max: u32,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1_024 * 1_024,
            chunk_count_max: 4_096,
            chunk_bytes_max: 64 * 1_024,
            array_length_max: 1_000_000,
            write_bytes_max: 16 * 1_024 * 1_024,
            requests_max: 1_000,
        }
    }
}
