//! What a connection owns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use contract::{ConnectionAddress, Counters, Instant};
use mqtt::{Connect, Decoder, ProtocolVersion, Will};

use crate::delivery_window::DeliveryWindow;
use crate::publish_window::PublishWindow;
use crate::subscribing::PendingSubscribe;
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
    /// One and a half Keep Alive; `None`: off.
    pub(crate) keep_alive_timeout: Option<Duration>,
    /// When to look whether the client was silent for so long; moved only when it is reached.
    pub(crate) keep_alive_due: Instant,
    pub(crate) received_at: Instant,
    /// Since when the socket is not read.
    pub(crate) paused_since: Option<Instant>,
    /// A step is due then, for what the last one left.
    pub(crate) again_at: Option<Instant>,
    /// Bytes that were given to the socket's shell and are not in the send buffer.
    pub(crate) unwritten_bytes: usize,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) publishes: PublishWindow,
    /// Topic Aliases that the client set: at most Topic Alias Maximum (MQTT 5.0 §3.3.2.3.4).
    pub(crate) topic_aliases: BTreeMap<u16, Box<str>>,
    pub(crate) subscribes: VecDeque<PendingSubscribe>,
    /// The token of the first of `subscribes`.
    pub(crate) first_subscribe_token: u64,
    pub(crate) deliveries: Option<Box<DeliveryWindow>>,
    /// The client's Receive Maximum (MQTT 5.0 §3.1.2.11.3).
    pub(crate) client_receive_maximum: u16,
    /// The client's Maximum Packet Size, in bytes (MQTT 5.0 §3.1.2.11.4).
    pub(crate) client_packet_bytes_max: u32,
    /// CONNECT had a Session Expiry Interval other than 0.
    pub(crate) wanted_session: bool,
    /// `Attach` was pushed.
    pub(crate) is_attached: bool,
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
    /// The home partition was asked.
    Attaching(Box<Connect>),
    /// CONNACK was written.
    Connected,
    /// The end was decided; the socket is to close.
    Closing,
    /// The last effect was pushed.
    Gone,
}

/// What a connection counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) publishes: u64,
    pub(crate) refused: u64,
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
            keep_alive_timeout: None,
            keep_alive_due: now,
            received_at: now,
            paused_since: None,
            again_at: None,
            unwritten_bytes: 0,
            will: None,
            publishes: PublishWindow::default(),
            topic_aliases: BTreeMap::new(),
            subscribes: VecDeque::new(),
            first_subscribe_token: 0,
            deliveries: None,
            client_receive_maximum: u16::MAX,
            client_packet_bytes_max: u32::MAX,
            wanted_session: false,
            is_attached: false,
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
}

impl Counters for Connection {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        visit("publishes_received", self.counts.publishes);
        visit("publishes_refused", self.counts.refused);
        visit("deliveries_sent", self.counts.deliveries);
    }
}
