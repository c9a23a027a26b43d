//! The facts of a site: servers, tags, listeners, flows, destinations. A profile never holds them.

mod error;
mod flow;
mod load;
mod opcua;
mod parse;
mod secret;

pub(crate) use error::{SiteError, all_of};
pub(crate) use flow::{Authentication, Flow, PartitionKey};
pub(crate) use load::{Listener, Site};
pub(crate) use opcua::{Acknowledge, Asset, Conflate, OpcUaServer, Security, Tag};
pub(crate) use secret::{Secret, SecretSource};
