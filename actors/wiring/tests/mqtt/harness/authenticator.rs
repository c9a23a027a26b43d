//! Who the clients are, in place of password files and tokens.

use std::sync::Arc;

use access::{Credentials, Principal};
use bytes::Bytes;
use mqtt::ReasonCode;
use mqtt_connection::{AuthenticationStep, Message as ToConnection};

/// Who knows the clients: everybody but user name "mallory"; by the method "X1" who says "hello" and answers "answer".
pub(super) fn authenticate(step: AuthenticationStep, credentials: &Credentials) -> ToConnection {
    let refused = |code| ToConnection::Authenticated { result: Err(code), data: Bytes::new() };
    let data = credentials.authentication_data.as_ref().map_or(&b""[..], |data| data.reveal());
    let welcome = |data: &'static [u8]| {
        let principal = Principal {
            user_name: credentials.user_name.clone(),
            ..Principal::anonymous(credentials.client_identifier.clone())
        };
        ToConnection::Authenticated { result: Ok(Arc::new(principal)), data: Bytes::from_static(data) }
    };
    match (credentials.authentication_method.as_deref(), step, data) {
        (None, _, _) if credentials.user_name.as_deref() == Some("mallory") => {
            refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD)
        }
        (None, _, _) => welcome(b""),
        (Some("X1"), AuthenticationStep::Connect | AuthenticationStep::Reauthenticate, b"hello") => {
            ToConnection::AuthenticationContinues { data: Bytes::from_static(b"question") }
        }
        (Some("X1"), AuthenticationStep::Continue, b"answer") => welcome(b"welcome"),
        (Some("X1"), _, _) => refused(ReasonCode::NOT_AUTHORIZED),
        (Some(_), _, _) => refused(ReasonCode::BAD_AUTHENTICATION_METHOD),
    }
}
