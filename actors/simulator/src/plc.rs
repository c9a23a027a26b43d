//! One OPC UA server with its plant, and the transport between it and its Session.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Instant, UtcTime};
use opcua_subscription::model_server::encode::ModelValue;
use opcua_subscription::model_server::{ChannelId, ModelAnswerBody, ModelServer, ModelServerConfig};
use opcua_subscription::{AcknowledgeAt, DisconnectReason, Effect, Message, NodeId, NodeIdText, Request, StatusCode};

use crate::Dice;

/// 2026-11-23T12:00:00Z: the date at which every run begins.
pub(crate) const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);

/// Time between two changes of a tag, in microseconds.
const CHANGE_MICROS: std::ops::Range<u64> = 60_000..180_000;

/// A tag: its asset and its name.
pub(crate) type TagName = (String, String);

/// A value that the plant made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) at: UtcTime,
}

/// What happens between a server and its Session.
#[derive(Debug)]
pub(crate) enum PlcEvent {
    /// A request reaches the server.
    Request { connection: u64, request_handle: u32, token: Option<NodeId>, request: Request },
    /// A message of the transport reaches the Session. `connection` 0: whatever became of the connection.
    Message { connection: u64, message: Message },
    /// A request was not answered in time.
    Timeout { connection: u64, request_handle: u32 },
    /// A tag changes.
    Change(TagName),
}

/// A server, and the transport of its Session.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own: way, server, plant")]
pub(crate) struct Plc {
    pub(crate) server: ModelServer,
    pub(crate) is_up: bool,
    /// Messages of both directions are swallowed until the next connection.
    pub(crate) is_silent: bool,
    /// PublishResponses are lost until then.
    pub(crate) loses_answers_until: Instant,
    /// When acknowledgements come: fixed by the configuration of its Session.
    pub(crate) acknowledge: AcknowledgeAt,
    /// Its process never ends, so that it owes everything.
    pub(crate) is_steady: bool,
    /// Its process ended and began again at least once: what it held is gone.
    pub(crate) was_restarted: bool,
    /// When our process was killed last.
    pub(crate) killed_at: Option<UtcTime>,
    /// Its threads answer in no order.
    answers_in_any_order: bool,
    channel: Option<ChannelId>,
    /// When the last bytes arrive, in each direction.
    last_to_server: Instant,
    last_to_session: Instant,
    /// Counts connections; events of an earlier one are void.
    connection: u64,
    outstanding: BTreeMap<u32, Instant>,
    nodes: BTreeMap<TagName, NodeId>,
    pub(crate) made: BTreeMap<TagName, Vec<Made>>,
    /// The plant changes no more.
    pub(crate) is_at_rest: bool,
    /// Events made, to be entered in the calendar.
    pub(crate) events: Vec<(Instant, PlcEvent)>,
}

impl Plc {
    /// A plant of `assets` with `tags_count` tags each.
    pub(crate) fn new(assets: &[String], tags_count: u32, acknowledge: AcknowledgeAt, dice: &mut Dice) -> Self {
        let config = ModelServerConfig {
            notifications_per_publish_max: if dice.one_in(3) { 3 } else { 0 },
            ..ModelServerConfig::default()
        };
        let mut plc = Self {
            server: ModelServer::new(config, START),
            is_up: true,
            is_silent: false,
            loses_answers_until: Instant::ZERO,
            acknowledge,
            is_steady: dice.one_in(2),
            was_restarted: false,
            killed_at: None,
            answers_in_any_order: dice.one_in(4),
            channel: None,
            last_to_server: Instant::ZERO,
            last_to_session: Instant::ZERO,
            connection: 0,
            outstanding: BTreeMap::new(),
            nodes: BTreeMap::new(),
            made: BTreeMap::new(),
            is_at_rest: false,
            events: Vec::new(),
        };
        for asset in assets {
            for tag in 0..tags_count {
                let name = (asset.clone(), format!("t{tag}"));
                let text: NodeIdText = format!("ns=1;s={asset}.t{tag}").parse().expect("a NodeId");
                plc.nodes.insert(name.clone(), text.resolve(&[]).expect("its namespace is a number"));
                plc.change(&name, Instant::ZERO, dice);
            }
        }
        plc
    }

    pub(crate) fn utc(now: Instant) -> UtcTime {
        START.saturating_add(now - Instant::ZERO)
    }

    /// Work for the transport.
    pub(crate) fn request(&mut self, effect: Effect, now: Instant, dice: &mut Dice) {
        match effect {
            Effect::Connect => self.connect(now),
            Effect::Disconnect => self.end_connection(DisconnectReason::Requested, now),
            Effect::Send { .. } if self.channel.is_none() => {}
            Effect::Send { request_handle, authentication_token, request, timeout } => {
                let connection = self.connection;
                if let Some(timeout) = timeout {
                    self.outstanding.insert(request_handle, now + timeout);
                    self.events.push((now + timeout, PlcEvent::Timeout { connection, request_handle }));
                }
                let event = PlcEvent::Request { connection, request_handle, token: authentication_token, request };
                self.last_to_server = self.last_to_server.max(now + dice.micros(100..1_000));
                self.events.push((self.last_to_server, event));
            }
            Effect::Publish { .. } | Effect::SaveState(_) | Effect::Report(_) | Effect::Stopped => {
                unreachable!("not for a transport")
            }
        }
    }

