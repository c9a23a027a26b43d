//! Who the client is: user name and password, certificates, and enhanced authentication by AUTH (MQTT 5.0 §3.1.3.5, §4.12).
//!
//! What is said goes to who knows the clients, word by word; nothing of it is judged here.

use std::sync::Arc;

use access::{AccessRules, Credentials, Principal, Secret};
use bytes::Bytes;
use contract::WillFate;
use mqtt::{Auth, Connect, DecodeError, OutgoingAuth, ReasonCode};

use crate::state::Phase;
use crate::step::Step;
use crate::{Authentication, AuthenticationStep, Connection, Effect, EndReason};

/// The enhanced authentication of a client that chose a method.
#[derive(Debug)]
pub(crate) struct Enhanced {
    /// The Authentication Method, for as long as the connection lives (MQTT-4.12.1-1).
    pub(crate) method: Box<str>,
    /// Who is to speak.
    pub(crate) turn: Turn,
    /// Authentication Data that came with success, for CONNACK.
    pub(crate) last_data: Bytes,
}

/// Who is to speak in an exchange of enhanced authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// No exchange is under way.
    Nobody,
    /// Who knows the clients was asked.
    Server,
    /// The client is to send AUTH.
    Client,
}

impl Connection {
    /// Finds out who sent this CONNECT.
    pub(crate) fn identify(&mut self, mut connect: Connect, step: &mut Step<'_>) {
        let client_identifier = self.client_identifier_of(&connect);
        match self.config.authentication {
            Authentication::AllowAnonymous if connect.authentication_method.is_some() => {
                // No method is known (MQTT-4.12.0-1).
                self.refuse_connect(ReasonCode::BAD_AUTHENTICATION_METHOD, step);
            }
            Authentication::AllowAnonymous => {
                self.admit(connect, Arc::new(Principal::anonymous(client_identifier)), step);
            }
            Authentication::Required => {
                let login = std::mem::take(&mut connect.login);
                let credentials = Credentials {
                    client_identifier,
                    user_name: login.user_name,
                    password: login.password.map(Secret::new),
                    authentication_method: connect.authentication_method.clone(),
                    authentication_data: connect.authentication_data.take().map(|data| Secret::new(data.0)),
                };
                self.enhanced = connect
                    .authentication_method
                    .take()
                    .map(|method| Box::new(Enhanced { method, turn: Turn::Server, last_data: Bytes::new() }));
                let credentials = Box::new(credentials);
                step.effects.push(Effect::Authenticate { step: AuthenticationStep::Connect, credentials });
                self.phase = Phase::Authenticating(Box::new(connect));
            }
        }
    }

    /// Lets a client in whose identity is known, if it may connect and have its Will (MQTT 5.0 §5.4.2).
    fn admit(&mut self, connect: Connect, principal: Arc<Principal>, step: &mut Step<'_>) {
        self.rights = self.access.rights(&principal);
        self.principal = Some(principal);
        let may_will = match &connect.will {
            Some(will) => self.rights.may_publish(&will.topic_name),
            None => true,
        };
        if self.rights.may_connect() && may_will {
            self.attach(connect, step);
        } else {
            self.refuse_connect(ReasonCode::NOT_AUTHORIZED, step);
        }
    }

    pub(crate) fn handle_authenticated(
        &mut self,
        result: Result<Arc<Principal>, ReasonCode>,
        data: Bytes,
        step: &mut Step<'_>,
    ) {
        match self.phase {
            Phase::Authenticating(_) if !self.is_clients_turn() => {
                if let Some(enhanced) = &mut self.enhanced {
                    enhanced.turn = Turn::Nobody;
                    enhanced.last_data = data;
                }
                let Phase::Authenticating(connect) = std::mem::replace(&mut self.phase, Phase::AwaitingConnect) else {
                    return;
                };
                match result {
                    Ok(principal) => self.admit(*connect, principal, step),
                    Err(reason_code) => self.refuse_connect(reason_code, step),
                }
            }
            Phase::Connected => self.handle_reauthenticated(result, &data, step),
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Attaching(_) | Phase::Closing | Phase::Gone => {}
        }
    }

    fn handle_reauthenticated(
        &mut self,
        result: Result<Arc<Principal>, ReasonCode>,
        data: &Bytes,
        step: &mut Step<'_>,
    ) {
        let Some(enhanced) = self.enhanced.as_deref_mut().filter(|enhanced| enhanced.turn == Turn::Server) else {
            return;
        };
        enhanced.turn = Turn::Nobody;
        match result {
            Ok(principal) => {
                self.write_auth(ReasonCode::SUCCESS, data, step);
                self.rights = self.access.rights(&principal);
                self.principal = Some(principal);
                self.check_rights(step);
            }
            // MQTT 5.0 §4.12.1.
            Err(reason_code) => self.close(reason_code, EndReason::ReauthenticationFailed(reason_code.0), step),
        }
    }

