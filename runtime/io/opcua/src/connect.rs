//! From Connect to an open SecureChannel: resolve, ask for endpoints, choose, open (Part 4 §5.5.4, §5.6.2).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::Instant;
use executor::{Blocking, BlockingError, Clock};
use opcua_subscription::{DisconnectReason, StatusCode};
use opcua_types::{
    ByteString, CloseSecureChannelRequest, ContextOwned, GetEndpointsRequest, MessageSecurityMode,
    OpenSecureChannelRequest, SecurityTokenRequestType, UserTokenPolicy,
};

use crate::certificate::Certificate;
use crate::channel::{Channel, SECURED, Sent, Token, TokenKeys};
use crate::config::{Security, TransportConfig};
use crate::endpoint::{self, Chosen, EndpointUrl};
use crate::frame::{self, ChunkType, Frame, FrameType, Offer};
use crate::identity::Identity;
use crate::opening::{self, Asymmetric, Opened, Opening};
use crate::request;
use crate::response;
use crate::status;
use crate::wire::Wire;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 16;
/// The request id of the first OpenSecureChannel, and the next one.
const OPEN_REQUEST_ID: u32 = 1;
const ENDPOINTS_REQUEST_ID: u32 = 2;
/// Where request ids go on once the channel is open.
pub(crate) const FIRST_REQUEST_ID: u32 = 3;
/// A token is renewed after this part of its lifetime; the standard says 75 % (Part 4 §5.6.2.1).
const RENEW_PERCENT: u32 = 70;
/// The shortest lifetime that is believed; a server that says less is renewed at this pace.
const LIFETIME_MIN: Duration = Duration::from_millis(100);

/// What all parts of one shell use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<TransportConfig>,
    pub(crate) clock: Clock,
    pub(crate) blocking: Blocking,
    pub(crate) context: ContextOwned,
}

/// What services need to know of the chosen endpoint.
#[derive(Debug)]
pub(crate) struct EndpointFacts {
    pub(crate) url: String,
    pub(crate) application_uri: String,
    pub(crate) token_policy: UserTokenPolicy,
    /// Where the channel or the password is encrypted with it.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// When a token is to be renewed, and when it is worth nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenTimes {
    pub(crate) renew_at: Instant,
    pub(crate) ends_at: Instant,
}

/// An open channel.
pub(crate) struct Established {
    pub(crate) wire: Wire,
    pub(crate) channel: Channel,
    pub(crate) asymmetric: Option<Asymmetric>,
    pub(crate) endpoint: EndpointFacts,
    pub(crate) token_times: TokenTimes,
}

/// Why a code of ours ends the connection.
pub(crate) fn reason_of(code: StatusCode) -> DisconnectReason {
    // Bad_SecurityChecksFailed, and Bad_Certificate.. with what lies between them.
    let is_distrust = matches!(code.0 >> 16, 0x8012..=0x801D | 0x8055 | 0x810D | 0x8114);
    if is_distrust { DisconnectReason::NotTrusted(code) } else { DisconnectReason::ProtocolError(code) }
}

/// Why a socket's error ends the connection.
pub(crate) fn reason_of_socket(error: &io::Error) -> DisconnectReason {
    tracing::debug!(%error, "the connection broke");
    DisconnectReason::ClosedByServer(StatusCode::BAD_CONNECTION_CLOSED)
}

fn overloaded(error: &BlockingError) -> DisconnectReason {
    tracing::warn!(%error, "the blocking pool did not do its part of a connect");
    DisconnectReason::ProtocolError(StatusCode::BAD_RESOURCE_UNAVAILABLE)
}

