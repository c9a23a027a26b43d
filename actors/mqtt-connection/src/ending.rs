//! Every way to end (MQTT 5.0 §3.14, §4.13).

use mqtt::{DecodeError, Disconnect, OutgoingDisconnect, ProtocolVersion, ReasonCode, encode_disconnect};

use contract::WillFate;

use crate::session_hold::SessionHold;
use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

impl Connection {
    pub(crate) fn handle_disconnect(&mut self, disconnect: Disconnect, step: &mut Step<'_>) {
        if let Some(asked_s) = disconnect.session_expiry_interval_s {
            if asked_s > 0 && !self.wanted_session {
                // MQTT 5.0 §3.14.2.2.2.
                let error =
                    DecodeError::ProtocolError("DISCONNECT sets a Session Expiry Interval that CONNECT did not");
                return self.refuse_bytes(error, step);
            }
            self.session_expiry_s = asked_s.min(self.config.session_expiry_max_s);
        }
        if disconnect.reason_code == ReasonCode::SUCCESS {
            // MQTT-3.14.4-3.
            self.will_fate = WillFate::Delete;
        }
        self.close_silently(EndReason::ClientDisconnected, step);
    }

    /// Ends the connection and says why, where the version has a packet for it (MQTT-3.14.0-1, MQTT 5.0 §4.13.2).
    pub(crate) fn close(&mut self, reason_code: ReasonCode, end_reason: EndReason, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Connected) && self.version == ProtocolVersion::V5 {
            encode_disconnect(&mut step.output, reason_code);
        }
        self.close_silently(end_reason, step);
    }

    /// The peer broke a rule of the standard.
    pub(crate) fn refuse_bytes(&mut self, error: DecodeError, step: &mut Step<'_>) {
        let reason_code = error.reason_code();
        let is_connected = matches!(self.phase, Phase::Connected) && self.version == ProtocolVersion::V5;
        if is_connected && self.wants_reason_strings {
            let text = error.to_string();
            let saying = OutgoingDisconnect { reason_code, reason_string: Some(&text), server_reference: None };
            // MQTT-3.14.2-3.
            if saying.packet_bytes() <= self.client_packet_bytes_max as usize {
                saying.encode(&mut step.output);
                return self.close_silently(EndReason::ProtocolError(reason_code.0), step);
            }
        }
        self.end_for(reason_code, EndReason::ProtocolError(reason_code.0), step);
    }

    /// Ends the connection with the packet of its phase: CONNACK or DISCONNECT (MQTT-3.14.0-1).
    pub(crate) fn end_for(&mut self, reason_code: ReasonCode, end_reason: EndReason, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Authenticating(_)) {
            self.refuse_connect(reason_code, step);
        } else {
            self.close(reason_code, end_reason, step);
        }
    }

    /// Ends the connection after what was written. Publications of before go on, and the session is given back at the end of the
    /// step; whatever else is under way is forgotten.
    pub(crate) fn close_silently(&mut self, end_reason: EndReason, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        self.phase = Phase::Closing;
        self.end_reason = Some(end_reason);
        self.decoder.clear();
        self.subscribes = None;
        self.again_at = None;
        step.close = true;
    }

    /// Once the socket is closed, all that came over it is read and the session given back: the last effects.
    pub(crate) fn end_if_done(&mut self, step: &mut Step<'_>) {
        let waits = match self.phase {
            // The home partition answers, and the session is in its answer.
            Phase::Attaching(_) => true,
            Phase::Authenticating(_) | Phase::Connected => self.decoder.unread_bytes() > 0,
            Phase::AwaitingConnect | Phase::Closing | Phase::Gone => false,
        };
        if !self.is_socket_closed || waits {
            return;
        }
        self.close_silently(EndReason::SocketClosed, step);
        self.release_session(step);
        if !matches!(self.session, SessionHold::None) {
            return;
        }
        self.phase = Phase::Gone;
        self.deliveries = None;
        step.effects.push(Effect::Ended(self.end_reason.unwrap_or(EndReason::SocketClosed)));
        step.effects.push(Effect::Gone);
    }
}
