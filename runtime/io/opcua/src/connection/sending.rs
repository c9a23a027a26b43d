//! Requests on their way out: held back, proved, written, and checked when a Session answers.

use std::time::Duration;

use opcua_subscription::{Request, StatusCode};
use opcua_types::CreateSessionResponse;

use super::{Connection, Done, Outstanding, Renewal, ToSend};
use crate::channel::Sent;
use crate::connect::{Established, FIRST_REQUEST_ID};
use crate::request;
use crate::response::{self, Service};
use crate::session_security::{self, Proof, Proven};
use crate::status::BAD_TCP_NOT_ENOUGH_RESOURCES;

impl Connection<'_> {
    /// Whether a request may be sent. Not while a token is renewed: servers are known to forget the old token's keys
    /// as soon as they are asked for another.
    pub(super) fn may_send(&self) -> bool {
        self.job.is_none() && matches!(self.renewal, Renewal::Idle)
    }

    pub(super) fn send_held(&mut self) -> bool {
        let mut sent = false;
        while self.may_send()
            && let Some(to_send) = self.held.pop_front()
        {
            self.send(to_send);
            sent = true;
        }
        sent
    }

    pub(super) fn hold(&mut self, to_send: ToSend) {
        if self.has_room() {
            self.held.push_back(to_send);
        } else {
            self.refuse(to_send.request_handle, StatusCode::BAD_TOO_MANY_OPERATIONS);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let requests_max = usize::try_from(self.shared.config.limits.requests_max).unwrap_or(usize::MAX);
        self.outstanding.len() + self.held.len() < requests_max
    }

    /// Sends a request, or answers why not.
    pub(super) fn send(&mut self, to_send: ToSend) {
        let limits = &self.shared.config.limits;
        let request_handle = to_send.request_handle;
        if !self.has_room() {
            return self.refuse(request_handle, StatusCode::BAD_TOO_MANY_OPERATIONS);
        }
        let write_bytes_max = usize::try_from(limits.write_bytes_max).unwrap_or(usize::MAX);
        if self.established.wire.waiting_bytes() > write_bytes_max {
            return self.refuse(request_handle, BAD_TCP_NOT_ENOUGH_RESOURCES);
        }
        if let Request::ActivateSession { server_nonce } = &to_send.request {
            let server_nonce = server_nonce.to_vec();
            return self.prove(to_send, server_nonce);
        }
        let service = Service::of(&to_send.request);
        let header = self.header(&to_send);
        let context = self.shared.context.context();
        let mut client_nonce = Vec::new();
        self.body.clear();
        let written = match to_send.request {
            Request::CreateSession { session_name, requested_session_timeout } => {
                client_nonce = session_security::client_nonce().to_vec();
                let Established { endpoint, asymmetric, .. } = &self.established;
                let named = (&*session_name, requested_session_timeout);
                let config = &self.shared.config;
                let request = session_security::create_session(
                    config,
                    endpoint,
                    asymmetric.as_ref(),
                    header,
                    &client_nonce,
                    named,
                );
                request::write(&request, &context, &mut self.body)
            }
            other @ (Request::ActivateSession { .. }
            | Request::CloseSession { .. }
            | Request::Read { .. }
            | Request::CreateSubscription(_)
            | Request::CreateMonitoredItems { .. }
            | Request::DeleteSubscriptions { .. }
            | Request::Publish { .. }
            | Request::Republish { .. }
            | Request::TransferSubscriptions { .. }) => request::write_request(other, header, &context, &mut self.body),
        };
        self.send_body(written, request_handle, service, to_send.timeout, client_nonce);
    }

    pub(super) fn header(&self, to_send: &ToSend) -> opcua_types::RequestHeader {
        let token = to_send.authentication_token.as_ref();
        request::header(token, to_send.request_handle, to_send.timeout, self.shared.clock.utc())
    }

    /// Queues the body that was written, and waits for its answer.
    pub(super) fn send_body(
        &mut self,
        written: Result<(), StatusCode>,
        request_handle: u32,
        service: Service,
        timeout: Option<Duration>,
        client_nonce: Vec<u8>,
    ) {
        let request_id = self.take_request_id();
        let Established { wire, channel, .. } = &mut self.established;
        let sent = written.and_then(|()| channel.send(Sent::Message, request_id, &self.body, wire.out()));
        if let Err(code) = sent {
            return self.refuse(request_handle, code);
        }
        let deadline = timeout.map(|timeout| self.shared.clock.now() + timeout);
        self.outstanding.insert(request_id, Outstanding { request_handle, service, deadline, client_nonce });
    }

    pub(super) fn take_request_id(&mut self) -> u32 {
        let request_id = self.next_request_id;
        self.next_request_id = self.next_request_id.checked_add(1).unwrap_or(FIRST_REQUEST_ID);
        request_id
    }

    pub(super) fn prove(&mut self, to_send: ToSend, server_nonce: Vec<u8>) {
        let Established { asymmetric, endpoint, .. } = &self.established;
        let proof = Proof {
            asymmetric: asymmetric.clone(),
            certificate: endpoint.certificate.clone(),
            token_policy: endpoint.token_policy.clone(),
            user: self.shared.config.user.clone(),
            server_nonce,
        };
        if !proof.is_costly() {
            let proven = proof.make();
            return self.send_activation(&to_send, proven);
        }
        let to_send = Box::new(to_send);
        let proven = self.shared.blocking.run(move || proof.make());
        self.job = Some(Box::pin(async move {
            proven.await.map_or_else(Done::Unavailable, |proven| Done::Proven { to_send, proven })
        }));
    }

    pub(super) fn send_activation(&mut self, to_send: &ToSend, proven: Result<Proven, StatusCode>) {
        let header = self.header(to_send);
        self.body.clear();
        let written = proven.and_then(|proven| {
            request::write(&proven.into_request(header), &self.shared.context.context(), &mut self.body)
        });
        self.send_body(written, to_send.request_handle, Service::ActivateSession, to_send.timeout, Vec::new());
    }

    pub(super) fn check_session(&mut self, request: Outstanding, response: Box<CreateSessionResponse>) {
        let (request_handle, utc) = (request.request_handle, self.read_utc);
        let Some(both) = self.established.asymmetric.clone() else {
            return self.answer(request_handle, Ok(response::created_session(*response)));
        };
        let checked = self
            .shared
            .blocking
            .run(move || session_security::check_session(&response, &both, &request.client_nonce).map(|()| response));
        self.job = Some(Box::pin(async move {
            let done = |checked| Done::SessionChecked { request_handle, checked, utc };
            checked.await.map_or_else(Done::Unavailable, done)
        }));
    }
}