impl Shared {
    /// Everything from a name to an open channel. `identity` is kept for the next time.
    ///
    /// # Errors
    /// What the actor is told.
    pub(crate) async fn connect(&self, identity: &mut Option<Arc<Identity>>) -> Result<Established, DisconnectReason> {
        let url = EndpointUrl::parse(&self.config.endpoint_url).map_err(reason_of)?;
        let is_secured = self.config.security == Security::Basic256Sha256;
        if is_secured && identity.is_none() {
            *identity = Some(self.identity().await?);
        }
        let addresses = self.resolve(&url).await?;
        let chosen = self.discover(&addresses).await?;
        let certificate = self.server_certificate(&chosen).await?;
        let asymmetric = match (identity.as_ref(), &certificate) {
            (Some(own), Some(server)) if is_secured => {
                Some(Asymmetric { own: Arc::clone(own), server: Arc::clone(server) })
            }
            _ => None,
        };
        let endpoint = EndpointFacts {
            url: url.with_path_of(chosen.endpoint.endpoint_url.as_ref()),
            application_uri: chosen.endpoint.server.application_uri.as_ref().to_owned(),
            token_policy: chosen.token_policy,
            certificate,
        };
        let (wire, channel, token_times) = self.open(&addresses, &endpoint.url, asymmetric.as_ref()).await?;
        Ok(Established { wire, channel, asymmetric, endpoint, token_times })
    }

    async fn identity(&self) -> Result<Arc<Identity>, DisconnectReason> {
        let (config, utc) = (Arc::clone(&self.config), self.clock.utc());
        let made = self.blocking.run(move || {
            Identity::load_or_make(&config.pki_directory, &config.application_uri, &config.application_name, utc)
        });
        made.await.map_err(|error| overloaded(&error))?.map(Arc::new).map_err(|error| {
            tracing::error!(%error, "no certificate of our own");
            DisconnectReason::NotTrusted(status::BAD_CERTIFICATE_INVALID)
        })
    }

    async fn resolve(&self, url: &EndpointUrl) -> Result<Vec<SocketAddr>, DisconnectReason> {
        let (host, port) = (url.host.clone(), url.port);
        let resolved = self.blocking.run(move || {
            (host.as_str(), port).to_socket_addrs().map(|found| found.take(ADDRESSES_MAX).collect::<Vec<_>>())
        });
        match resolved.await.map_err(|error| overloaded(&error))? {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Ok(_) => Err(DisconnectReason::Unreachable(format!("{}: no address", url.host).into())),
            Err(error) => Err(DisconnectReason::Unreachable(format!("{}: {error}", url.host).into())),
        }
    }

    /// Asks for the endpoints over a channel without security, and chooses.
    async fn discover(&self, addresses: &[SocketAddr]) -> Result<Chosen, DisconnectReason> {
        let config = &self.config;
        let (mut wire, mut channel, _) = self.open(addresses, &config.endpoint_url, None).await?;
        let request = GetEndpointsRequest {
            request_header: request::header(None, ENDPOINTS_REQUEST_ID, Some(config.connect_timeout), self.clock.utc()),
            endpoint_url: config.endpoint_url.as_str().into(),
            locale_ids: None,
            profile_uris: None,
        };
        let mut body = Vec::new();
        request::write(&request, &self.context.context(), &mut body).map_err(reason_of)?;
        channel.send(Sent::Message, ENDPOINTS_REQUEST_ID, &body, wire.out()).map_err(reason_of)?;
        wire.flush().await.map_err(|error| reason_of_socket(&error))?;
        let body = loop {
            let (frame_type, chunk_type, bytes) = read_frame(&mut wire).await?;
            let frame = Frame { kind: frame_type, chunk_type, bytes: &bytes };
            if let Some(received) = channel.receive(&frame).map_err(reason_of)? {
                break received.body.map_err(DisconnectReason::ClosedByServer)?;
            }
        };
        let answer = response::read_endpoints(&body, &self.context.context()).map_err(reason_of)?;
        self.say_goodbye(&mut channel, &mut wire, FIRST_REQUEST_ID);
        // A server that does not take the goodbye loses the connection without.
        let _ = wire.flush().await;
        wire.shutdown().await;
        let endpoints = answer.map_err(DisconnectReason::ClosedByServer)?.endpoints.unwrap_or_default();
        endpoint::choose(endpoints, config.security, config.user.is_some()).ok_or(DisconnectReason::NoEndpoint)
    }

