//! The bytes of an answer as what the actor knows of it (Part 4 §5, Part 6 §5.2).

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use contract::UtcTime;
use opcua_subscription::{
    Identifier, MonitoredItemResult, NodeId, ReadValue, Request, Response, StatusCode, TransferResult,
};
use opcua_types::{
    ActivateSessionResponse, BinaryDecodable, CloseSessionResponse, Context, CreateMonitoredItemsResponse,
    CreateSessionResponse, CreateSubscriptionResponse, DataValue, DeleteSubscriptionsResponse, GetEndpointsResponse,
    MessageInfo, ObjectId, OpenSecureChannelResponse, ReadResponse, ResponseHeader, TransferSubscriptionsResponse,
    Variant,
};

use crate::status::{self, BAD_UNKNOWN_RESPONSE};

/// Which service an answer must be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    CreateSession,
    ActivateSession,
    CloseSession,
    Read,
    CreateSubscription,
    CreateMonitoredItems,
    DeleteSubscriptions,
    Publish,
    Republish,
    TransferSubscriptions,
}

impl Service {
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::CreateSession { .. } => Self::CreateSession,
            Request::ActivateSession { .. } => Self::ActivateSession,
            Request::CloseSession { .. } => Self::CloseSession,
            Request::Read { .. } => Self::Read,
            Request::CreateSubscription(_) => Self::CreateSubscription,
            Request::CreateMonitoredItems { .. } => Self::CreateMonitoredItems,
            Request::DeleteSubscriptions { .. } => Self::DeleteSubscriptions,
            Request::Publish { .. } => Self::Publish,
            Request::Republish { .. } => Self::Republish,
            Request::TransferSubscriptions { .. } => Self::TransferSubscriptions,
        }
    }
}

/// What a server answered with Good.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Ready for the actor.
    Response(Response),
    /// The body of a PublishResponse.
    Publish(Bytes),
    /// Its signature is still to be checked.
    CreateSession(Box<CreateSessionResponse>),
}

