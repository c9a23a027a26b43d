//! One message in, effects out: which method answers which message.

use contract::{Actor, Effects, Instant, UtcTime};

use crate::state::{Pending, Phase, Session};
use crate::{AcknowledgeAt, Effect, Message, Response, StatusCode};

impl Actor for Session {
    type Message = Message;
    type Effect = Effect;

    fn handle(&mut self, message: Message, now: Instant, effects: &mut Effects<Effect>) {
        match message {
            Message::Start { saved } => {
                if self.phase == Phase::Idle {
                    if let Some(saved) = saved {
                        self.adopt(saved, now);
                    }
                    self.connect(effects);
                }
            }
            Message::Connected { server_application_uri, utc } => {
                self.on_connected(&server_application_uri, utc, now, effects);
            }
            Message::Disconnected { reason, utc } => self.on_disconnected(reason, utc, now, effects),
            Message::Response { request_handle, result, received_utc } => {
                self.on_response(request_handle, result, received_utc, now, effects);
            }
            Message::PublishResponse { request_handle, body, received_utc } => {
                self.on_publish_response(request_handle, &body, received_utc, now, effects);
            }
            Message::Accepted { token } => self.receipts.settle(token, AcknowledgeAt::Accepted),
            Message::Delivered { token } => self.receipts.settle(token, AcknowledgeAt::Delivered),
            Message::Stop { close_session } => self.stop(close_session, now, effects),
        }
        self.go_on(now, effects);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.on_timeout(now, effects);
        self.go_on(now, effects);
    }
}

impl Session {
    /// Does whatever has become possible.
    fn go_on(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        if self.stopping.is_some() {
            self.stop_more(now, effects);
            return;
        }
        if self.phase == Phase::Running {
            self.create_more(now, effects);
        }
        // Making Subscriptions may have ended the connection.
        if self.phase == Phase::Running {
            self.ask_again(effects);
            self.publish_more(now, effects);
        }
    }

    fn on_response(
        &mut self,
        request_handle: u32,
        result: Result<Response, StatusCode>,
        received_utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let Some(pending) = self.requests.remove(&request_handle) else { return };
        match &result {
            Err(StatusCode::BAD_TIMEOUT) => self.counts.requests_failed += 1,
            Err(_) => {
                self.counts.requests_failed += 1;
                self.note_heard(received_utc, now);
            }
            Ok(_) => self.note_heard(received_utc, now),
        }
        match pending {
            Pending::CreateSession => self.on_create_session(result, effects),
            Pending::ActivateSession => self.on_activate_session(result, effects),
            Pending::CloseSession => self.on_close_session(effects),
            Pending::ReadServer => self.on_read_server(result, now, effects),
            Pending::ReadLiveness => self.on_read_liveness(result, now, effects),
            Pending::Transfer { indexes } => self.on_transfer(&indexes, result, now, effects),
            Pending::CreateSubscription { index } => self.on_create_subscription(index, &result, now, effects),
            Pending::CreateItems { index, slots } => self.on_create_items(index, slots, result, now, effects),
            // What could not be deleted ends with its lifetime.
            Pending::DeleteSubscriptions => {}
            Pending::Republish { index, sequence_number } => {
                self.on_republish(index, sequence_number, result, received_utc, now, effects);
            }
            Pending::Publish { acknowledgements } => {
                self.receipts.give_back(acknowledgements);
                self.on_publish_failed(result.err().unwrap_or(StatusCode::BAD_UNEXPECTED_ERROR), now, effects);
            }
        }
    }
}
