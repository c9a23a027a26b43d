//! Packets out of bytes, as fast as the partitions take what is in them and the socket takes the answers.

use bytes::Bytes;
use contract::Instant;
use mqtt::{ClientPacket, DecodeError, Frame, ProtocolVersion, encode_pingresp};

use crate::state::Phase;
use crate::step::Step;
use crate::subscribing::SUBSCRIBES_PENDING_MAX;
use crate::{Connection, Effect, EndReason};

/// Bytes that a step left unread, for its room was used up; from here on the socket is not read.
const UNREAD_BYTES_MAX: usize = 128 << 10;

/// Bytes that may come behind CONNECT before CONNACK; then the socket is not read.
const EARLY_BYTES_MAX: usize = 16 << 10;

impl Connection {
    pub(crate) fn handle_received(&mut self, bytes: Bytes, now: Instant) {
        self.received_at = now;
        match self.phase {
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Attaching(_) | Phase::Connected => {
                self.decoder.push(bytes);
            }
            Phase::Closing | Phase::Gone => {}
        }
    }

    /// Reads packets until the bytes, the step's room or a limit end.
    pub(crate) fn read(&mut self, step: &mut Step<'_>) {
        if self.is_blocked(step) {
            return;
        }
        // Progress is made: the time that a socket may stay unread starts again.
        self.paused_since = self.paused_since.map(|_| step.now);
        while self.takes_packets() && !self.is_at_limit(step) {
            if !step.has_room() {
                step.again = self.decoder.unread_bytes() > 0;
                return;
            }
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.handle_frame(&frame, step),
                Ok(None) => return,
                Err(error) => self.refuse_bytes(error, step),
            }
        }
    }

    /// Whether the next packet may be handled. Behind CONNECT all wait for CONNACK, but the AUTH that is awaited.
    fn takes_packets(&self) -> bool {
        match self.phase {
            Phase::AwaitingConnect | Phase::Connected => true,
            Phase::Authenticating(_) => self.is_clients_turn(),
            Phase::Attaching(_) | Phase::Closing | Phase::Gone => false,
        }
    }

    /// Stops and starts the socket's reader. A reader that was stopped starts again below half of the limits.
    pub(crate) fn pause_or_resume(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Authenticating(_) | Phase::Attaching(_) | Phase::Connected) {
            return;
        }
        match self.paused_since {
            None if self.is_at_limit(step) || self.decoder.unread_bytes() >= UNREAD_BYTES_MAX => {
                self.paused_since = Some(step.now);
                if !self.is_socket_closed {
                    step.effects.push(Effect::PauseReading);
                }
            }
            Some(_) if !self.is_blocked(step) && self.decoder.unread_bytes() < UNREAD_BYTES_MAX / 2 => {
                self.paused_since = None;
                self.received_at = step.now;
                if !self.is_socket_closed {
                    step.effects.push(Effect::ResumeReading);
                }
            }
            None | Some(_) => {}
        }
    }

    fn is_blocked(&self, step: &Step<'_>) -> bool {
        if self.paused_since.is_some() { self.is_at::<2>(step) } else { self.is_at_limit(step) }
    }

    fn is_at_limit(&self, step: &Step<'_>) -> bool {
        self.is_at::<1>(step)
    }

    /// Whether a limit, divided by `DIVISOR`, is reached.
    fn is_at<const DIVISOR: u8>(&self, step: &Step<'_>) -> bool {
        let divisor_bytes = usize::from(DIVISOR);
        if matches!(self.phase, Phase::Attaching(_)) || self.waits_for_authentication() {
            return self.decoder.unread_bytes() >= EARLY_BYTES_MAX / divisor_bytes;
        }
        let divisor_count = u32::from(DIVISOR);
        let is_publishing_full = self.publishes.as_ref().is_some_and(|publishes| {
            // A 5.0 client knows its Receive Maximum; one of 3.1.1 is held back by its socket.
            let owed_max = usize::from(self.config.receive_maximum.div_ceil(DIVISOR.into()));
            (self.version == ProtocolVersion::V311 && publishes.owed_count() >= owed_max)
                || publishes.unanswered_count() >= self.config.publishes_count_max.div_ceil(divisor_count)
                || publishes.unanswered_bytes() >= self.config.publishes_bytes_max.div_ceil(DIVISOR.into())
        });
        is_publishing_full
            || self.pending_subscribes_count() >= SUBSCRIBES_PENDING_MAX / divisor_bytes
            || self.output_backlog_bytes(step) >= 2 * self.config.output_bytes_max / divisor_bytes
    }

    fn waits_for_authentication(&self) -> bool {
        matches!(self.phase, Phase::Authenticating(_)) && !self.is_clients_turn()
    }

    /// Bytes that wait for the socket's send buffer. What is answered over a closed socket waits for nothing: it is dropped
    /// with its step, and what came before is read to its end.
    pub(crate) fn output_backlog_bytes(&self, step: &Step<'_>) -> usize {
        if self.is_socket_closed { 0 } else { self.unwritten_bytes + step.output_bytes() }
    }

    fn handle_frame(&mut self, frame: &Frame, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::AwaitingConnect) {
            self.handle_connect(frame, step);
            return;
        }
        if matches!(self.phase, Phase::Connected) && self.is_to_recent_topic(frame) {
            return self.handle_publish_to_recent_topic(frame, step);
        }
        match ClientPacket::decode(frame, self.version) {
            Ok(packet) if matches!(self.phase, Phase::Authenticating(_)) => self.handle_early_packet(packet, step),
            Ok(packet) => self.handle_packet(packet, step),
            Err(error) => self.refuse_bytes(error, step),
        }
    }

    /// A packet between CONNECT and CONNACK of enhanced authentication: AUTH or DISCONNECT (MQTT-3.1.2-30).
    fn handle_early_packet(&mut self, packet: ClientPacket<'_>, step: &mut Step<'_>) {
        if let ClientPacket::Auth(auth) = packet {
            self.handle_auth(auth, step);
        } else if let ClientPacket::Disconnect(_) = packet {
            self.close_silently(EndReason::ClientDisconnected, step);
        } else {
            let error = DecodeError::ProtocolError("another packet than AUTH before CONNACK (MQTT-3.1.2-30)");
            self.refuse_bytes(error, step);
        }
    }

    fn handle_packet(&mut self, packet: ClientPacket<'_>, step: &mut Step<'_>) {
        match packet {
            ClientPacket::Publish(publish) => self.handle_publish(&publish, None, step),
            ClientPacket::Puback(puback) => self.handle_puback(puback, step),
            ClientPacket::Pubrec(pubrec) => self.handle_pubrec(pubrec, step),
            ClientPacket::Pubrel(pubrel) => self.handle_pubrel(pubrel, step),
            ClientPacket::Pubcomp(pubcomp) => self.handle_pubcomp(pubcomp, step),
            ClientPacket::Subscribe(subscribe) => self.handle_subscribe(subscribe, step),
            ClientPacket::Unsubscribe(unsubscribe) => self.handle_unsubscribe(unsubscribe, step),
            ClientPacket::Pingreq => encode_pingresp(&mut step.output),
            ClientPacket::Disconnect(disconnect) => self.handle_disconnect(disconnect, step),
            ClientPacket::Auth(auth) => self.handle_auth(auth, step),
        }
    }
}