    fn connect(&mut self, now: Instant) {
        assert!(self.channel.is_none(), "a connection is closed before another is opened");
        self.is_silent = false;
        self.connection += 1;
        let utc = Self::utc(now);
        let message = if self.is_up {
            self.channel = Some(self.server.open_channel());
            Message::Connected { server_application_uri: "urn:model:server".into(), utc }
        } else {
            Message::Disconnected { reason: DisconnectReason::Unreachable("away".into()), utc }
        };
        let connection = if self.is_up { self.connection } else { 0 };
        self.events.push((now + Duration::from_millis(4), PlcEvent::Message { connection, message }));
    }

    fn end_connection(&mut self, reason: DisconnectReason, now: Instant) {
        if let Some(channel) = self.channel.take() {
            self.server.close_channel(channel);
        } else if reason != DisconnectReason::Requested {
            return;
        }
        self.connection += 1;
        self.outstanding.clear();
        let message = Message::Disconnected { reason, utc: Self::utc(now) };
        self.events.push((now + Duration::from_millis(1), PlcEvent::Message { connection: 0, message }));
    }

    /// The connection breaks; what is on its way is lost.
    pub(crate) fn drop_connection(&mut self, now: Instant) {
        self.end_connection(DisconnectReason::ClosedByServer(StatusCode::BAD_CONNECTION_CLOSED), now);
    }

    /// The process of its Session is gone, with its socket; nobody hears of it.
    pub(crate) fn forget_session(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.server.close_channel(channel);
        }
        self.connection += 1;
        self.outstanding.clear();
        self.events.clear();
    }

    /// The server's process ends and begins again.
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.was_restarted = true;
    }

    /// Whether there is a connection to break.
    pub(crate) fn is_connected(&self) -> bool {
        self.channel.is_some()
    }

    /// Something of this server's happens; the message that reaches the Session, if one does.
    pub(crate) fn happen(&mut self, event: PlcEvent, now: Instant, dice: &mut Dice) -> Option<Message> {
        match event {
            PlcEvent::Change(name) => {
                self.change(&name, now, dice);
                None
            }
            PlcEvent::Request { connection, request_handle, token, request } => {
                if connection == self.connection && !self.is_silent {
                    let channel = self.channel.expect("a connection has a channel");
                    self.server.request(channel, request_handle, token.as_ref(), &request, now);
                    self.collect_answers(now, dice);
                }
                None
            }
            PlcEvent::Message { connection, message } => {
                // The transport itself says that it is connected, or that it is not.
                let is_of_server = !matches!(message, Message::Connected { .. } | Message::Disconnected { .. });
                let is_old = connection != 0 && connection != self.connection;
                let is_void = is_old || (self.is_silent && is_of_server);
                if let Message::Response { request_handle, .. } = &message
                    && !is_void
                {
                    self.outstanding.remove(request_handle);
                }
                (!is_void).then_some(message)
            }
            PlcEvent::Timeout { connection, request_handle } => {
                let is_due = connection == self.connection && self.outstanding.get(&request_handle) == Some(&now);
                if !is_due {
                    return None;
                }
                self.outstanding.remove(&request_handle);
                let result = Err(StatusCode::BAD_TIMEOUT);
                Some(Message::Response { request_handle, result, received_utc: Self::utc(now) })
            }
        }
    }

    /// Does what is due at the server.
    pub(crate) fn advance(&mut self, now: Instant, dice: &mut Dice) {
        self.server.advance(now);
        self.collect_answers(now, dice);
    }

    fn collect_answers(&mut self, now: Instant, dice: &mut Dice) {
        let received_utc = Self::utc(now);
        while let Some(answer) = self.server.poll_answer() {
            if Some(answer.channel) != self.channel || self.is_silent {
                continue;
            }
            let request_handle = answer.request_handle;
            let message = match answer.body {
                ModelAnswerBody::Response(result) => Message::Response { request_handle, result, received_utc },
                ModelAnswerBody::Publish(_) if now < self.loses_answers_until && dice.one_in(2) => continue,
                ModelAnswerBody::Publish(body) => Message::PublishResponse { request_handle, body, received_utc },
            };
            let at = now + dice.micros(100..1_500);
            self.last_to_session = self.last_to_session.max(at);
            let at = if self.answers_in_any_order { at } else { self.last_to_session };
            self.events.push((at, PlcEvent::Message { connection: self.connection, message }));
        }
    }

    fn change(&mut self, name: &TagName, now: Instant, dice: &mut Dice) {
        if self.is_at_rest {
            return;
        }
        let at = Self::utc(now);
        let made = self.made.entry(name.clone()).or_default();
        let number = made.len() as u64 + 1;
        made.push(Made { number, at });
        self.server.set_value(&self.nodes[name], &ModelValue::number(number, at));
        self.events.push((now + dice.micros(CHANGE_MICROS), PlcEvent::Change(name.clone())));
    }
}