/// Reads the answer to a request of `service`. The outer error is of the connection, the inner one the server's.
///
/// # Errors
/// `Bad_DecodingError` for bytes that are no answer, `Bad_UnknownResponse` for that of another service.
pub(crate) fn read(
    service: Service,
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Result<Answer, StatusCode>, StatusCode> {
    let mut stream = Cursor::new(&body[..]);
    let expected = match service {
        Service::CreateSession => CreateSessionResponse::default().type_id(),
        Service::ActivateSession => ActivateSessionResponse::default().type_id(),
        Service::CloseSession => CloseSessionResponse::default().type_id(),
        Service::Read => ReadResponse::default().type_id(),
        Service::CreateSubscription => CreateSubscriptionResponse::default().type_id(),
        Service::CreateMonitoredItems => CreateMonitoredItemsResponse::default().type_id(),
        Service::DeleteSubscriptions => DeleteSubscriptionsResponse::default().type_id(),
        Service::Publish => ObjectId::PublishResponse_Encoding_DefaultBinary,
        Service::Republish => ObjectId::RepublishResponse_Encoding_DefaultBinary,
        Service::TransferSubscriptions => TransferSubscriptionsResponse::default().type_id(),
    };
    if let Err(refused) = read_type_and_result(&mut stream, expected, context)? {
        return Ok(Err(refused));
    }
    let answer = match service {
        Service::Publish => Answer::Publish(behind(&stream, body)),
        Service::Republish => Answer::Response(Response::Republish { body: behind(&stream, body) }),
        Service::CreateSession => Answer::CreateSession(Box::new(whole(body, context)?)),
        Service::ActivateSession => {
            let response: ActivateSessionResponse = whole(body, context)?;
            Answer::Response(Response::ActivateSession { server_nonce: bytes(response.server_nonce) })
        }
        Service::CloseSession => Answer::Response(Response::CloseSession),
        Service::Read => {
            let response: ReadResponse = whole(body, context)?;
            let values = response.results.unwrap_or_default().into_iter().map(read_value).collect();
            Answer::Response(Response::Read { values })
        }
        Service::CreateSubscription => Answer::Response(created_subscription(&whole(body, context)?)),
        Service::CreateMonitoredItems => Answer::Response(created_items(whole(body, context)?)),
        Service::DeleteSubscriptions => {
            let response: DeleteSubscriptionsResponse = whole(body, context)?;
            let results = response.results.unwrap_or_default().into_iter().map(status::of).collect();
            Answer::Response(Response::DeleteSubscriptions { results })
        }
        Service::TransferSubscriptions => Answer::Response(transferred(whole(body, context)?)),
    };
    Ok(Ok(answer))
}

/// Reads a response to OpenSecureChannel.
///
/// # Errors
/// See [`read`].
pub(crate) fn read_opened(
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Result<OpenSecureChannelResponse, StatusCode>, StatusCode> {
    let expected = OpenSecureChannelResponse::default().type_id();
    let result = read_type_and_result(&mut Cursor::new(&body[..]), expected, context)?;
    Ok(match result {
        Ok(()) => Ok(whole(body, context)?),
        Err(refused) => Err(refused),
    })
}

/// Reads a response to `GetEndpoints`.
///
/// # Errors
/// See [`read`].
pub(crate) fn read_endpoints(
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Result<GetEndpointsResponse, StatusCode>, StatusCode> {
    let expected = GetEndpointsResponse::default().type_id();
    let result = read_type_and_result(&mut Cursor::new(&body[..]), expected, context)?;
    Ok(match result {
        Ok(()) => Ok(whole(body, context)?),
        Err(refused) => Err(refused),
    })
}

/// Reads the type's id and the `ResponseHeader`; the stream stands behind it then.
fn read_type_and_result(
    stream: &mut Cursor<&[u8]>,
    expected: ObjectId,
    context: &Context<'_>,
) -> Result<Result<(), StatusCode>, StatusCode> {
    let broken = |_| StatusCode::BAD_DECODING_ERROR;
    let type_id = opcua_types::NodeId::decode(stream, context).map_err(broken)?;
    let is_fault = type_id == ObjectId::ServiceFault_Encoding_DefaultBinary;
    if !is_fault && type_id != expected {
        return Err(BAD_UNKNOWN_RESPONSE);
    }
    let header = ResponseHeader::decode(stream, context).map_err(broken)?;
    let result = status::of(header.service_result);
    if result.is_bad() {
        return Ok(Err(result));
    }
    // A fault without a reason is a fault all the same.
    Ok(if is_fault { Err(StatusCode::BAD_UNEXPECTED_ERROR) } else { Ok(()) })
}

/// Decodes the whole response, whose type was read before.
fn whole<T: BinaryDecodable>(body: &Bytes, context: &Context<'_>) -> Result<T, StatusCode> {
    let broken = |_| StatusCode::BAD_DECODING_ERROR;
    let mut stream = Cursor::new(&body[..]);
    opcua_types::NodeId::decode(&mut stream, context).map_err(broken)?;
    T::decode(&mut stream, context).map_err(broken)
}

fn behind(stream: &Cursor<&[u8]>, body: &Bytes) -> Bytes {
    body.slice(usize::try_from(stream.position()).expect("it stands inside the body")..)
}

fn bytes(value: opcua_types::ByteString) -> Bytes {
    Bytes::from(value.value.unwrap_or_default())
}

/// Milliseconds of the wire; what is no number or negative is zero.
fn duration(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or(if millis > 0.0 { Duration::MAX } else { Duration::ZERO })
}

/// A node's id as the actor has it.
pub(crate) fn node_id(id: &opcua_types::NodeId) -> NodeId {
    let identifier = match &id.identifier {
        opcua_types::Identifier::Numeric(number) => Identifier::Numeric(*number),
        opcua_types::Identifier::String(text) => Identifier::Text(text.as_ref().into()),
        opcua_types::Identifier::Guid(guid) => Identifier::Guid(guid.to_bytes()),
        opcua_types::Identifier::ByteString(bytes) => Identifier::Opaque(bytes.as_ref().into()),
    };
    NodeId { namespace_index: id.namespace, identifier }
}

/// What the actor wants to know of a new Session.
pub(crate) fn created_session(response: CreateSessionResponse) -> Response {
    Response::CreateSession {
        session_id: node_id(&response.session_id),
        authentication_token: node_id(&response.authentication_token),
        revised_session_timeout: duration(response.revised_session_timeout),
        server_nonce: bytes(response.server_nonce),
    }
}

fn created_subscription(response: &CreateSubscriptionResponse) -> Response {
    Response::CreateSubscription {
        subscription_id: response.subscription_id,
        revised_publishing_interval: duration(response.revised_publishing_interval),
        revised_lifetime_count: response.revised_lifetime_count,
        revised_max_keep_alive_count: response.revised_max_keep_alive_count,
    }
}

fn created_items(response: CreateMonitoredItemsResponse) -> Response {
    let results = response.results.unwrap_or_default().into_iter().map(|result| MonitoredItemResult {
        status_code: status::of(result.status_code),
        monitored_item_id: result.monitored_item_id,
        revised_sampling_interval: duration(result.revised_sampling_interval),
        revised_queue_size: result.revised_queue_size,
    });
    Response::CreateMonitoredItems { results: results.collect() }
}

fn transferred(response: TransferSubscriptionsResponse) -> Response {
    let results = response.results.unwrap_or_default().into_iter().map(|result| TransferResult {
        status_code: status::of(result.status_code),
        available_sequence_numbers: result.available_sequence_numbers.unwrap_or_default(),
    });
    Response::TransferSubscriptions { results: results.collect() }
}

fn read_value(value: DataValue) -> ReadValue {
    if let Some(code) = value.status.map(status::of).filter(|code| code.is_bad()) {
        return ReadValue::Bad(code);
    }
    let number = |number: i64| u64::try_from(number).map_or(ReadValue::Other, ReadValue::Number);
    #[expect(clippy::wildcard_enum_match_arm, reason = "the actor has no use for any other type")]
    match value.value.unwrap_or_default() {
        Variant::Byte(value) => ReadValue::Number(value.into()),
        Variant::UInt16(value) => ReadValue::Number(value.into()),
        Variant::UInt32(value) => ReadValue::Number(value.into()),
        Variant::UInt64(value) => ReadValue::Number(value),
        Variant::Int32(value) => number(value.into()),
        Variant::DateTime(value) => ReadValue::DateTime(UtcTime::from_opc_ua_ticks(value.ticks())),
        Variant::String(value) => ReadValue::Texts(vec![value.as_ref().to_owned()]),
        Variant::Array(array) => {
            let texts = array.values.into_iter().map(|element| match element {
                Variant::String(text) => Some(text.as_ref().to_owned()),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().map_or(ReadValue::Other, ReadValue::Texts)
        }
        _ => ReadValue::Other,
    }
}