    pub(crate) fn handle_authentication_continues(&mut self, data: &Bytes, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Authenticating(_) | Phase::Connected) {
            return;
        }
        let Some(enhanced) = self.enhanced.as_deref_mut().filter(|enhanced| enhanced.turn == Turn::Server) else {
            return;
        };
        enhanced.turn = Turn::Client;
        self.write_auth(ReasonCode::CONTINUE_AUTHENTICATION, data, step);
    }

    fn write_auth(&mut self, reason_code: ReasonCode, data: &Bytes, step: &mut Step<'_>) {
        let Some(enhanced) = &self.enhanced else { return };
        let data = Some(&data[..]).filter(|data| !data.is_empty());
        let auth = OutgoingAuth { reason_code, method: &enhanced.method, data, reason_string: None };
        if auth.packet_bytes() <= self.client_packet_bytes_max as usize {
            auth.encode(&mut step.output);
        } else {
            let reason_code = ReasonCode::PACKET_TOO_LARGE;
            self.end_for(reason_code, EndReason::ProtocolError(reason_code.0), step);
        }
    }

    /// AUTH came: the next word of an exchange (MQTT-4.12.0-3), or the first of another one (MQTT 5.0 §4.12.1).
    pub(crate) fn handle_auth(&mut self, auth: Auth, step: &mut Step<'_>) {
        let Some(enhanced) = &mut self.enhanced else {
            let error = DecodeError::ProtocolError("AUTH without an Authentication Method in CONNECT (MQTT-4.12.0-7)");
            return self.refuse_bytes(error, step);
        };
        if enhanced.method != auth.method {
            let error =
                DecodeError::ProtocolError("AUTH with another method than CONNECT (MQTT-4.12.0-5, MQTT-4.12.1-1)");
            return self.refuse_bytes(error, step);
        }
        let is_connected = matches!(self.phase, Phase::Connected);
        let step_of_exchange = match (auth.reason_code, enhanced.turn) {
            (ReasonCode::CONTINUE_AUTHENTICATION, Turn::Client) => AuthenticationStep::Continue,
            (ReasonCode::RE_AUTHENTICATE, Turn::Nobody) if is_connected => AuthenticationStep::Reauthenticate,
            _ => {
                let error = DecodeError::ProtocolError("AUTH out of turn (MQTT 5.0 §4.12)");
                return self.refuse_bytes(error, step);
            }
        };
        enhanced.turn = Turn::Server;
        let client_identifier = match &self.phase {
            Phase::Authenticating(connect) => self.client_identifier_of(connect),
            Phase::AwaitingConnect | Phase::Attaching(_) | Phase::Connected | Phase::Closing | Phase::Gone => {
                self.principal.as_ref().map_or_else(Box::default, |principal| principal.client_identifier.clone())
            }
        };
        let credentials = Credentials {
            client_identifier,
            user_name: None,
            password: None,
            authentication_method: Some(auth.method),
            authentication_data: auth.data.map(|data| Secret::new(data.0)),
        };
        step.effects.push(Effect::Authenticate { step: step_of_exchange, credentials: Box::new(credentials) });
    }

    /// Whether the client is to send AUTH.
    pub(crate) fn is_clients_turn(&self) -> bool {
        self.enhanced.as_ref().is_some_and(|enhanced| enhanced.turn == Turn::Client)
    }

    pub(crate) fn handle_access_changed(&mut self, access: Arc<AccessRules>, step: &mut Step<'_>) {
        self.access = access;
        if let Some(principal) = &self.principal {
            self.rights = self.access.rights(principal);
        }
        self.check_rights(step);
    }

    /// Ends a connection that uses a right that it does not have: one that it lost, or that its session brought.
    pub(crate) fn check_rights(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Connected) {
            return;
        }
        let filters = self.deliveries.iter().flat_map(|window| &window.topic_filters).map(|filter| &**filter);
        if self.rights.used_right_lost(self.will_topic.as_deref(), filters).is_none() {
            return;
        }
        if !self.may_publish_will() {
            self.will_fate = WillFate::Delete;
        }
        self.close(ReasonCode::NOT_AUTHORIZED, EndReason::AccessLost, step);
    }

    fn may_publish_will(&mut self) -> bool {
        self.will_topic.as_deref().is_none_or(|topic_name| self.rights.may_publish(topic_name))
    }
}
