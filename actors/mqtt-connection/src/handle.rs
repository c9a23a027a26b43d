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
            Message::Attached { session_present } => self.handle_attached(session_present, &mut step),
            Message::TakenOver => self.close(ReasonCode::SESSION_TAKEN_OVER, EndReason::TakenOver, &mut step),
            Message::Accepted { token } => self.handle_accepted(token, &mut step),
            Message::Refused { token, refusal } => self.handle_refused(token, refusal, &mut step),
            Message::Subscribed { partition: _, token, results } => self.handle_subscribed(token, &results, &mut step),
            Message::Unsubscribed { partition: _, token, existed } => {
                self.handle_unsubscribed(token, &existed, &mut step);
            }
            Message::Deliver { partition, deliveries } => self.handle_deliver(partition, deliveries),
            Message::Stop => self.close(ReasonCode::SERVER_SHUTTING_DOWN, EndReason::ServerStopping, &mut step),
        }
        self.go_on(step);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.phase {
            Phase::AwaitingConnect | Phase::Attaching(_) => Some(self.connect_due),
            Phase::Connected => match self.paused_since {
                Some(paused_since) => Some(paused_since + self.config.unread_max),
                None => self.keep_alive_timeout.map(|_| self.keep_alive_due),
            },
            Phase::Closing | Phase::Gone => None,
        };
        [due, self.again_at].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let mut step = Step::new(now, effects, !self.is_socket_closed);
        match self.phase {
            Phase::AwaitingConnect | Phase::Attaching(_) if self.connect_due <= now => {
                self.close_silently(EndReason::ConnectTimeout, &mut step);
            }
            Phase::Connected => self.check_silence(&mut step),
            Phase::AwaitingConnect | Phase::Attaching(_) | Phase::Closing | Phase::Gone => {}
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
        let settled_with = step.push_settled();
        self.refill_credits(&settled_with, &mut step);
        step.write_output();
        self.unwritten_bytes += step.written_bytes;
        self.pause_or_resume(&mut step);
        if step.close && !self.is_socket_closed {
            step.effects.push(Effect::Close);
        }
        if step.again && matches!(self.phase, Phase::AwaitingConnect | Phase::Connected) {
            self.again_at = Some(step.now);
        }
        self.end_if_done(&mut step);
    }

    fn check_silence(&mut self, step: &mut Step<'_>) {
        if let Some(paused_since) = self.paused_since {
            if paused_since + self.config.unread_max <= step.now {
                self.close(ReasonCode::QUOTA_EXCEEDED, EndReason::UnreadTooLong, step);
            }
            return;
        }
        let Some(timeout) = self.keep_alive_timeout else { return };
        if self.keep_alive_due > step.now {
            return;
        }
        self.keep_alive_due = self.received_at + timeout;
        if self.keep_alive_due <= step.now {
            self.close(ReasonCode::KEEP_ALIVE_TIMEOUT, EndReason::KeepAliveTimeout, step);
        }
    }
}
