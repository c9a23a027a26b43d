//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2).

use contract::{AttachRequest, SessionWill};
use mqtt::{
    Connack, Connect, ConnectReturnCode, DecodeError, Frame, ProtocolVersion, ReasonCode, encode_connack,
    encode_connack_v3,
};

use crate::session_hold::{SessionHold, home_of};
use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

impl Connection {
    pub(crate) fn handle_connect(&mut self, frame: &Frame, step: &mut Step<'_>) {
        match Connect::decode(frame) {
            Ok(connect) => {
                self.version = connect.version;
                self.client_receive_maximum = connect.receive_maximum;
                self.client_packet_bytes_max = connect.maximum_packet_size.unwrap_or(u32::MAX);
                self.client_topic_alias_maximum =
                    connect.topic_alias_maximum.min(self.config.client_topic_alias_maximum);
                self.wants_reason_strings = self.config.reason_strings && connect.request_problem_information;
                match refusal_of(&connect) {
                    Some(reason_code) => self.refuse_connect(reason_code, step),
                    None => self.identify(connect, step),
                }
            }
            Err(error) => self.refuse_connect_bytes(frame, error, step),
        }
    }

    /// The Client Identifier, or the one that is assigned: one that no other connection of this or an earlier life has
    /// (MQTT-3.1.3-7).
    pub(crate) fn client_identifier_of(&self, connect: &Connect) -> Box<str> {
        if connect.client_identifier.is_empty() {
            format!("millicore-{:x}-{}", self.config.client_identifier_seed, self.address).into()
        } else {
            connect.client_identifier.clone()
        }
    }

    /// Asks the home partition for the session of a client that may connect.
    pub(crate) fn attach(&mut self, mut connect: Connect, step: &mut Step<'_>) {
        self.wanted_session = connect.session_expiry_interval_s != 0;
        self.session_expiry_s = self.session_expiry_of(&connect);
        let client_identifier = self.client_identifier_of(&connect);
        let will = connect.will.take().map(|will| {
            self.will_topic = Some(will.topic_name.clone());
            Box::new(SessionWill { publication: self.will_publication(&will, step), delay_s: will.delay_s })
        });
        let request = Box::new(AttachRequest {
            client_identifier,
            clean_start: connect.clean_start,
            session_expiry_s: self.session_expiry_s,
            will,
        });
        let partition = home_of(&request.client_identifier, self.config.partitions_count);
        step.effects.push(Effect::Attach { partition, request });
        self.session = SessionHold::Asked;
        self.phase = Phase::Attaching(Box::new(connect));
    }

    /// The Session Expiry Interval that holds (MQTT 5.0 §3.1.2.11.2); a Clean Session of 3.1.1 ends with its connection.
    fn session_expiry_of(&self, connect: &Connect) -> u32 {
        let asked_s = match self.version {
            ProtocolVersion::V5 => connect.session_expiry_interval_s,
            ProtocolVersion::V311 if connect.clean_start => 0,
            ProtocolVersion::V311 => self.config.session_expiry_v3_s,
        };
        asked_s.min(self.config.session_expiry_max_s)
    }

    /// Writes CONNACK: the session is there.
    pub(crate) fn accept(&mut self, session_present: bool, step: &mut Step<'_>) {
        let Phase::Attaching(connect) = std::mem::replace(&mut self.phase, Phase::Connected) else { return };
        let keep_alive_s = self.begin_keep_alive(connect.keep_alive_s, step);
        match self.version {
            ProtocolVersion::V311 => {
                encode_connack_v3(&mut step.output, ConnectReturnCode::Accepted, session_present);
            }
            ProtocolVersion::V5 => {
                let connack = self.connack(&connect, session_present, keep_alive_s);
                let before_bytes = step.output.len();
                encode_connack(&mut step.output, ReasonCode::SUCCESS, &connack);
                if self.take_back_if_too_large(before_bytes, step) {
                    self.refuse_connect(ReasonCode::PACKET_TOO_LARGE, step);
                }
            }
        }
    }

    /// Starts the keep-alive; answers the Keep Alive that holds, in seconds. A 3.1.1 client cannot be told another one than its
    /// own.
    fn begin_keep_alive(&mut self, asked_s: u16, step: &Step<'_>) -> u16 {
        let max_s = u16::try_from(self.config.keep_alive_max.as_secs()).unwrap_or(u16::MAX);
        let keep_alive_s = match self.version {
            ProtocolVersion::V311 => asked_s,
            ProtocolVersion::V5 => asked_s.min(max_s),
        };
        // One and a half times the Keep Alive (MQTT-3.1.2-22).
        self.keep_alive_timeout_ms = u32::from(keep_alive_s) * 1_500;
        if let Some(timeout) = self.keep_alive_timeout() {
            self.keep_alive_due = step.now + timeout;
        }
        keep_alive_s
    }

