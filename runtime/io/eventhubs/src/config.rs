//! Where a route leads, and as whom; secrets that do not print.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::Url;
use azure_identity::ClientSecretCredential;
use azure_messaging_eventhubs::ConnectionString;

use crate::token::TokenSource;

/// One hub and the right to send to it.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub(crate) hub: String,
    pub(crate) namespace: String,
    pub(crate) access: Access,
    pub(crate) tokens: TokenSource,
    pub(crate) custom_endpoint: Option<Url>,
    pub(crate) timeouts: Timeouts,
    pub(crate) batches_in_flight_max: usize,
}

/// As whom a route sends.
#[derive(Clone)]
pub enum Access {
    /// A connection string with a shared access key or a ready signature. Tokens are signed here, for an hour each.
    ConnectionString(Secret),
    /// An Entra identity.
    Entra {
        /// Fully qualified, `name.servicebus.windows.net`.
        namespace: String,
        /// Where tokens come from. It caches them; one that lives under 6 minutes is renewed every 30 s.
        credential: Arc<dyn TokenCredential>,
    },
}

/// How long each step may take. The SDK itself waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, and to attach a link, with the authorisation that both need.
    pub open: Duration,
    /// To read the hub's partitions.
    pub properties: Duration,
    /// From the first byte of a batch to its outcome, with the link that it may have to attach.
    pub send: Duration,
    /// To say goodbye; afterwards the connection is dropped.
    pub close: Duration,
}

/// Why a route cannot be made. The configuration must be corrected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The connection string, the identity or the endpoint cannot be read. The text names the part, never its value.
    #[error("{0}")]
    Unreadable(String),
    /// The connection string names another hub.
    #[error("the connection string is for the hub `{in_connection_string}`, the route for `{hub}`")]
    OtherHub {
        /// The hub of the route.
        hub: String,
        /// The `EntityPath` of the connection string.
        in_connection_string: String,
    },
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(15),
            properties: Duration::from_secs(15),
            send: Duration::from_secs(15),
            close: Duration::from_secs(1),
        }
    }
}

impl Access {
    /// An application of Entra with a client secret.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`]: tenant, client or secret is empty or malformed.
    pub fn client_secret(
        namespace: impl Into<String>,
        tenant_id: &str,
        client_id: impl Into<String>,
        client_secret: Secret,
    ) -> Result<Self, ConfigError> {
        crate::install_crypto_provider();
        let credential = ClientSecretCredential::new(tenant_id, client_id.into(), client_secret, None)
            .map_err(|error| ConfigError::Unreadable(format!("the client secret's identity: {error}")))?;
        Ok(Self::Entra { namespace: namespace.into(), credential })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionString(_) => formatter.write_str("ConnectionString(..)"),
            Self::Entra { namespace, .. } => {
                formatter.debug_struct("Entra").field("namespace", namespace).finish_non_exhaustive()
            }
        }
    }
}

impl RouteConfig {
    /// A route to `hub`, with the service's own endpoint, the default timeouts and 32 batches in flight.
    ///
    /// # Errors
    /// Each kind of [`ConfigError`].
    pub fn new(hub: impl Into<String>, access: Access) -> Result<Self, ConfigError> {
        let hub = hub.into();
        let (namespace, tokens) = match &access {
            Access::ConnectionString(secret) => {
                let parsed = parse_connection_string(secret)?;
                if let Some(in_connection_string) = parsed.entity_path.as_ref().filter(|path| **path != hub) {
                    return Err(ConfigError::OtherHub { hub, in_connection_string: in_connection_string.clone() });
                }
                let url = url_of(&parsed.fully_qualified_namespace, &hub)?;
                (parsed.fully_qualified_namespace.clone(), TokenSource::of_connection_string(parsed, &url)?)
            }
            Access::Entra { namespace, credential } => {
                url_of(namespace, &hub)?;
                (namespace.clone(), TokenSource::Entra(Arc::clone(credential)))
            }
        };
        let timeouts = Timeouts::default();
        Ok(Self { hub, namespace, access, tokens, custom_endpoint: None, timeouts, batches_in_flight_max: 32 })
    }

