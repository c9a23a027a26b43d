//! What CreateSession and ActivateSession need beyond their fields: nonces, signatures, the user's token (Part 4 §5.7,
//! §7.41).

use std::sync::Arc;

use opcua_crypto::SecurityPolicy;
use opcua_subscription::StatusCode;
use opcua_types::{
    ActivateSessionRequest, AnonymousIdentityToken, ApplicationDescription, ApplicationType, ByteString,
    CreateSessionRequest, CreateSessionResponse, ExtensionObject, MessageSecurityMode, RequestHeader, SignatureData,
    UserNameIdentityToken, UserTokenPolicy,
};

use crate::certificate::Certificate;
use crate::channel::SECURED;
use crate::config::{TransportConfig, UserName};
use crate::connect::EndpointFacts;
use crate::opening::Asymmetric;
use crate::request::millis;
use crate::status::{self, BAD_CERTIFICATE_INVALID, BAD_NONCE_INVALID};

/// What the server must sign, whatever its policy (Part 4 §5.7.2.2).
const CLIENT_NONCE_BYTES: usize = 32;

/// A fresh client nonce.
pub(crate) fn client_nonce() -> [u8; CLIENT_NONCE_BYTES] {
    let mut nonce = [0; CLIENT_NONCE_BYTES];
    opcua_crypto::random::bytes(&mut nonce);
    nonce
}

/// The request for a Session.
pub(crate) fn create_session(
    config: &TransportConfig,
    endpoint: &EndpointFacts,
    asymmetric: Option<&Asymmetric>,
    header: RequestHeader,
    nonce: &[u8],
    named: (&str, std::time::Duration),
) -> CreateSessionRequest {
    let (session_name, requested_session_timeout) = named;
    CreateSessionRequest {
        request_header: header,
        client_description: ApplicationDescription {
            application_uri: config.application_uri.as_str().into(),
            product_uri: "urn:millicore".into(),
            application_name: config.application_name.as_str().into(),
            application_type: ApplicationType::Client,
            ..ApplicationDescription::default()
        },
        endpoint_url: endpoint.url.as_str().into(),
        session_name: session_name.into(),
        client_nonce: ByteString::from(nonce),
        client_certificate: asymmetric
            .map_or_else(ByteString::null, |both| ByteString::from(both.own.certificate.der())),
        requested_session_timeout: millis(requested_session_timeout),
        max_response_message_size: config.limits.message_bytes_max,
        ..CreateSessionRequest::default()
    }
}

/// Checks that the server of the channel made the Session: its certificate, its signature, its nonce. An RSA
/// verification: for a blocking lane.
///
/// # Errors
/// `Bad_CertificateInvalid`, `Bad_NonceInvalid`, `Bad_ApplicationSignatureInvalid`.
pub(crate) fn check_session(
    response: &CreateSessionResponse,
    asymmetric: &Asymmetric,
    nonce: &[u8],
) -> Result<(), StatusCode> {
    let leaf = Certificate::leaf(response.server_certificate.as_ref());
    if leaf != Some(asymmetric.server.der()) {
        return Err(BAD_CERTIFICATE_INVALID);
    }
    if response.server_nonce.as_ref().len() < SECURED.secure_channel_nonce_length() {
        return Err(BAD_NONCE_INVALID);
    }
    let signed = [asymmetric.own.certificate.der(), nonce].concat();
    let signature = response.server_signature.signature.as_ref();
    SECURED
        .asymmetric_verify_signature(asymmetric.server.public_key(), &signed, signature)
        .map_err(|_| StatusCode::BAD_APPLICATION_SIGNATURE_INVALID)
}

/// What ActivateSession proves; made on a blocking lane where RSA is in it.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) asymmetric: Option<Asymmetric>,
    /// What the password is encrypted with, where that is so.
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) token_policy: UserTokenPolicy,
    pub(crate) user: Option<UserName>,
    pub(crate) server_nonce: Vec<u8>,
}

/// The proof as it goes into the request.
#[derive(Debug)]
pub(crate) struct Proven {
    client_signature: SignatureData,
    user_token: UserToken,
}

#[derive(Debug)]
enum UserToken {
    Anonymous(AnonymousIdentityToken),
    UserName(UserNameIdentityToken),
}

impl Proof {
    /// Whether making it costs RSA operations.
    pub(crate) fn is_costly(&self) -> bool {
        self.asymmetric.is_some() || (self.user.is_some() && self.certificate.is_some())
    }

    /// Signs the server's certificate and nonce, and encrypts the password.
    ///
    /// # Errors
    /// The code of what could not be signed or encrypted.
    pub(crate) fn make(&self) -> Result<Proven, StatusCode> {
        let failed = |error: opcua_types::Error| status::of(error.status());
        let nonce = ByteString::from(self.server_nonce.as_slice());
        let client_signature = match &self.asymmetric {
            None => SignatureData::default(),
            Some(both) => {
                let certificate = ByteString::from(both.server.der());
                opcua_crypto::create_signature_data(&both.own.key, SECURED, &certificate, &nonce).map_err(failed)?
            }
        };
        let user_token = match &self.user {
            None => UserToken::Anonymous(AnonymousIdentityToken { policy_id: self.token_policy.policy_id.clone() }),
            Some(user) => UserToken::UserName(self.user_name_token(user)?),
        };
        Ok(Proven { client_signature, user_token })
    }

    fn user_name_token(&self, user: &UserName) -> Result<UserNameIdentityToken, StatusCode> {
        let failed = |error: opcua_types::Error| status::of(error.status());
        let (policy, mode) = match self.asymmetric {
            None => (SecurityPolicy::None, MessageSecurityMode::None),
            Some(_) => (SECURED, MessageSecurityMode::SignAndEncrypt),
        };
        let x509 = self.certificate.as_ref().map(|certificate| opcua_crypto::X509::from_der(certificate.der()));
        let x509 = x509.transpose().map_err(|_| BAD_CERTIFICATE_INVALID)?;
        let uri = self.token_policy.security_policy_uri.as_ref();
        let is_plain = uri == SecurityPolicy::None.to_uri() || (uri.is_empty() && policy == SecurityPolicy::None);
        if !is_plain && x509.is_none() {
            return Err(BAD_CERTIFICATE_INVALID);
        }
        let secret = opcua_crypto::legacy_encrypt_secret(
            policy,
            mode,
            &self.token_policy,
            &self.server_nonce,
            &x509,
            user.password.as_bytes(),
        );
        let secret = secret.map_err(failed)?;
        Ok(UserNameIdentityToken {
            policy_id: secret.policy,
            user_name: user.name.as_str().into(),
            password: secret.secret,
            encryption_algorithm: secret.encryption_algorithm,
        })
    }
}

impl Proven {
    /// The request that carries it.
    pub(crate) fn into_request(self, header: RequestHeader) -> ActivateSessionRequest {
        let user_identity_token = match self.user_token {
            UserToken::Anonymous(token) => ExtensionObject::from_message(token),
            UserToken::UserName(token) => ExtensionObject::from_message(token),
        };
        ActivateSessionRequest {
            request_header: header,
            client_signature: self.client_signature,
            user_identity_token,
            ..ActivateSessionRequest::default()
        }
    }
}