    /// The server's certificate, checked, where something is encrypted with it.
    async fn server_certificate(&self, chosen: &Chosen) -> Result<Option<Arc<Certificate>>, DisconnectReason> {
        let (config, utc) = (Arc::clone(&self.config), self.clock.utc());
        if !endpoint::needs_certificate(chosen, config.security, config.user.is_some()) {
            return Ok(None);
        }
        let chain = chosen.endpoint.server_certificate.as_ref().to_vec();
        let application_uri = chosen.endpoint.server.application_uri.as_ref().to_owned();
        let checked = self.blocking.run(move || {
            let certificate = Certificate::read(&chain)?;
            certificate.check(&config.trust, &application_uri, utc).inspect_err(|code| {
                tracing::warn!(subject = certificate.subject(), %code, "the server's certificate is refused");
            })?;
            Ok(Arc::new(certificate))
        });
        checked.await.map_err(|error| overloaded(&error))?.map(Some).map_err(DisconnectReason::NotTrusted)
    }

    /// TCP, Hello, OpenSecureChannel.
    async fn open(
        &self,
        addresses: &[SocketAddr],
        endpoint_url: &str,
        asymmetric: Option<&Asymmetric>,
    ) -> Result<(Wire, Channel, TokenTimes), DisconnectReason> {
        let broken = |error: io::Error| reason_of_socket(&error);
        let limits = &self.config.limits;
        let mut wire = self.dial(addresses).await?;
        let offer = Offer {
            chunk_bytes_max: limits.chunk_bytes_max,
            message_bytes_max: limits.message_bytes_max,
            chunk_count_max: limits.chunk_count_max,
        };
        frame::write_hello(&offer, endpoint_url, wire.out());
        wire.flush().await.map_err(broken)?;
        let (frame_type, _, bytes) = read_frame(&mut wire).await?;
        if frame_type != FrameType::Acknowledge {
            return Err(reason_of(status::BAD_TCP_MESSAGE_TYPE_INVALID));
        }
        let send_limits = frame::read_acknowledge(&bytes, &offer).map_err(reason_of)?;
        let mut channel = Channel::new(limits, send_limits);

        let nonce = fresh_nonce(asymmetric.is_some());
        let kind = SecurityTokenRequestType::Issue;
        let opening = self.opening(&channel, kind, OPEN_REQUEST_ID, &nonce, asymmetric.is_some()).map_err(reason_of)?;
        let asymmetric = asymmetric.cloned();
        let sealed = match &asymmetric {
            None => opening::seal(&opening, None),
            Some(both) => {
                let both = both.clone();
                let sealed = self.blocking.run(move || opening::seal(&opening, Some(&both)));
                sealed.await.map_err(|error| overloaded(&error))?
            }
        };
        channel.take_sequence();
        wire.out().extend_from_slice(&sealed.map_err(reason_of)?);
        wire.flush().await.map_err(broken)?;
        let (frame_type, chunk_type, bytes) = read_frame(&mut wire).await?;
        opening::expect_open(&Frame { kind: frame_type, chunk_type, bytes: &bytes }).map_err(reason_of)?;
        let opened = match asymmetric {
            None => opening::open(&bytes, None),
            Some(both) => {
                let opened = self.blocking.run(move || opening::open(&bytes, Some(&both)));
                opened.await.map_err(|error| overloaded(&error))?
            }
        };
        let opened = opened.map_err(reason_of)?;
        let token_times = self.take_token(&mut channel, opened, OPEN_REQUEST_ID, &nonce)?;
        Ok((wire, channel, token_times))
    }

    async fn dial(&self, addresses: &[SocketAddr]) -> Result<Wire, DisconnectReason> {
        let mut failure = DisconnectReason::Unreachable("no address".into());
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let buffer_bytes = usize::try_from(self.config.limits.chunk_bytes_max).unwrap_or(usize::MAX);
        for address in addresses {
            match Wire::connect(*address, self.config.connect_timeout / count, buffer_bytes).await {
                Ok(wire) => return Ok(wire),
                Err(error) => failure = DisconnectReason::Unreachable(format!("{address}: {error}").into()),
            }
        }
        Err(failure)
    }

