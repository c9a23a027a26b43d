//! The `StatusCode`s that only the transport speaks of (Part 6 Annex A).

use opcua_subscription::StatusCode;

pub(crate) const BAD_TCP_MESSAGE_TYPE_INVALID: StatusCode = StatusCode(0x807E_0000);
pub(crate) const BAD_TCP_NOT_ENOUGH_RESOURCES: StatusCode = StatusCode(0x8081_0000);
pub(crate) const BAD_TCP_ENDPOINT_URL_INVALID: StatusCode = StatusCode(0x8083_0000);
pub(crate) const BAD_SECURE_CHANNEL_TOKEN_UNKNOWN: StatusCode = StatusCode(0x8087_0000);
pub(crate) const BAD_SEQUENCE_NUMBER_INVALID: StatusCode = StatusCode(0x8088_0000);
pub(crate) const BAD_UNKNOWN_RESPONSE: StatusCode = StatusCode(0x8009_0000);
pub(crate) const BAD_CERTIFICATE_INVALID: StatusCode = StatusCode(0x8012_0000);
pub(crate) const BAD_CERTIFICATE_TIME_INVALID: StatusCode = StatusCode(0x8014_0000);
pub(crate) const BAD_CERTIFICATE_URI_INVALID: StatusCode = StatusCode(0x8017_0000);
pub(crate) const BAD_CERTIFICATE_UNTRUSTED: StatusCode = StatusCode(0x801A_0000);
pub(crate) const BAD_CERTIFICATE_POLICY_CHECK_FAILED: StatusCode = StatusCode(0x8114_0000);
pub(crate) const BAD_NONCE_INVALID: StatusCode = StatusCode(0x8024_0000);
pub(crate) const BAD_SECURITY_POLICY_REJECTED: StatusCode = StatusCode(0x8055_0000);
pub(crate) const BAD_PROTOCOL_VERSION_UNSUPPORTED: StatusCode = StatusCode(0x80BE_0000);

/// The code that a crate of async-opcua gave.
pub(crate) fn of(code: opcua_types::StatusCode) -> StatusCode {
    StatusCode(code.bits())
}
