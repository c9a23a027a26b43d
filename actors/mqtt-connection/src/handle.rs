//! What a connection does with each message.

use contract::{Actor, Effects, Instant};
use mqtt::ReasonCode;

use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason, Message};

impl Actor for Connection {
    type Message = Message;
    type Effect = Effect;

    fn handle(&mut self, message: Message, now: Instant, effects: &mut Effects<Effect>) {
        self.is_socket_closed |= matches!(message, Message::SocketClosed);
        let mut step = Step::new(now, effects, !self.is_socket_closed);
        match message {
            Message::Received(bytes) => self.handle_received(bytes, now),
            Message::Written { bytes } => self.unwritten_bytes = self.unwritten_bytes.saturating_sub(bytes),
            // Noted above. What came before is read, then the last effects follow; what was written is gone.
            Message::SocketClosed => self.unwritten_bytes = 0,
            Message::Authenticated { result, data } => self.handle_authenticated(result, data, &mut step),
            Message::AuthenticationContinues { data } => self.handle_authentication_continues(&data, &mut step),
            Message::Attached { session, state } => self.handle_attached(session, state, &mut step),
            Message::AttachRefused { refusal } => self.handle_attach_refused(refusal, &mut step),
            Message::TakenOver => self.handle_taken_over(&mut step),
            Message::Accepted { token } => self.handle_accepted(token, &mut step),
            Message::Refused { token, refusal } => self.handle_refused(token, refusal, &mut step),
            Message::Subscribed { partition: _, token, results } => self.handle_subscribed(token, &results, &mut step),
            Message::Unsubscribed { partition: _, token, existed } => {
                self.handle_unsubscribed(token, &existed, &mut step);
            }
            Message::Suspended { partition: _ } => self.handle_suspended(&mut step),
            Message::Deliver { partition, deliveries } => self.handle_deliver(partition, deliveries),
            Message::AccessChanged(access) => self.handle_access_changed(access, &mut step),
            Message::Stop => self.close(ReasonCode::SERVER_SHUTTING_DOWN, EndReason::ServerStopping, &mut step),
        }
        self.go_on(step);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.phase {
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Attaching(_) => Some(self.connect_due),
            Phase::Connected => match self.paused_since {
                Some(paused_since) => Some(paused_since + self.config.unread_max),
                None => (self.keep_alive_timeout_ms > 0).then_some(self.keep_alive_due),
            },
            Phase::Closing | Phase::Gone => None,
        };
        [due, self.again_at].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let mut step = Step::new(now, effects, !self.is_socket_closed);
        match self.phase {
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Attaching(_) if self.connect_due <= now => {
                self.close_silently(EndReason::ConnectTimeout, &mut step);
            }
            Phase::Connected => self.check_silence(&mut step),
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Attaching(_) | Phase::Closing | Phase::Gone => {}
        }
        if self.again_at.is_some_and(|due| due <= now) {
            self.again_at = None;
        }
        self.go_on(step);
    }
}

impl Connection {
    /// The tail of every step: reads and sends what may be read and sent, then asks the runtime for all of it.
    fn go_on(&mut self, mut step: Step<'_>) {
        if matches!(self.phase, Phase::Gone) {
            return;
        }
        self.read(&mut step);
        self.send_waiting(&mut step);
        self.give_first_credits(&mut step);
        step.push_publications();
        self.push_settled(&mut step);
        step.write_output();
        self.unwritten_bytes += step.written_bytes;
        self.pause_or_resume(&mut step);
        if step.close && !self.is_socket_closed {
            step.effects.push(Effect::Close);
        }
        if step.again && matches!(self.phase, Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Connected) {
            self.again_at = Some(step.now);
        }
        self.release_session(&mut step);
        self.end_if_done(&mut step);
    }

    fn check_silence(&mut self, step: &mut Step<'_>) {
        if let Some(paused_since) = self.paused_since {
            if paused_since + self.config.unread_max <= step.now {
                self.close(ReasonCode::QUOTA_EXCEEDED, EndReason::UnreadTooLong, step);
            }
            return;
        }
        let Some(timeout) = self.keep_alive_timeout() else { return };
        if self.keep_alive_due > step.now {
            return;
        }
        self.keep_alive_due = self.received_at + timeout;
        if self.keep_alive_due <= step.now {
            self.close(ReasonCode::KEEP_ALIVE_TIMEOUT, EndReason::KeepAliveTimeout, step);
        }
    }
}