    /// An OpenSecureChannel request, ready to be sealed with the channel's next sequence number.
    ///
    /// # Errors
    /// `Bad_EncodingError`; cannot happen with the fields that it has.
    pub(crate) fn opening(
        &self,
        channel: &Channel,
        request_type: SecurityTokenRequestType,
        request_id: u32,
        nonce: &[u8],
        is_secured: bool,
    ) -> Result<Opening, StatusCode> {
        let config = &self.config;
        let request = OpenSecureChannelRequest {
            request_header: request::header(None, request_id, Some(config.connect_timeout), self.clock.utc()),
            client_protocol_version: 0,
            request_type,
            security_mode: if is_secured { MessageSecurityMode::SignAndEncrypt } else { MessageSecurityMode::None },
            client_nonce: if is_secured { ByteString::from(nonce) } else { ByteString::null() },
            requested_lifetime: u32::try_from(config.token_lifetime.as_millis()).unwrap_or(u32::MAX),
        };
        let mut body = Vec::new();
        request::write(&request, &self.context.context(), &mut body)?;
        Ok(Opening { channel_id: channel.id(), sequence: channel.next_sequence(), request_id, body })
    }

    /// Takes the token of an OpenSecureChannel response.
    ///
    /// # Errors
    /// What the actor is told when the connection ends of it.
    pub(crate) fn take_token(
        &self,
        channel: &mut Channel,
        opened: Opened,
        request_id: u32,
        local_nonce: &[u8],
    ) -> Result<TokenTimes, DisconnectReason> {
        channel.check_sequence(opened.sequence).map_err(reason_of)?;
        if opened.request_id != request_id {
            return Err(reason_of(status::BAD_UNKNOWN_RESPONSE));
        }
        let answer = response::read_opened(&Bytes::from(opened.body), &self.context.context()).map_err(reason_of)?;
        let response = answer.map_err(DisconnectReason::ClosedByServer)?;
        let keys = if local_nonce.is_empty() {
            None
        } else {
            let remote_nonce: &[u8] = response.server_nonce.as_ref();
            if remote_nonce.len() != SECURED.secure_channel_nonce_length() {
                return Err(reason_of(status::BAD_NONCE_INVALID));
            }
            Some(TokenKeys::derive(local_nonce, remote_nonce))
        };
        let token = Token { id: response.security_token.token_id, keys };
        channel.set_token(response.security_token.channel_id, token).map_err(reason_of)?;
        let lifetime = Duration::from_millis(response.security_token.revised_lifetime.into()).max(LIFETIME_MIN);
        let now = self.clock.now();
        Ok(TokenTimes { renew_at: now + lifetime * RENEW_PERCENT / 100, ends_at: now + lifetime })
    }

    /// Queues `CloseSecureChannel`, which is not answered.
    pub(crate) fn say_goodbye(&self, channel: &mut Channel, wire: &mut Wire, request_id: u32) {
        let request =
            CloseSecureChannelRequest { request_header: request::header(None, request_id, None, self.clock.utc()) };
        let mut body = Vec::new();
        let written = request::write(&request, &self.context.context(), &mut body)
            .and_then(|()| channel.send(Sent::CloseSecureChannel, request_id, &body, wire.out()));
        if let Err(code) = written {
            tracing::debug!(%code, "the channel ends without a goodbye");
        }
    }
}

/// A nonce for OpenSecureChannel; empty where nothing is secured.
pub(crate) fn fresh_nonce(is_secured: bool) -> Vec<u8> {
    let mut nonce = vec![0; if is_secured { SECURED.secure_channel_nonce_length() } else { 0 }];
    opcua_crypto::random::bytes(&mut nonce);
    nonce
}

/// The next frame, copied: connecting is rare.
async fn read_frame(wire: &mut Wire) -> Result<(FrameType, ChunkType, Vec<u8>), DisconnectReason> {
    loop {
        if let Some(frame) = wire.buffer.next_frame().map_err(reason_of)? {
            return match frame.kind {
                FrameType::Error => Err(DisconnectReason::ClosedByServer(frame::read_error(frame.bytes))),
                FrameType::Close => Err(DisconnectReason::ClosedByServer(StatusCode::BAD_SECURE_CHANNEL_CLOSED)),
                FrameType::Acknowledge | FrameType::Open | FrameType::Message => {
                    Ok((frame.kind, frame.chunk_type, frame.bytes.to_vec()))
                }
            };
        }
        wire.read().await.map_err(|error| reason_of_socket(&error))?;
    }
}
