//! MQTT listeners of a site: where clients connect, how they are protected, who is let in.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// An MQTT listener: `[[listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// A name of your choice, unique, for logs and `millicore status`. Default: the address.
    pub name: Option<Spanned<String>>,
    /// Address and port.
    pub bind: Spanned<SocketAddr>,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Protocol,
    /// Only with `protocol = "websocket"`: the path that a client must ask for. Default: any.
    pub path: Option<Spanned<String>>,
    /// Only with `protocol = "websocket"`: origins of web pages that may connect. Default: all.
    #[serde(default)]
    pub origins: Vec<Spanned<String>>,
    /// TLS; without it everything, passwords included, travels in the clear.
    pub tls: Option<Spanned<ListenerTls>>,
    /// Names of `[[authentication]]`, asked in this order.
    #[serde(default)]
    pub authentication: Vec<Spanned<String>>,
    /// Whether clients that show no credentials are let in. Must be written out.
    #[serde(default)]
    pub allow_anonymous: bool,
    /// The name of an `[[authorization]]`. Without it a client that is let in may do everything.
    pub authorization: Option<Spanned<String>>,
    /// Connections at once, below what the profile allows in all.
    pub connections_count_max: Option<NonZeroU32>,
    /// New connections a second, below what the profile allows in all.
    pub connect_rate_per_s_max: Option<NonZeroU32>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// MQTT over TCP, or over TLS where the listener has it.
    #[default]
    Mqtt,
    /// MQTT over WebSocket (MQTT 5.0 §6).
    WebSocket,
}

/// TLS of a listener: `[listener.tls]`. All files are PEM, relative to the site's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// The server's certificate, then the intermediate ones. Default: self-made.
    pub certificate_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// Names and addresses of the self-made certificate beside this host's own name, `localhost` and loopback.
    #[serde(default)]
    pub names: Vec<Spanned<String>>,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// CAs whose client certificates are believed.
    #[serde(default)]
    pub client_ca_files: Vec<PathBuf>,
    /// Revocation lists of these CAs.
    #[serde(default)]
    pub crl_files: Vec<PathBuf>,
    /// Whether intermediate CAs are looked up in the lists as well.
    #[serde(default)]
    pub crl_whole_chain: bool,
    /// Whether TLS 1.2 is spoken beside 1.3.
    #[serde(default = "default_tls12")]
    pub tls12: bool,
}

/// Whether a listener asks clients for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificates {
    /// No.
    #[default]
    None,
    /// A client may show one; one that does not verify is refused.
    Optional,
    /// A client without one is refused.
    Required,
}

impl Listener {
    /// What people call it.
    pub(crate) fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.bind.get_ref().to_string(), |name| name.get_ref().clone())
    }

    /// Whether only this machine reaches it.
    pub(crate) fn is_loopback(&self) -> bool {
        self.bind.get_ref().ip().is_loopback()
    }

    /// Whether its certificate is self-made.
    pub(crate) fn is_self_made(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.get_ref().certificate_file.is_none())
    }

    /// The listener of a site that has neither a `[[listener]]` nor an OPC UA server: TLS on 8883 with a self-made certificate.
    /// Clients show what one of `authentication` wants.
    pub(crate) fn of_site_without_any(authentication: Vec<Spanned<String>>) -> Self {
        let nowhere = |bind: SocketAddr| Spanned::new(0..0, bind);
        Self {
            name: None,
            bind: nowhere(SocketAddr::from(([0, 0, 0, 0], 8_883))),
            protocol: Protocol::Mqtt,
            path: None,
            origins: Vec::new(),
            tls: Some(Spanned::new(0..0, ListenerTls { tls12: true, ..ListenerTls::default() })),
            authentication,
            allow_anonymous: false,
            authorization: None,
            connections_count_max: None,
            connect_rate_per_s_max: None,
        }
    }
}

const fn default_tls12() -> bool {
    true
}