    /// Takes back the answer that the output has from `before_bytes` on where it is larger than the client's Maximum Packet Size
    /// (MQTT-3.1.2-24); answers whether it was.
    pub(crate) fn take_back_if_too_large(&self, before_bytes: usize, step: &mut Step<'_>) -> bool {
        let is_too_large = step.output.len() - before_bytes > self.client_packet_bytes_max as usize;
        if is_too_large {
            step.output.truncate(before_bytes);
        }
        is_too_large
    }

    fn connack(&self, connect: &Connect, session_present: bool, keep_alive_s: u16) -> Connack {
        let asked_s = connect.session_expiry_interval_s;
        let response_information = self.config.response_information.as_deref();
        let enhanced = self.enhanced.as_ref();
        Connack {
            session_present,
            session_expiry_interval_s: (self.session_expiry_s != asked_s).then_some(self.session_expiry_s),
            receive_maximum: Some(self.config.receive_maximum),
            // Absent: 2, which is what is taken (MQTT 5.0 §3.2.2.3.4).
            maximum_qos: None,
            maximum_packet_size: Some(self.config.packet_bytes_max),
            assigned_client_identifier: connect
                .client_identifier
                .is_empty()
                .then(|| self.client_identifier_of(connect).into()),
            topic_alias_maximum: Some(self.config.topic_alias_maximum).filter(|maximum| *maximum > 0),
            retain_available: Some(true),
            wildcard_subscription_available: Some(true),
            subscription_identifiers_available: Some(true),
            shared_subscription_available: Some(true),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            response_information: response_information.filter(|_| connect.request_response_information).map(Into::into),
            authentication_method: enhanced.map(|enhanced| enhanced.method.to_string()),
            authentication_data: enhanced
                .map(|enhanced| &enhanced.last_data[..])
                .filter(|data| !data.is_empty())
                .map(Into::into),
            ..Connack::default()
        }
    }

    /// Answers a CONNECT that cannot be read: in its own version's way, or not at all where it has none (MQTT-3.1.4-1).
    fn refuse_connect_bytes(&mut self, frame: &Frame, error: DecodeError, step: &mut Step<'_>) {
        let reason_code = error.reason_code();
        match (Connect::peek_version(frame), error) {
            (Some(ProtocolVersion::V5), _) => {
                self.version = ProtocolVersion::V5;
                let reason = self.config.reason_strings.then(|| error.to_string());
                self.refuse_connect_saying(reason_code, reason, step);
            }
            (None, DecodeError::UnsupportedProtocolVersion) => self.refuse_connect(reason_code, step),
            (Some(ProtocolVersion::V311) | None, _) => {
                self.close_silently(EndReason::ProtocolError(reason_code.0), step);
            }
        }
    }

    /// CONNACK with a failure, then the end (MQTT-3.2.2-7). Without a successful CONNACK there is no Will.
    pub(crate) fn refuse_connect(&mut self, reason_code: ReasonCode, step: &mut Step<'_>) {
        self.refuse_connect_saying(reason_code, None, step);
    }

    fn refuse_connect_saying(&mut self, reason_code: ReasonCode, reason: Option<String>, step: &mut Step<'_>) {
        match self.version {
            ProtocolVersion::V5 => {
                let mut connack = Connack { reason_string: reason, ..Connack::default() };
                if connack.packet_bytes(reason_code) > self.client_packet_bytes_max as usize {
                    // MQTT-3.2.2-19.
                    connack.reason_string = None;
                }
                encode_connack(&mut step.output, reason_code, &connack);
            }
            ProtocolVersion::V311 => encode_connack_v3(&mut step.output, return_code_of(reason_code), false),
        }
        self.will_fate = contract::WillFate::Delete;
        self.close_silently(EndReason::ConnectRefused(reason_code.0), step);
    }
}

/// Why a CONNECT that is well-formed is refused, whoever sent it.
fn refusal_of(connect: &Connect) -> Option<ReasonCode> {
    if connect.version == ProtocolVersion::V311 && connect.client_identifier.is_empty() && !connect.clean_start {
        // MQTT 3.1.1, MQTT-3.1.3-8.
        return Some(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    }
    let will_topic = connect.will.as_ref().map(|will| mqtt::TopicName::parse(&will.topic_name));
    let is_refused = will_topic.is_some_and(|topic_name| topic_name.is_none_or(mqtt::TopicName::is_system));
    is_refused.then_some(ReasonCode::TOPIC_NAME_INVALID)
}

/// The Connect Return Code of 3.1.1 that comes nearest (MQTT 3.1.1 §3.2.2.3).
fn return_code_of(reason_code: ReasonCode) -> ConnectReturnCode {
    match reason_code {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => ConnectReturnCode::UnacceptableProtocolVersion,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => ConnectReturnCode::IdentifierRejected,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => ConnectReturnCode::BadUserNameOrPassword,
        ReasonCode::NOT_AUTHORIZED | ReasonCode::TOPIC_NAME_INVALID => ConnectReturnCode::NotAuthorized,
        _ => ConnectReturnCode::ServerUnavailable,
    }
}
