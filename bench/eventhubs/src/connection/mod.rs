//! One AMQP connection of the endpoint, without its socket: bytes and a time in, bytes out (AMQP 1.0 §2.4).
//!
//! | Module | Idea |
//! |---|---|
//! | `session` | windows, links by handle |
//! | `link` | what a link carries, and its credit |
//! | `address` | which node an address means |
//! | `attach` | links come and go |
//! | `ingress` | transfers in, and what becomes of them |
//! | `egress` | transfers out, as credit allows |
//! | `nodes` | `$cbs` and `$management` |
//! | `authority` | what the tokens of this connection allow |

mod address;
mod attach;
mod authority;
mod egress;
mod ingress;
mod link;
mod nodes;
mod session;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::codec::DecodeError;
use crate::codec::frame::{
    FRAME_BYTES_MIN_MAX, Frame, FrameKind, HEADER_AMQP, HEADER_SASL, put_frame, put_heartbeat, take_frame,
    take_protocol_header,
};
use crate::codec::outcome::AmqpError;
use crate::codec::performative::{Begin, Open, Performative, SaslInit};
use crate::namespace::{Mailbox, Namespace, now_us};

use authority::Authority;
use ingress::Outcomes;
use session::Session;

/// Largest frame that we take, as the service does.
pub(crate) const FRAME_BYTES_MAX: u32 = 65_536;
/// Sessions of a connection.
const SESSIONS_COUNT_MAX: u16 = 1_024;
/// Output that waits before deliveries pause.
const OUT_BYTES_PAUSE: usize = 256 << 10;
/// Output that waits before a connection that does not read is cut: answers alone can get here.
const OUT_BYTES_MAX: usize = 16 << 20;
/// How long a peer may take to open its connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Why something ends, and how much of it.
#[derive(Debug)]
pub(crate) enum Failure {
    Connection(AmqpError),
    Session(AmqpError),
    Link(u32, AmqpError),
}

impl Failure {
    fn connection(condition: &str, description: impl Into<String>) -> Self {
        Self::Connection(AmqpError::new(condition, description))
    }

