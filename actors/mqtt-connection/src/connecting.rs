//! CONNECT, the home partition, CONNACK (MQTT 5.0 §3.1, §3.2).

use contract::{QoS, partition_of};
use mqtt::{
    Connack, Connect, ConnectReturnCode, DecodeError, Frame, ProtocolVersion, ReasonCode, encode_connack,
    encode_connack_v3,
};

use crate::state::Phase;
use crate::step::Step;
use crate::{Authentication, Connection, Effect, EndReason};

impl Connection {
    pub(crate) fn handle_connect(&mut self, frame: &Frame, step: &mut Step<'_>) {
        match Connect::decode(frame) {
            Ok(connect) => {
                self.version = connect.version;
                match self.refusal_of(&connect) {
                    Some(reason_code) => self.refuse_connect(reason_code, step),
                    None => self.attach(connect, step),
                }
            }
            Err(error) => self.refuse_connect_bytes(frame, error, step),
        }
    }

    /// Why a CONNECT that is well-formed is refused.
    fn refusal_of(&self, connect: &Connect) -> Option<ReasonCode> {
        match self.config.authentication {
            Authentication::AllowAnonymous => {}
        }
        if connect.authentication_method.is_some() {
            // No method is known (MQTT 5.0 §4.12).
            return Some(ReasonCode::BAD_AUTHENTICATION_METHOD);
        }
        if connect.version == ProtocolVersion::V311 && connect.client_identifier.is_empty() && !connect.clean_start {
            // MQTT 3.1.1, MQTT-3.1.3-8.
            return Some(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        }
        if let Some(will) = &connect.will {
            if will.qos == QoS::ExactlyOnce {
                // Above the Maximum QoS (MQTT-3.2.2-12); published once more often it would not be what was asked for.
                return Some(ReasonCode::QOS_NOT_SUPPORTED);
            }
            if mqtt::TopicName::parse(&will.topic_name).is_none_or(mqtt::TopicName::is_system) {
                return Some(ReasonCode::TOPIC_NAME_INVALID);
            }
        }
        None
    }

    fn attach(&mut self, mut connect: Connect, step: &mut Step<'_>) {
        self.wanted_session = connect.session_expiry_interval_s != 0;
        self.client_receive_maximum = connect.receive_maximum;
        self.client_packet_bytes_max = connect.maximum_packet_size.unwrap_or(u32::MAX);
        self.will = connect.will.take();
        let client_identifier = if connect.client_identifier.is_empty() {
            self.assigned_client_identifier().into()
        } else {
            connect.client_identifier.clone()
        };
        let partition = partition_of(client_identifier.as_bytes(), self.config.partitions_count);
        step.effects.push(Effect::Attach { partition, client_identifier });
        self.is_attached = true;
        self.phase = Phase::Attaching(Box::new(connect));
    }

    /// A Client Identifier that no other connection of this or an earlier life has (MQTT-3.1.3-7).
    fn assigned_client_identifier(&self) -> String {
        format!("millicore-{:x}-{}", self.config.client_identifier_seed, self.address)
    }

    pub(crate) fn handle_attached(&mut self, session_present: bool, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Attaching(_)) {
            return;
        }
        let Phase::Attaching(connect) = std::mem::replace(&mut self.phase, Phase::Connected) else { return };
        let session_present = session_present && !connect.clean_start;
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
        if keep_alive_s > 0 {
            // One and a half times the Keep Alive (MQTT-3.1.2-22).
            let timeout = std::time::Duration::from_millis(u64::from(keep_alive_s) * 1_500);
            self.keep_alive_timeout = Some(timeout);
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
        Connack {
            session_present,
            // Sessions end with their connection.
            session_expiry_interval_s: (connect.session_expiry_interval_s != 0).then_some(0),
            receive_maximum: Some(self.config.receive_maximum),
            maximum_qos: Some(1),
            maximum_packet_size: Some(self.config.packet_bytes_max),
            assigned_client_identifier: connect.client_identifier.is_empty().then(|| self.assigned_client_identifier()),
            topic_alias_maximum: Some(self.config.topic_alias_maximum).filter(|maximum| *maximum > 0),
            retain_available: Some(true),
            wildcard_subscription_available: Some(true),
            subscription_identifiers_available: Some(true),
            shared_subscription_available: Some(false),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            ..Connack::default()
        }
    }

    /// Answers a CONNECT that cannot be read: in its own version's way, or not at all where it has none (MQTT-3.1.4-1).
    fn refuse_connect_bytes(&mut self, frame: &Frame, error: DecodeError, step: &mut Step<'_>) {
        let reason_code = error.reason_code();
        match (Connect::peek_version(frame), error) {
            (Some(ProtocolVersion::V5), _) => {
                self.version = ProtocolVersion::V5;
                self.refuse_connect(reason_code, step);
            }
            (None, DecodeError::UnsupportedProtocolVersion) => self.refuse_connect(reason_code, step),
            (Some(ProtocolVersion::V311) | None, _) => {
                self.close_silently(EndReason::ProtocolError(reason_code.0), step);
            }
        }
    }

    /// CONNACK with a failure, then the end (MQTT-3.2.2-7).
    fn refuse_connect(&mut self, reason_code: ReasonCode, step: &mut Step<'_>) {
        match self.version {
            ProtocolVersion::V5 => encode_connack(&mut step.output, reason_code, &Connack::default()),
            ProtocolVersion::V311 => encode_connack_v3(&mut step.output, return_code_of(reason_code), false),
        }
        self.will = None;
        self.close_silently(EndReason::ConnectRefused(reason_code.0), step);
    }
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