    /// Connects to `endpoint` (`amqp://127.0.0.1:5672`) while the hub keeps its name: a gateway, or a local endpoint.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`]: it is no URL.
    pub fn with_custom_endpoint(mut self, endpoint: &str) -> Result<Self, ConfigError> {
        let endpoint =
            Url::parse(endpoint).map_err(|error| ConfigError::Unreadable(format!("the endpoint: {error}")))?;
        self.custom_endpoint = Some(endpoint);
        Ok(self)
    }

    /// Replaces the timeouts.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Replaces the number of batches that the lane takes at once, at least that of the batcher. Each holds its events
    /// and up to three encodings of about 1 MB.
    #[must_use]
    pub fn with_batches_in_flight_max(mut self, batches_in_flight_max: usize) -> Self {
        self.batches_in_flight_max = batches_in_flight_max;
        self
    }

    /// How many batches the lane takes at once.
    pub fn batches_in_flight_max(&self) -> usize {
        self.batches_in_flight_max
    }

    /// The hub's address, which is also what tokens are for.
    pub(crate) fn url(&self) -> Url {
        url_of(&self.namespace, &self.hub).expect("checked when the route was made")
    }
}

fn url_of(namespace: &str, hub: &str) -> Result<Url, ConfigError> {
    Url::parse(&format!("amqps://{namespace}/{hub}"))
        .map_err(|error| ConfigError::Unreadable(format!("the namespace or the hub: {error}")))
}

/// Reads a connection string; the error never repeats it.
fn parse_connection_string(secret: &Secret) -> Result<ConnectionString, ConfigError> {
    secret.secret().parse().map_err(|error: azure_core::Error| ConfigError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION_STRING: &str = "Endpoint=sb://plant.servicebus.windows.net/;SharedAccessKeyName=sender;\
                                     SharedAccessKey=a1b2c3d4;EntityPath=lines";

    fn route(hub: &str) -> Result<RouteConfig, ConfigError> {
        RouteConfig::new(hub, Access::ConnectionString(Secret::new(CONNECTION_STRING)))
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!("{:?}", route("lines").unwrap());
        assert!(printed.contains("plant.servicebus.windows.net"));
        assert!(!printed.contains("a1b2c3d4"), "{printed}");
        let tenant = "00000000-0000-0000-0000-000000000001";
        let access = Access::client_secret("plant.servicebus.windows.net", tenant, "client", Secret::new("s3cret"));
        let printed = format!("{:?}", RouteConfig::new("lines", access.unwrap()).unwrap());
        assert!(!printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_its_value() {
        for text in ["", "Endpoint=sb://x.example/", "Endpoint=sb://x.example/;SharedAccessKeyName=a;SharedAccessKey="]
        {
            let error = RouteConfig::new("h", Access::ConnectionString(Secret::new(text))).unwrap_err();
            assert!(matches!(error, ConfigError::Unreadable(_)), "{text}");
        }
        let error =
            RouteConfig::new("h", Access::ConnectionString(Secret::new("SharedAccessKey=hunter2;x"))).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(route("lines").unwrap().with_custom_endpoint("no url").is_err());
    }

    #[test]
    fn a_connection_string_for_another_hub_is_refused() {
        let error = route("other").unwrap_err();
        assert!(matches!(error, ConfigError::OtherHub { in_connection_string, .. } if in_connection_string == "lines"));
    }

    #[test]
    fn the_address_is_the_namespaces_even_with_another_endpoint() {
        let config = route("lines").unwrap().with_custom_endpoint("amqp://127.0.0.1:5672").unwrap();
        assert_eq!(config.url().as_str(), "amqps://plant.servicebus.windows.net/lines");
    }
}