    fn session(condition: &str, description: impl Into<String>) -> Self {
        Self::Session(AmqpError::new(condition, description))
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let condition = if matches!(error, DecodeError::FrameSize(_)) {
            "amqp:connection:framing-error"
        } else {
            "amqp:decode-error"
        };
        Self::connection(condition, error.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first protocol header, or that after SASL.
    Header,
    SaslInit,
    /// Open is awaited.
    Opening,
    Open,
    /// Nothing more is read; what is in `out` is still sent.
    Finished,
}

/// The state of one connection.
pub(crate) struct Connection {
    namespace: Rc<RefCell<Namespace>>,
    mailbox: Rc<Mailbox>,
    phase: Phase,
    /// What waits to be sent.
    out: BytesMut,
    sessions: BTreeMap<u16, Session>,
    /// Channel and handle of the links that send, in the order in which they are served.
    senders: VecDeque<(u16, u32)>,
    outcomes: Outcomes,
    authority: Authority,
    peer_frame_bytes_max: u32,
    peer_idle_timeout: Option<Duration>,
    received_at: Instant,
    sent_at: Instant,
    is_cut: bool,
}

impl Connection {
    pub(crate) fn new(namespace: Rc<RefCell<Namespace>>, mailbox: Rc<Mailbox>, now: Instant) -> Self {
        let check_tokens = namespace.borrow().options.check_tokens;
        Self {
            namespace,
            mailbox,
            phase: Phase::Header,
            out: BytesMut::new(),
            sessions: BTreeMap::new(),
            senders: VecDeque::new(),
            outcomes: Outcomes::default(),
            authority: Authority::new(!check_tokens),
            peer_frame_bytes_max: FRAME_BYTES_MIN_MAX,
            peer_idle_timeout: None,
            received_at: now,
            sent_at: now,
            is_cut: false,
        }
    }

    /// What waits to be sent; the sender takes it off the front.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Whether the connection ends once its output is sent.
    pub(crate) fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Whether the connection ends at once, as a cable would.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Takes everything that is whole off the front of `input`.
    pub(crate) fn receive(&mut self, input: &mut BytesMut, now: Instant) {
        self.received_at = now;
        while !self.is_finished() && !self.is_cut {
            match self.receive_next(input, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.fail(error),
            }
        }
        if self.is_finished() {
            input.clear();
        }
    }

    /// Handles one header or frame. Returns whether there was one.
    fn receive_next(&mut self, input: &mut BytesMut, now: Instant) -> Result<bool, AmqpError> {
        let step = if self.phase == Phase::Header {
            take_protocol_header(input)
                .map_err(Failure::from)
                .map(|kind| kind.map(|kind| self.on_header(kind)).is_some())
        } else {
            match take_frame(input, FRAME_BYTES_MAX) {
                Ok(Some(frame)) => return self.on_frame(&frame, now).map(|()| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        step.map_err(|failure| match failure {
            Failure::Connection(error) | Failure::Session(error) | Failure::Link(_, error) => error,
        })
    }

    fn on_header(&mut self, kind: FrameKind) {
        match kind {
            FrameKind::Amqp => {
                self.out.extend_from_slice(&HEADER_AMQP);
                self.phase = Phase::Opening;
            }
            FrameKind::Sasl => {
                self.out.extend_from_slice(&HEADER_SASL);
                let names = ["MSSBCBS", "PLAIN", "ANONYMOUS"].map(str::to_owned).to_vec();
                self.send(FrameKind::Sasl, 0, &Performative::SaslMechanisms(names));
                self.phase = Phase::SaslInit;
            }
        }
    }

    /// Handles one frame; failures of a session or a link end just that.
    fn on_frame(&mut self, frame: &Frame, now: Instant) -> Result<(), AmqpError> {
        if frame.body.is_empty() && frame.kind == FrameKind::Amqp {
            return Ok(());
        }
        match self.on_performative(frame, now) {
            Ok(()) => Ok(()),
            Err(Failure::Connection(error)) => Err(error),
            Err(Failure::Session(error)) => {
                self.end_session(frame.channel, Some(error));
                Ok(())
            }
            Err(Failure::Link(handle, error)) => {
                self.detach(frame.channel, handle, error);
                Ok(())
            }
        }
    }

    fn on_performative(&mut self, frame: &Frame, now: Instant) -> Result<(), Failure> {
        let (performative, payload) = Performative::decode(&frame.body)?;
        tracing::trace!(channel = frame.channel, ?performative, payload_bytes = payload.len(), "received");
        let expected = if self.phase == Phase::SaslInit { FrameKind::Sasl } else { FrameKind::Amqp };
        if frame.kind != expected {
            return Err(Failure::connection("amqp:connection:framing-error", "a frame of the other layer"));
        }
        match (self.phase, performative) {
            (Phase::SaslInit, Performative::SaslInit(init)) => self.on_sasl_init(&init),
            (Phase::Opening, Performative::Open(open)) => self.on_open(&open),
            (Phase::Open, performative) => return self.on_opened(frame.channel, performative, &payload, now),
            (Phase::Opening, Performative::Close(_)) => self.finish(),
            _ => return Err(Failure::connection("amqp:not-allowed", "not in this state of the connection")),
        }
        Ok(())
    }

    fn on_opened(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: &Bytes,
        now: Instant,
    ) -> Result<(), Failure> {
        match performative {
            Performative::Begin(begin) => return self.on_begin(channel, begin),
            Performative::Close(_) => {
                self.send(FrameKind::Amqp, 0, &Performative::Close(None));
                self.finish();
                return Ok(());
            }
            Performative::Open(_)
            | Performative::SaslMechanisms(_)
            | Performative::SaslInit(_)
            | Performative::SaslOutcome(_) => {
                return Err(Failure::connection("amqp:not-allowed", "the connection is open already"));
            }
            Performative::Attach(_)
            | Performative::Flow(_)
            | Performative::Transfer(_)
            | Performative::Disposition(_)
            | Performative::Detach(_)
            | Performative::End(_) => {}
        }
        let Some(session) = self.sessions.get(&channel) else {
            // Python's client ends a session before it detaches the links in it.
            if matches!(performative, Performative::Detach(_) | Performative::Disposition(_) | Performative::End(_)) {
                return Ok(());
            }
            return Err(Failure::connection("amqp:not-allowed", format!("channel {channel} has no session")));
        };
        if session.is_ending {
            if matches!(performative, Performative::End(_)) {
                self.sessions.remove(&channel);
            }
            return Ok(());
        }
        match performative {
            Performative::Attach(attach) => self.on_attach(channel, *attach),
            Performative::Flow(flow) => self.on_flow(channel, &flow),
            Performative::Transfer(transfer) => self.on_transfer(channel, &transfer, payload, now),
            Performative::Detach(detach) => self.on_detach(channel, &detach),
            Performative::End(_) => {
                self.end_session(channel, None);
                self.sessions.remove(&channel);
                Ok(())
            }
            // We forget a delivery when we send it: outcomes of receivers change nothing in a hub. The others were
            // dealt with above.
            Performative::Disposition(_)
            | Performative::Open(_)
            | Performative::Begin(_)
            | Performative::Close(_)
            | Performative::SaslMechanisms(_)
            | Performative::SaslInit(_)
            | Performative::SaslOutcome(_) => Ok(()),
        }
    }

    fn on_sasl_init(&mut self, init: &SaslInit) {
        let namespace = Rc::clone(&self.namespace);
        let mut namespace = namespace.borrow_mut();
        let allowed = match init.mechanism.as_str() {
            "ANONYMOUS" | "MSSBCBS" => true,
            "PLAIN" => {
                let key = &namespace.options.access_key;
                let mut parts = init.initial_response.split(|byte| *byte == 0).skip(1);
                let matches = parts.next() == Some(key.name.as_bytes()) && parts.next() == Some(key.key.as_bytes());
                if matches {
                    self.authority.allow_all();
                }
                matches || !namespace.options.check_tokens
            }
            _ => false,
        };
        if allowed {
            self.phase = Phase::Header;
        } else {
            namespace.counters.unauthorized += 1;
            self.finish();
        }
        self.send(FrameKind::Sasl, 0, &Performative::SaslOutcome(u8::from(!allowed)));
    }

    fn on_open(&mut self, open: &Open) {
        self.peer_frame_bytes_max = open.frame_bytes_max.unwrap_or(u32::MAX).max(FRAME_BYTES_MIN_MAX);
        self.peer_idle_timeout =
            open.idle_timeout_ms.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(u64::from(ms).max(100)));
        let idle_timeout = self.namespace.borrow().options.idle_timeout;
        let answer = Open {
            container_id: "millicore-bench-eventhubs".into(),
            hostname: None,
            frame_bytes_max: Some(FRAME_BYTES_MAX),
            channel_max: Some(SESSIONS_COUNT_MAX - 1),
            idle_timeout_ms: Some(u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX)),
        };
        self.send(FrameKind::Amqp, 0, &Performative::Open(answer));
        self.phase = Phase::Open;
    }

    fn on_begin(&mut self, channel: u16, begin: Begin) -> Result<(), Failure> {
        if channel >= SESSIONS_COUNT_MAX {
            return Err(Failure::connection("amqp:not-allowed", "the channel is above channel-max"));
        }
        if self.sessions.contains_key(&channel) {
            return Err(Failure::connection("amqp:not-allowed", "the channel has a session already"));
        }
        let session = Session::new(begin);
        let answer = session.begin(channel);
        self.sessions.insert(channel, session);
        self.send(FrameKind::Amqp, channel, &Performative::Begin(answer));
        Ok(())
    }

    /// Ends a session from our side. It stays until the peer has ended it too.
    fn end_session(&mut self, channel: u16, error: Option<AmqpError>) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.is_ending = true;
        for link in std::mem::take(&mut session.links).into_values() {
            link.forget(&mut self.namespace.borrow_mut());
        }
        self.send(FrameKind::Amqp, channel, &Performative::End(error));
    }

    /// The peer broke a rule: says which, and ends.
    fn fail(&mut self, error: AmqpError) {
        tracing::debug!(condition = error.condition, description = error.description, "a peer broke a rule");
        self.namespace.borrow_mut().counters.protocol_errors += 1;
        match self.phase {
            // An unknown protocol is answered with the header of ours (§2.2).
            Phase::Header => self.out.extend_from_slice(&HEADER_AMQP),
            Phase::SaslInit => self.send(FrameKind::Sasl, 0, &Performative::SaslOutcome(1)),
            Phase::Opening => {
                let open = Open { container_id: "millicore-bench-eventhubs".into(), ..Open::default() };
                self.send(FrameKind::Amqp, 0, &Performative::Open(open));
                self.send(FrameKind::Amqp, 0, &Performative::Close(Some(error)));
            }
            Phase::Open | Phase::Finished => self.send(FrameKind::Amqp, 0, &Performative::Close(Some(error))),
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.forget_links();
    }

    fn forget_links(&mut self) {
        let mut namespace = self.namespace.borrow_mut();
        for session in std::mem::take(&mut self.sessions).into_values() {
            for link in session.links.into_values() {
                link.forget(&mut namespace);
            }
        }
    }

    fn send(&mut self, kind: FrameKind, channel: u16, performative: &Performative) {
        tracing::trace!(channel, ?performative, "answered");
        put_frame(&mut self.out, kind, channel, |out| performative.encode(out));
    }

    /// Does what is due: displaced links, late outcomes, deliveries, heartbeats, timeouts.
    pub(crate) fn poll(&mut self, now: Instant) {
        if self.is_finished() || self.is_cut {
            return;
        }
        if self.phase != Phase::Open {
            if now.saturating_duration_since(self.received_at) >= OPEN_TIMEOUT {
                self.is_cut = true;
            }
            return;
        }
        self.detach_stolen();
        self.detach_expired(now);
        self.say_due_outcomes(now);
        self.deliver();
        let idle_timeout = self.namespace.borrow().options.idle_timeout;
        if now.saturating_duration_since(self.received_at) >= idle_timeout * 2 {
            self.fail(AmqpError::new("amqp:resource-limit-exceeded", "nothing was heard within the idle timeout"));
        } else if self.out.is_empty() && self.heartbeat_due().is_some_and(|due| due <= now) {
            put_heartbeat(&mut self.out);
        }
        if self.out.len() > OUT_BYTES_MAX {
            tracing::warn!("a peer that does not read is cut off");
            self.is_cut = true;
        }
        if !self.out.is_empty() {
            self.sent_at = now;
        }
    }

    fn heartbeat_due(&self) -> Option<Instant> {
        self.peer_idle_timeout.map(|timeout| self.sent_at + timeout / 2)
    }

    /// When [`Self::poll`] is next due, if nothing comes before.
    pub(crate) fn poll_timeout(&self) -> Instant {
        if self.phase != Phase::Open {
            return self.received_at + OPEN_TIMEOUT;
        }
        let idle = self.received_at + self.namespace.borrow().options.idle_timeout * 2;
        [self.heartbeat_due(), self.outcomes.next_due(), self.authority.next_expiry()]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.forget_links();
    }
}

fn now_s() -> i64 {
    now_us() / 1_000_000
}
