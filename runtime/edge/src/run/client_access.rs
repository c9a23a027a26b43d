//! Who the clients of one core are: what the transport knows of each, and the way to those who check.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use access::{Credentials, Principal};
use authentication::{Answer, Authenticators, Gate, Grant, Request};
use bytes::Bytes;
use contract::{ConnectionAddress, Instant};
use executor::{CoreContext, LocalReceiver, LocalSender, local_channel};
use mqtt::ReasonCode;
use mqtt_connection::{AuthenticationStep, Message};
use tls_server::TlsPeer;

/// Answers that may wait for the core's turn; then the tasks that bring them wait.
const ANSWERS_MAX: usize = 256;

/// What a core knows about its clients beside their bytes.
pub(super) struct ClientAccess {
    context: CoreContext,
    gate: Option<Gate>,
    /// By listener: who finds out who a client is.
    authenticators: Vec<Option<Arc<Authenticators>>>,
    /// By slot; as many as there are slots.
    peers: Vec<Option<Peer>>,
    /// By listener, connections so far and at present.
    counts: Vec<ListenerCounts>,
    /// For the tasks that wait for answers.
    answers: LocalSender<(ConnectionAddress, Answer)>,
    answered: LocalReceiver<(ConnectionAddress, Answer)>,
    /// Answers of those for whom no task could be started; one for each connection at most.
    refused: VecDeque<ConnectionAddress>,
    /// When what a client has shown ends, as a token does. One entry for each connection at most.
    expiries: BTreeSet<(Instant, ConnectionAddress)>,
}

/// What the transport knows of a client.
struct Peer {
    generation: u32,
    listener: u16,
    address: IpAddr,
    /// Until it has been checked: a certificate's chain takes some kilobytes.
    tls: Option<Box<TlsPeer>>,
    expires_at: Option<Instant>,
}

/// Connections of one listener on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerCounts {
    pub(super) accepted: u64,
    pub(super) live: u64,
    /// Closed as they came, because there were as many as may be.
    pub(super) refused_full: u64,
    /// As many as may be.
    pub(super) live_max: u64,
}

impl ClientAccess {
    /// By listener, who finds out who a client is, and how many connections this core may have of it.
    pub(super) fn new(
        context: CoreContext,
        gate: Option<Gate>,
        listeners: Vec<(Option<Arc<Authenticators>>, u64)>,
    ) -> Self {
        let (answers, answered) = local_channel(ANSWERS_MAX, Some(context.local_bell()));
        let count = |live_max| ListenerCounts { accepted: 0, live: 0, refused_full: 0, live_max };
        let counts = listeners.iter().map(|(_, live_max)| count(*live_max)).collect();
        let authenticators = listeners.into_iter().map(|(authenticators, _)| authenticators).collect();
        Self {
            context,
            gate,
            authenticators,
            peers: Vec::new(),
            counts,
            answers,
            answered,
            refused: VecDeque::new(),
            expiries: BTreeSet::new(),
        }
    }

    /// Notes who has come; `false` where its listener has as many connections as it may.
    pub(super) fn open(
        &mut self,
        connection: ConnectionAddress,
        listener: u16,
        address: IpAddr,
        tls: Option<Box<TlsPeer>>,
    ) -> bool {
        let counts = &mut self.counts[usize::from(listener)];
        if counts.live >= counts.live_max {
            counts.refused_full += 1;
            return false;
        }
        counts.accepted += 1;
        counts.live += 1;
        let slot = connection.slot as usize;
        if self.peers.len() <= slot {
            self.peers.resize_with(slot + 1, || None);
        }
        let is_asked = self.authenticators[usize::from(listener)].is_some();
        let tls = tls.filter(|tls| is_asked && !tls.chain.is_empty());
        self.peers[slot] = Some(Peer { generation: connection.generation, listener, address, tls, expires_at: None });
        true
    }

    /// Forgets who has gone.
    pub(super) fn forget(&mut self, connection: ConnectionAddress) {
        let Some(peer) = self.peer(connection) else { return };
        let (listener, expires_at) = (peer.listener, peer.expires_at);
        self.peers[connection.slot as usize] = None;
        self.counts[usize::from(listener)].live -= 1;
        if let Some(at) = expires_at {
            self.expiries.remove(&(at, connection));
        }
    }

    /// By listener.
    pub(super) fn counts(&self) -> &[ListenerCounts] {
        &self.counts
    }

    /// Finds out who a client is; the answer comes by [`Self::next_answer`].
    pub(super) fn authenticate(
        &mut self,
        connection: ConnectionAddress,
        step: AuthenticationStep,
        credentials: Credentials,
    ) {
        let gate = self.gate.clone();
        let Some(peer) = self.peer(connection) else { return };
        // The certificate was shown once, for the first word; nothing else proves who speaks later.
        let tls = if step == AuthenticationStep::Connect { peer.tls.take() } else { None };
        let (listener, address) = (usize::from(peer.listener), peer.address);
        let certificates = tls.map_or_else(Vec::new, |tls| tls.chain.iter().map(|der| der.to_vec()).collect());
        let request = Request { credentials, certificates, peer: address };
        let (Some(gate), Some(authenticators)) = (gate, &self.authenticators[listener]) else {
            self.refused.push_back(connection);
            return;
        };
        let answered = gate.authenticate(authenticators, request);
        let answers = self.answers.clone();
        let task = async move {
            let answer = answered.await;
            // The core is there as long as its shells are.
            let _core_is_gone = answers.send((connection, answer)).await;
        };
        if self.context.spawn_shell("authentication", task).is_err() {
            self.refused.push_back(connection);
        }
    }

    /// The next answer for a connection, if there is one.
    pub(super) fn next_answer(&mut self) -> Option<(ConnectionAddress, Message)> {
        if let Some(connection) = self.refused.pop_front() {
            return Some((connection, message(Err(mqtt::ReasonCode::SERVER_BUSY))));
        }
        let (connection, answer) = self.answered.try_receive()?;
        let grant = match answer {
            Ok(grant) => grant,
            Err(reason_code) => return Some((connection, message(Err(reason_code)))),
        };
        self.note_expiry(connection, &grant);
        Some((connection, message(Ok(grant.principal))))
    }

    fn note_expiry(&mut self, connection: ConnectionAddress, grant: &Grant) {
        let clock = self.context.clock();
        let now_s = u64::try_from(clock.utc().unix_millis() / 1_000).unwrap_or(0);
        let expires_at =
            grant.expires_at_s.map(|at_s| clock.now() + std::time::Duration::from_secs(at_s.saturating_sub(now_s)));
        let Some(peer) = self.peer(connection) else { return };
        let before = std::mem::replace(&mut peer.expires_at, expires_at);
        if let Some(at) = before {
            self.expiries.remove(&(at, connection));
        }
        if let Some(at) = expires_at {
            self.expiries.insert((at, connection));
        }
    }

    /// The next connection whose client's proof has run out by `now`.
    pub(super) fn next_expired(&mut self, now: Instant) -> Option<ConnectionAddress> {
        let (at, connection) = *self.expiries.first()?;
        if at > now {
            return None;
        }
        self.expiries.remove(&(at, connection));
        if let Some(peer) = self.peer(connection) {
            peer.expires_at = None;
        }
        Some(connection)
    }

    /// When the next client's proof runs out.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    fn peer(&mut self, connection: ConnectionAddress) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(connection.slot as usize)?.as_mut();
        peer.filter(|peer| peer.generation == connection.generation)
    }
}

fn message(result: Result<Arc<Principal>, ReasonCode>) -> Message {
    Message::Authenticated { result, data: Bytes::new() }
}
