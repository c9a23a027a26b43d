//! Flows of a site: which topics go to which Event Hub.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Secret, SecretSource};

/// What keeps its order on the way: events of one key stay in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartitionKey {
    /// The Topic Name.
    #[default]
    Topic,
    /// Nothing: events go to any free partition of the hub.
    None,
}

/// One dataflow: `[[flow]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    /// A name of your choice, unique.
    pub name: Spanned<String>,
    /// Topic Filters (MQTT 5.0 §4.7); a message that matches several goes once.
    pub sources: Vec<Spanned<String>>,
    /// What keeps its order.
    #[serde(default)]
    pub partition_key: PartitionKey,
    /// Where it goes.
    pub event_hub: EventHub,
}

/// An Event Hub: `[flow.event_hub]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventHub {
    /// The hub's name.
    pub hub: Spanned<String>,
    /// In the file itself; for development keys only.
    connection_string: Option<String>,
    connection_string_file: Option<PathBuf>,
    connection_string_env: Option<String>,
    /// `NAME.servicebus.windows.net`, where Entra is used.
    pub namespace: Option<String>,
    /// Entra's tenant.
    pub tenant_id: Option<String>,
    /// Entra's application.
    pub client_id: Option<String>,
    client_secret: Option<String>,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    /// `amqp://host:port` or `amqps://host:port` of an endpoint that is not the service itself.
    pub endpoint: Option<Spanned<String>>,
}

/// How to prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// A connection string with a shared access key.
    ConnectionString(SecretSource),
    /// An application of Entra with a client secret.
    ClientSecret {
        /// `NAME.servicebus.windows.net`.
        namespace: String,
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: SecretSource,
    },
}

impl Authentication {
    /// The secret in it, with the key's name in the file.
    pub(crate) fn into_secret(self) -> (&'static str, SecretSource) {
        match self {
            Self::ConnectionString(secret) => ("connection_string", secret),
            Self::ClientSecret { secret, .. } => ("client_secret", secret),
        }
    }
}

impl EventHub {
    /// Which way was chosen.
    ///
    /// # Errors
    /// A sentence that says what is missing or contradicts.
    pub(crate) fn authentication(&self) -> Result<Authentication, String> {
        let connection_string = SecretSource {
            text: self.connection_string.clone().map(Secret::new),
            file: self.connection_string_file.clone(),
            variable: self.connection_string_env.clone(),
        };
        let secret = SecretSource {
            text: self.client_secret.clone().map(Secret::new),
            file: self.client_secret_file.clone(),
            variable: self.client_secret_env.clone(),
        };
        match (&self.namespace, &self.tenant_id, &self.client_id) {
            (None, None, None) if connection_string.is_absent() => Err(NEITHER.to_owned()),
            (None, None, None) => {
                connection_string.check("connection_string")?;
                Ok(Authentication::ConnectionString(connection_string))
            }
            (Some(namespace), Some(tenant_id), Some(client_id)) if connection_string.is_absent() => {
                secret.check("client_secret")?;
                Ok(Authentication::ClientSecret {
                    namespace: namespace.clone(),
                    tenant_id: tenant_id.clone(),
                    client_id: client_id.clone(),
                    secret,
                })
            }
            (Some(_), Some(_), Some(_)) => Err("give a connection string or an Entra application, not both".to_owned()),
            (_, _, _) => Err("namespace, tenant_id and client_id belong together: one is missing".to_owned()),
        }
    }
}

const NEITHER: &str = "no credentials: give connection_string_env (or connection_string_file), \
                       or namespace, tenant_id, client_id and client_secret_env";
