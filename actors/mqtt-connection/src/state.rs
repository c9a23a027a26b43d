//! What a connection owns.

use std::sync::Arc;
use std::time::Duration;

use access::{AccessRules, Principal, Rights};
use contract::{ConnectionAddress, Counters, Instant, WillFate};
use mqtt::{Connect, Decoder, ProtocolVersion};

use crate::delivery_window::DeliveryWindow;
use crate::enhanced::Enhanced;
use crate::publish_window::PublishWindow;
use crate::session_hold::SessionHold;
use crate::subscribing::PendingSubscribes;
use crate::topic_aliases::{ReceivedAliases, SentAliases};
use crate::{ConnectionConfig, EndReason};

/// One MQTT client, from the accepted socket to the socket's end.
///
/// Lives on the core that accepted it. Its first message is [`crate::Message::Received`], its last effect
/// [`crate::Effect::Gone`]; a step pushes at most [`crate::EFFECTS_COUNT_MAX`] effects.
#[derive(Debug)]
pub struct Connection {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) address: ConnectionAddress,
    pub(crate) phase: Phase,
    pub(crate) version: ProtocolVersion,
    pub(crate) decoder: Decoder,
    /// Until when CONNACK must be written.
    pub(crate) connect_due: Instant,
    /// One and a half Keep Alive, in milliseconds; 0: off.
    pub(crate) keep_alive_timeout_ms: u32,
    /// When to look whether the client was silent for so long; moved only when it is reached.
    pub(crate) keep_alive_due: Instant,
    pub(crate) received_at: Instant,
    /// Since when the socket is not read.
    pub(crate) paused_since: Option<Instant>,
    /// A step is due then, for what the last one left.
    pub(crate) again_at: Option<Instant>,
    /// Bytes that were given to the socket's shell and are not in the send buffer.
    pub(crate) unwritten_bytes: usize,
    /// The rules that hold, which follow `config` until they change.
    pub(crate) access: Arc<AccessRules>,
    /// Who the client is; there from the CONNECT that was let in.
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) rights: Rights,
    /// The method of enhanced authentication and where its exchange is.
    pub(crate) enhanced: Option<Box<Enhanced>>,
    /// The Will's topic, for rules that change.
    pub(crate) will_topic: Option<Box<str>>,
    pub(crate) will_fate: WillFate,
    pub(crate) session: SessionHold,
    /// The Session Expiry Interval that holds, in seconds.
    pub(crate) session_expiry_s: u32,
    /// CONNECT had a Session Expiry Interval other than 0.
    pub(crate) wanted_session: bool,
    /// There once the client published.
    pub(crate) publishes: Option<Box<PublishWindow>>,
    /// There once the client set one.
    pub(crate) received_aliases: Option<Box<ReceivedAliases>>,
    /// There once something was sent to a client that takes aliases.
    pub(crate) sent_aliases: Option<Box<SentAliases>>,
    /// There while partitions owe answers.
    pub(crate) subscribes: Option<Box<PendingSubscribes>>,
    /// How many requests went to all partitions.
    pub(crate) next_subscribe_token: u64,
    /// There once the client subscribed.
    pub(crate) deliveries: Option<Box<DeliveryWindow>>,
    /// The client's Receive Maximum (MQTT 5.0 §3.1.2.11.3).
    pub(crate) client_receive_maximum: u16,
    /// Topic Aliases that are set for the client: its Topic Alias Maximum, within ours (MQTT 5.0 §3.1.2.11.5).
    pub(crate) client_topic_alias_maximum: u16,
    /// The client's Maximum Packet Size, in bytes (MQTT 5.0 §3.1.2.11.4).
    pub(crate) client_packet_bytes_max: u32,
    /// It asked for Reason Strings (MQTT 5.0 §3.1.2.11.7).
    pub(crate) wants_reason_strings: bool,
    /// The peer is gone; bytes that it sent before may wait to be read.
    pub(crate) is_socket_closed: bool,
    pub(crate) end_reason: Option<EndReason>,
    pub(crate) counts: Counts,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing but CONNECT may come.
    AwaitingConnect,
    /// Who it is was asked, or the client is to say more.
    Authenticating(Box<Connect>),
    /// The home partition was asked.
    Attaching(Box<Connect>),
    /// CONNACK was written.
    Connected,
    /// The end was decided; the socket is to close, and the session to be released.
    Closing,
    /// The last effect was pushed.
    Gone,
}

/// What a connection counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) publishes: u64,
    pub(crate) refused: u64,
    pub(crate) denied: u64,
    pub(crate) deliveries: u64,
}

impl Connection {
    /// Makes the connection of a socket that was accepted at `now`. Allocates nothing.
    pub fn new(config: Arc<ConnectionConfig>, address: ConnectionAddress, now: Instant) -> Self {
        Self {
            address,
            phase: Phase::AwaitingConnect,
            version: ProtocolVersion::V311,
            decoder: Decoder::new(config.packet_bytes_max),
            connect_due: now + config.connect_timeout,
            keep_alive_timeout_ms: 0,
            keep_alive_due: now,
            received_at: now,
            paused_since: None,
            again_at: None,
            unwritten_bytes: 0,
            access: Arc::clone(&config.access),
            principal: None,
            rights: Rights::all(),
            enhanced: None,
            will_topic: None,
            will_fate: WillFate::Publish,
            session: SessionHold::None,
            session_expiry_s: 0,
            wanted_session: false,
            publishes: None,
            received_aliases: None,
            sent_aliases: None,
            subscribes: None,
            next_subscribe_token: 0,
            deliveries: None,
            client_receive_maximum: u16::MAX,
            client_topic_alias_maximum: 0,
            client_packet_bytes_max: u32::MAX,
            wants_reason_strings: false,
            is_socket_closed: false,
            end_reason: None,
            counts: Counts::default(),
            config,
        }
    }

    /// Bytes of input and output that it holds, or that its socket's shell holds for it; 0 while it is idle.
    pub fn buffered_bytes(&self) -> usize {
        self.decoder.buffered_bytes() + self.unwritten_bytes
    }

    /// Where it lives.
    pub fn address(&self) -> ConnectionAddress {
        self.address
    }

    /// One and a half Keep Alive; `None`: off.
    pub(crate) fn keep_alive_timeout(&self) -> Option<Duration> {
        (self.keep_alive_timeout_ms > 0).then(|| Duration::from_millis(self.keep_alive_timeout_ms.into()))
    }

    pub(crate) fn publishes(&mut self) -> &mut PublishWindow {
        self.publishes.get_or_insert_default()
    }
}

impl Counters for Connection {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        visit("publishes_received", self.counts.publishes);
        visit("publishes_refused", self.counts.refused);
        visit("publishes_denied", self.counts.denied);
        visit("deliveries_sent", self.counts.deliveries);
    }
}
