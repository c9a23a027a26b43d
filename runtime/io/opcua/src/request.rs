//! A request of the actor as the bytes of its service (Part 4 §5, Part 6 §5.2).

use std::time::Duration;

use contract::UtcTime;
use opcua_subscription::{Identifier, MonitoredItemRequest, NodeId, Request, StatusCode};
use opcua_types::{
    BinaryEncodable, ByteString, Context, CreateMonitoredItemsRequest, CreateSubscriptionRequest, DateTime,
    DeleteSubscriptionsRequest, ExtensionObject, Guid, MessageInfo, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, PublishRequest, ReadRequest, ReadValueId, RepublishRequest, RequestHeader,
    SubscriptionAcknowledgement, TimestampsToReturn, TransferSubscriptionsRequest, UAString,
};

/// The Value attribute (Part 6 §A.1).
const VALUE_ATTRIBUTE: u32 = 13;

/// A node's id as the crate has it.
pub(crate) fn node_id(id: &NodeId) -> opcua_types::NodeId {
    let namespace = id.namespace_index;
    match &id.identifier {
        Identifier::Numeric(number) => opcua_types::NodeId::new(namespace, *number),
        Identifier::Text(text) => opcua_types::NodeId::new(namespace, UAString::from(&**text)),
        Identifier::Guid(bytes) => opcua_types::NodeId::new(namespace, Guid::from_bytes(*bytes)),
        Identifier::Opaque(bytes) => opcua_types::NodeId::new(namespace, ByteString::from(&**bytes)),
    }
}

/// A `RequestHeader` (Part 4 §7.33); no `timeout` is a hint of 0.
pub(crate) fn header(
    authentication_token: Option<&NodeId>,
    request_handle: u32,
    timeout: Option<Duration>,
    utc: UtcTime,
) -> RequestHeader {
    let hint = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    RequestHeader {
        authentication_token: authentication_token.map(node_id).unwrap_or_default(),
        timestamp: DateTime::from(utc.ticks().saturating_add(UtcTime::OPC_UA_EPOCH_TICKS)),
        request_handle,
        timeout_hint: hint,
        ..RequestHeader::default()
    }
}

/// Writes the type's id and the service behind it.
///
/// # Errors
/// `Bad_EncodingError`, for a string or array that is too long for its length field.
pub(crate) fn write<T: BinaryEncodable + MessageInfo>(
    message: &T,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Result<(), StatusCode> {
    let failed = |_| StatusCode::BAD_ENCODING_ERROR;
    opcua_types::NodeId::from(message.type_id()).encode(out, context).map_err(failed)?;
    message.encode(out, context).map_err(failed)
}

/// Writes every service that needs nothing but what the actor says.
///
/// # Errors
/// See [`write`]. `Bad_ServiceUnsupported` for CreateSession and ActivateSession, which are built elsewhere.
pub(crate) fn write_request(
    request: Request,
    header: RequestHeader,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Result<(), StatusCode> {
    match request {
        Request::CreateSession { .. } | Request::ActivateSession { .. } => Err(StatusCode::BAD_SERVICE_UNSUPPORTED),
        Request::CloseSession { delete_subscriptions } => {
            write(&opcua_types::CloseSessionRequest { request_header: header, delete_subscriptions }, context, out)
        }
        Request::Read { nodes } => {
            let request = ReadRequest {
                request_header: header,
                max_age: 0.0,
                timestamps_to_return: TimestampsToReturn::Server,
                nodes_to_read: Some(nodes.iter().map(value_of).collect()),
            };
            write(&request, context, out)
        }
        Request::CreateSubscription(parameters) => {
            let request = CreateSubscriptionRequest {
                request_header: header,
                requested_publishing_interval: millis(parameters.requested_publishing_interval),
                requested_lifetime_count: parameters.requested_lifetime_count,
                requested_max_keep_alive_count: parameters.requested_max_keep_alive_count,
                max_notifications_per_publish: parameters.max_notifications_per_publish,
                publishing_enabled: true,
                priority: parameters.priority,
            };
            write(&request, context, out)
        }
        Request::CreateMonitoredItems { subscription_id, items } => {
            let request = CreateMonitoredItemsRequest {
                request_header: header,
                subscription_id,
                timestamps_to_return: TimestampsToReturn::Source,
                items_to_create: Some(items.iter().map(item).collect()),
            };
            write(&request, context, out)
        }
        Request::DeleteSubscriptions { subscription_ids } => {
            let request =
                DeleteSubscriptionsRequest { request_header: header, subscription_ids: Some(subscription_ids) };
            write(&request, context, out)
        }
        Request::Publish { acknowledgements } => {
            let acknowledgements = acknowledgements.iter().map(|acknowledgement| SubscriptionAcknowledgement {
                subscription_id: acknowledgement.subscription_id,
                sequence_number: acknowledgement.sequence_number,
            });
            let subscription_acknowledgements = Some(acknowledgements.collect());
            write(&PublishRequest { request_header: header, subscription_acknowledgements }, context, out)
        }
        Request::Republish { subscription_id, sequence_number } => {
            let request = RepublishRequest {
                request_header: header,
                subscription_id,
                retransmit_sequence_number: sequence_number,
            };
            write(&request, context, out)
        }
        Request::TransferSubscriptions { subscription_ids, send_initial_values } => {
            let request = TransferSubscriptionsRequest {
                request_header: header,
                subscription_ids: Some(subscription_ids),
                send_initial_values,
            };
            write(&request, context, out)
        }
    }
}

/// A duration as the Double of milliseconds that the wire has.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn value_of(id: &NodeId) -> ReadValueId {
    ReadValueId { node_id: node_id(id), attribute_id: VALUE_ATTRIBUTE, ..ReadValueId::default() }
}

fn item(item: &MonitoredItemRequest) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: value_of(&item.node_id),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: item.client_handle,
            sampling_interval: millis(item.sampling_interval),
            filter: ExtensionObject::null(),
            queue_size: item.queue_size,
            discard_oldest: item.discard_oldest,
        },
    }
}
