//! Every way to end, and the Will Message (MQTT 5.0 §3.14, §4.13, §3.1.2.5).

use mqtt::{DecodeError, Disconnect, ProtocolVersion, ReasonCode, encode_disconnect};

use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

impl Connection {
    pub(crate) fn handle_disconnect(&mut self, disconnect: Disconnect, step: &mut Step<'_>) {
        if disconnect.session_expiry_interval_s.is_some_and(|seconds| seconds > 0) && !self.wanted_session {
            // MQTT 5.0 §3.14.2.2.2.
            let error = DecodeError::ProtocolError("DISCONNECT sets a Session Expiry Interval that CONNECT did not");
            return self.refuse_bytes(error, step);
        }
        if disconnect.reason_code == ReasonCode::SUCCESS {
            // MQTT-3.14.4-3.
            self.will = None;
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

    /// Ends the connection after what was written. Publications of before go on; whatever else is under way is forgotten.
    pub(crate) fn close_silently(&mut self, end_reason: EndReason, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        self.phase = Phase::Closing;
        self.end_reason = Some(end_reason);
        self.decoder.clear();
        self.deliveries = None;
        self.subscribes.clear();
        self.again_at = None;
        step.close = true;
    }

    /// Once the socket is closed and all that came over it is read: the Will, and the last effects.
    pub(crate) fn end_if_done(&mut self, step: &mut Step<'_>) {
        let may_read_on = matches!(self.phase, Phase::Attaching(_) | Phase::Connected);
        if !self.is_socket_closed || (may_read_on && self.decoder.unread_bytes() > 0) {
            return;
        }
        self.phase = Phase::Gone;
        self.again_at = None;
        self.deliveries = None;
        self.decoder.clear();
        if let Some(will) = self.will.take() {
            self.publish_will(&will, step);
        }
        if self.is_attached {
            step.effects.push(Effect::Detach);
        }
        step.effects.push(Effect::Ended(self.end_reason.unwrap_or(EndReason::SocketClosed)));
        step.effects.push(Effect::Gone);
    }
}
