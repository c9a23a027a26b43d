//! What a client says about itself, for who knows the clients (MQTT 5.0 §3.1.3.5, §3.1.3.6, §4.12).

use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of the peer by its certificate: checked in the TLS handshake, before the connection was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Attributes by name, as the listener's rules take them from the subjects of the chain.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
}

/// When authentication happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationStep {
    /// CONNECT: the first word.
    Connect,
    /// AUTH 0x18: what the client answers to [`crate::Message::AuthenticationContinues`] (MQTT-4.12.0-3).
    Continue,
    /// AUTH 0x19: the first word of an authentication over the standing connection (MQTT 5.0 §4.12.1).
    Reauthenticate,
}

/// What a client says about itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Which step of the exchange it is.
    pub step: AuthenticationStep,
    /// The Client Identifier, or the one that was assigned.
    pub client_identifier: Box<str>,
    /// The user name of CONNECT (MQTT 5.0 §3.1.3.5).
    pub user_name: Option<Box<str>>,
    /// The password of CONNECT, any bytes (MQTT 5.0 §3.1.3.6).
    pub password: Option<Box<[u8]>>,
    /// Its certificate, where the listener asked for one.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The Authentication Method (MQTT 5.0 §3.1.2.11.9).
    pub method: Option<Box<str>>,
    /// The Authentication Data (MQTT 5.0 §3.1.2.11.10).
    pub data: Option<Box<[u8]>>,
}

impl std::fmt::Debug for Credentials {
    /// Keeps secrets out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("step", &self.step)
            .field("client_identifier", &self.client_identifier)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .field("certificate", &self.certificate)
            .field("method", &self.method)
            .field("data", &self.data.as_ref().map(|_| "..."))
            .finish()
    }
}
