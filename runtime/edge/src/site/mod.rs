//! The facts of a site: servers, tags, listeners, flows, destinations. A profile never holds them.

mod authentication;
mod authorization;
mod check;
mod check_listeners;
mod error;
mod flow;
mod listener;
mod load;
mod opcua;
mod parse;
mod secret;
mod warnings;

pub(crate) use authentication::{AuthenticationKind, AuthenticationMethod};
pub(crate) use authorization::{Authorization, DeniedPublish};
pub(crate) use error::{SiteError, all_of};
pub(crate) use flow::{Authentication, Flow, PartitionKey};
pub(crate) use listener::{ClientCertificates, Listener, ListenerTls, Protocol};
pub(crate) use load::Site;
pub(crate) use opcua::{Acknowledge, Asset, Conflate, OpcUaServer, Security, Tag};
pub(crate) use secret::{Secret, SecretSource};
