//! What the tests lean on: an identity that Entra knows, or does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use eventhubs_lane::{Access, RouteConfig};

/// Gives tokens for an hour, or none.
#[derive(Debug)]
pub(crate) struct Identity {
    is_known: bool,
}

impl Identity {
    pub(crate) fn known() -> Self {
        Self { is_known: true }
    }

    pub(crate) fn unknown() -> Self {
        Self { is_known: false }
    }
}

#[async_trait::async_trait]
impl TokenCredential for Identity {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://eventhubs.azure.net/.default"]);
        if !self.is_known {
            return Err(azure_core::Error::with_message(ErrorKind::Credential, "no such application"));
        }
        let expires_on = OffsetDateTime::now_utc() + Duration::from_hours(1);
        Ok(AccessToken::new(Secret::new("a.b.c"), expires_on))
    }
}

/// A route to `hub` at `address` for an identity.
pub(crate) fn route_of_identity(address: SocketAddr, hub: &str, identity: Identity) -> RouteConfig {
    let namespace = "plant.servicebus.windows.net".to_owned();
    RouteConfig::new(hub, Access::Entra { namespace, credential: Arc::new(identity) })
        .unwrap()
        .with_custom_endpoint(&format!("amqp://{address}"))
        .unwrap()
}
