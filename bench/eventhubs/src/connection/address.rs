//! Which node an address means.

use super::link::Node;
use crate::codec::outcome::AmqpError;
use crate::namespace::Namespace;
use crate::token::path_of;

/// What a receiver reads from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadFrom {
    Partition { hub: usize, partition: usize, group: String },
    Node(Node),
}

/// Where a sender's target lies.
///
/// # Errors
/// `amqp:not-found`, with the address.
pub(super) fn target(address: &str, namespace: &Namespace) -> Result<Node, AmqpError> {
    let path = path_of(address);
    let segments: Vec<&str> = path.split('/').collect();
    let node = match segments[..] {
        ["$cbs"] => Some(Node::Cbs),
        ["$management"] | [_, "$management"] => Some(Node::Management),
        [hub] => namespace.find_hub(hub).map(|hub| Node::Hub { hub, partition: None }),
        [hub, "partitions", id] => {
            partition(hub, id, namespace).map(|(hub, partition)| Node::Hub { hub, partition: Some(partition) })
        }
        _ => None,
    };
    node.ok_or_else(|| not_found(address))
}

/// Where a receiver's source lies.
///
/// # Errors
/// `amqp:not-found`, with the address.
pub(super) fn source(address: &str, namespace: &Namespace) -> Result<ReadFrom, AmqpError> {
    let path = path_of(address);
    let segments: Vec<&str> = path.split('/').collect();
    let from = match segments[..] {
        ["$cbs"] => Some(ReadFrom::Node(Node::Cbs)),
        ["$management"] | [_, "$management"] => Some(ReadFrom::Node(Node::Management)),
        [hub, "consumergroups", group, "partitions", id] => partition(hub, id, namespace)
            .map(|(hub, partition)| ReadFrom::Partition { hub, partition, group: group.to_owned() }),
        _ => None,
    };
    from.ok_or_else(|| not_found(address))
}

fn partition(hub: &str, id: &str, namespace: &Namespace) -> Option<(usize, usize)> {
    let hub = namespace.find_hub(hub)?;
    let partition = id.parse().ok()?;
    (partition < namespace.hubs[hub].partitions.len()).then_some((hub, partition))
}

fn not_found(address: &str) -> AmqpError {
    AmqpError::new("amqp:not-found", format!("The messaging entity '{address}' could not be found."))
}
