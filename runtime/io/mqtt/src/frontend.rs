//! What a core calls in its turn: events of its connections come in, writes go out.

mod admission;
mod layered;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use contract::{ConnectionAddress, Instant};
use executor::{CoreContext, StopToken};
use rustix::event::epoll::{self, EventFlags};

use self::admission::{Handovers, ListenerFacts};
use crate::acceptor::Acceptor;
use crate::bind::CoreListener;
use crate::config::{FrontendConfig, StartError};
use crate::connection::{Phase, Progress};
use crate::event::{Event, FrontendCounts};
use crate::layers::Staging;
use crate::poller::{Poller, READY_COUNT_MAX};
use crate::slots::Slots;

/// Bytes that one read takes at most, from the core's one buffer.
const SCRATCH_BYTES: usize = 64 << 10;
/// Connections taken in one call, so that those that live are served in between.
const ACCEPTED_COUNT_MAX: usize = 64;
/// How often connections that end are looked after.
const ENDING_PERIOD: Duration = Duration::from_millis(100);
/// Tokens of listeners count down from here; connections' slots stay below.
const LISTENER_TOKEN: u64 = 0xffff_ffff;
/// Listeners of one core.
pub const LISTENER_COUNT_MAX: usize = 64;
/// Slots of one core, below the tokens of listeners.
const SLOT_COUNT_MAX: u32 = u32::MAX - 64;

/// The MQTT sockets of one core. Lives on the core's thread; no method waits.
pub struct Frontend {
    context: CoreContext,
    config: FrontendConfig,
    stop_token: StopToken,
    poller: Poller,
    acceptor: Acceptor,
    slots: Slots,
    /// Slots with something for the core, each once.
    ready: VecDeque<u32>,
    /// Slots with a write or a close since the last flush, each once.
    unflushed: Vec<u32>,
    /// Slots that are closing or lingering, each once.
    ending: Vec<u32>,
    next_ending_at: Option<Instant>,
    /// Every read lands here first, so that an idle connection holds no buffer.
    scratch: Box<[u8]>,
    /// For connections with layers.
    staging: Staging,
    listeners: Vec<ListenerFacts>,
    /// Connections whose TLS stands; `None` where no listener speaks TLS.
    handshakes: Option<Handovers>,
    polled: Vec<epoll::Event>,
    counts: FrontendCounts,
}

impl fmt::Debug for Frontend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Frontend")
            .field("config", &self.config)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Frontend {
    /// Takes the core's listeners. Call it on the core's thread, in its factory.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// When there are more than 64 listeners.
    pub fn start(
        context: &CoreContext,
        config: FrontendConfig,
        listeners: Vec<CoreListener>,
    ) -> Result<Self, StartError> {
        assert!(listeners.len() <= LISTENER_COUNT_MAX, "a core has at most {LISTENER_COUNT_MAX} listeners");
        let connections_max = config.connections_max.min(SLOT_COUNT_MAX);
        let facts: Vec<ListenerFacts> = listeners.iter().map(ListenerFacts::of).collect();
        // Room for all handshakes that may be under way, so that the lane never waits for a core.
        let lanes = facts.iter().filter_map(ListenerFacts::under_way_max);
        let handshakes = lanes.max().map(|under_way_max| Handovers::new(under_way_max, context));
        let poller = Poller::new(context)?;
        let acceptor = Acceptor::new(listeners, config.connect_rate_max);
        for (index, listener) in (0..).zip(acceptor.sockets()) {
            poller.add(listener.socket(), LISTENER_TOKEN - index)?;
        }
        poller.spawn_shell(context)?;
        Ok(Self {
            context: context.clone(),
            stop_token: context.stop_token(),
            poller,
            acceptor,
            slots: Slots::new(connections_max),
            ready: VecDeque::new(),
            unflushed: Vec::new(),
            ending: Vec::new(),
            next_ending_at: None,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            staging: Staging::default(),
            listeners: facts,
            handshakes,
            polled: Vec::with_capacity(READY_COUNT_MAX),
            counts: FrontendCounts::default(),
            config,
        })
    }

    /// Appends what happened, until `events` holds `count_max`; the connection served last may add two more.
    ///
    /// One call reads a connection at most once, so that connections are served in turn. Returns whether there is more:
    /// then the core calls again, in this turn or in one that follows at once. Once the process stops, nothing more is
    /// accepted, and the shell ends with the last connection.
    pub fn poll_events(
        &mut self,
        now: Instant,
        events: &mut VecDeque<(ConnectionAddress, Event)>,
        count_max: usize,
    ) -> bool {
        if self.stop_token.is_stopping() {
            self.stop_accepting();
            if self.slots.taken_count() == 0 {
                self.poller.end();
            }
        }
        self.revive_shell();
        self.take_ready(now);
        self.accept(now, events, count_max);
        let handed_over = self.take_handovers(events, count_max);
        for _ in 0..self.ready.len() {
            if events.len() >= count_max {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            self.slots.in_slot(slot).in_ready = false;
            self.serve(slot, events);
        }
        self.end_overdue(now);
        !self.ready.is_empty() || self.poller.is_ready() || self.acceptor.may_accept(now) || handed_over
    }

    /// Gives bytes to be written after those before; they go out with [`Frontend::flush`]. Ignored once the connection is
    /// closed. A connection whose backlog outgrows its limit is closed and counted.
    pub fn write(&mut self, address: ConnectionAddress, bytes: Bytes) {
        let backlog_bytes_max = self.config.write_backlog_bytes_max;
        let Some(connection) = self.slots.get_mut(address.slot, address.generation) else { return };
        if connection.phase != Phase::Open || bytes.is_empty() {
            return;
        }
        if connection.backlog_bytes() + bytes.len() > backlog_bytes_max {
            self.counts.backlog_overflows += 1;
            self.end(address.slot);
            return;
        }
        connection.push(bytes);
        self.queue_unflushed(address.slot);
    }

    /// Reads no more of this connection; TCP then holds the peer back. A reset is still told.
    pub fn pause_reading(&mut self, address: ConnectionAddress) {
        if let Some(connection) = self.slots.get_mut(address.slot, address.generation) {
            connection.reading_paused = true;
        }
    }

    /// Reads on.
    pub fn resume_reading(&mut self, address: ConnectionAddress) {
        if let Some(connection) = self.slots.get_mut(address.slot, address.generation) {
            connection.reading_paused = false;
            self.queue_ready(address.slot);
        }
    }

    /// Writes what was given, then closes; [`Event::SocketClosed`] follows. Nothing is read any more.
    pub fn close(&mut self, address: ConnectionAddress) {
        if let Some(connection) = self.slots.get_mut(address.slot, address.generation)
            && connection.phase == Phase::Open
        {
            connection.phase = Phase::Closing;
            self.queue_unflushed(address.slot);
        }
    }

    /// Lets go of the address: no event bears it any more, and its slot may be used again. Cuts the connection where it
    /// still stands.
    pub fn forget(&mut self, address: ConnectionAddress) {
        let Some(connection) = self.slots.get_mut(address.slot, address.generation) else { return };
        if connection.forgotten {
            return;
        }
        connection.forgotten = true;
        connection.owes_closed = false;
        connection.written_bytes = 0;
        match connection.phase {
            Phase::Open | Phase::Closing => self.end(address.slot),
            Phase::Closed => self.give_back(address.slot),
            // The slot is given back when the peer has had its time.
            Phase::Lingering => (),
        }
    }

    /// Cuts a connection at once, whatever is left to write; [`Event::SocketClosed`] follows. Returns whether it stood.
    pub fn cut(&mut self, address: ConnectionAddress) -> bool {
        let connection = self.slots.get_mut(address.slot, address.generation);
        let stood = connection.is_some_and(|connection| connection.phase != Phase::Closed);
        if stood {
            self.end(address.slot);
        }
        stood
    }

    /// Writes what was given since the last call, each connection's in one system call as far as 64 pieces and the
    /// kernel's buffer go. Call it at the end of a turn. Returns whether [`Frontend::poll_events`] has something new to tell.
    pub fn flush(&mut self, now: Instant) -> bool {
        let mut unflushed = std::mem::take(&mut self.unflushed);
        for slot in unflushed.drain(..) {
            self.slots.in_slot(slot).in_unflushed = false;
            self.write_out(slot, now);
        }
        self.unflushed = unflushed;
        !self.ready.is_empty()
    }

    /// When [`Frontend::poll_events`] wants to be called whatever else happens; `None` while connections are idle.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        [self.next_ending_at, self.acceptor.next_timeout(now)].into_iter().flatten().min()
    }

    /// Closes the listeners. A stop of the process does the same.
    pub fn stop_accepting(&mut self) {
        self.acceptor.close();
        // Handshakes under way end with their clients' sockets.
        self.handshakes = None;
    }

    /// Cuts every connection, closes the listeners and ends the shell. [`Event::SocketClosed`] follows for each that the
    /// core has not heard the end of.
    pub fn shutdown(&mut self) {
        self.stop_accepting();
        let standing: Vec<u32> =
            self.slots.iter().filter(|(_, held)| held.phase != Phase::Closed).map(|(slot, _)| slot).collect();
        for slot in standing {
            self.end(slot);
        }
        self.poller.end();
    }

    /// Connections whose slot is taken: accepted, and not forgotten or still lingering.
    pub fn connection_count(&self) -> usize {
        self.slots.taken_count()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> FrontendCounts {
        FrontendCounts {
            live: self.slots.taken_count() as u64,
            rate_pauses: self.acceptor.rate_pause_count,
            exhausted_pauses: self.acceptor.exhausted_count,
            ..self.counts
        }
    }

    /// Starts the shell again if a panic took it away.
    fn revive_shell(&mut self) {
        if !self.poller.shell_is_lost() {
            return;
        }
        match self.poller.spawn_shell(&self.context) {
            Ok(()) => self.counts.shell_restarts += 1,
            // Its place is free again once the shells that crowd it out have ended; the next turn tries again.
            Err(error) => tracing::warn!(%error, "the shell of the MQTT listener is gone and cannot start again"),
        }
    }

    /// Notes what the kernel says is ready.
    fn take_ready(&mut self, now: Instant) {
        let mut polled = std::mem::take(&mut self.polled);
        self.poller.take_ready(&mut polled);
        for event in &polled {
            let (flags, token) = (event.flags, event.data.u64());
            match listener_index(token) {
                Some(index) => self.acceptor.set_acceptable(index),
                None => self.connection_is_ready(token, flags, now),
            }
        }
        self.polled = polled;
    }

    fn connection_is_ready(&mut self, token: u64, flags: EventFlags, now: Instant) {
        let (slot, generation) = split_token(token);
        let Some(connection) = self.slots.get_mut(slot, generation) else { return };
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let is_broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        connection.readable |= hung_up || flags.contains(EventFlags::IN);
        connection.hung_up |= hung_up;
        connection.broken |= is_broken;
        connection.writable |= flags.contains(EventFlags::OUT);
        let (phase, has_output) = (connection.phase, connection.has_output());
        match phase {
            Phase::Lingering => self.discard(slot),
            Phase::Open | Phase::Closing if has_output => self.write_out(slot, now),
            Phase::Closing if is_broken => self.end(slot),
            Phase::Open | Phase::Closing | Phase::Closed => (),
        }
        self.queue_ready(slot);
    }

    /// Tells the core what this connection has for it.
    fn serve(&mut self, slot: u32, events: &mut VecDeque<(ConnectionAddress, Event)>) {
        let core = self.config.core;
        let connection = self.slots.in_slot(slot);
        let address = ConnectionAddress { core, slot, generation: connection.generation };
        if connection.written_bytes > 0 {
            let bytes = std::mem::take(&mut connection.written_bytes);
            self.counts.written_bytes += bytes as u64;
            events.push_back((address, Event::Written { bytes }));
        }
        if connection.reading_paused && connection.broken && connection.phase == Phase::Open {
            // What it sent before may not be read at present, and cannot be answered any more.
            self.counts.broken += 1;
            self.end(slot);
        } else if connection.may_read() && connection.layers.is_some() {
            self.serve_layered(slot, address, events);
        } else if connection.may_read() {
            match connection.read(&mut self.scratch) {
                Progress::Bytes(count) => {
                    self.counts.reads += 1;
                    self.counts.received_bytes += count as u64;
                    events.push_back((address, Event::Received(Bytes::copy_from_slice(&self.scratch[..count]))));
                }
                Progress::Blocked => (),
                Progress::Finished => self.end(slot),
                Progress::Broken => {
                    self.counts.broken += 1;
                    self.end(slot);
                }
            }
        }
        let connection = self.slots.in_slot(slot);
        if std::mem::take(&mut connection.owes_closed) {
            events.push_back((address, Event::SocketClosed));
        }
        self.queue_ready(slot);
    }

    /// Writes a connection's backlog, and goes on with its end where that was all.
    fn write_out(&mut self, slot: u32, now: Instant) {
        let (close_timeout, linger) = (self.config.close_timeout, self.config.linger);
        let connection = self.slots.in_slot(slot);
        match connection.phase {
            Phase::Open | Phase::Closing => (),
            Phase::Lingering | Phase::Closed => return,
        }
        if !connection.write_backlog(&mut self.counts.writes, &mut self.staging) {
            self.counts.broken += 1;
            self.end(slot);
            return;
        }
        if connection.phase == Phase::Closing {
            if !connection.has_output() {
                connection.finish_writing();
                connection.owes_closed = !connection.forgotten;
                connection.deadline = now + linger;
                if linger.is_zero() {
                    self.end(slot);
                } else {
                    self.queue_ending(slot, now);
                    self.discard(slot);
                }
            } else if connection.deadline == Instant::ZERO {
                connection.deadline = now + close_timeout;
                self.queue_ending(slot, now);
            }
        }
        self.queue_ready(slot);
    }

    /// Throws away what a peer sends after our last word; ends the connection with the peer's last one.
    fn discard(&mut self, slot: u32) {
        match self.slots.in_slot(slot).discard(&mut self.scratch) {
            Progress::Blocked | Progress::Bytes(_) => (),
            Progress::Finished | Progress::Broken => self.end(slot),
        }
    }

    /// Ends those whose patience is over.
    fn end_overdue(&mut self, now: Instant) {
        if self.next_ending_at.is_none_or(|at| at > now) {
            return;
        }
        let mut ending = std::mem::take(&mut self.ending);
        ending.retain(|&slot| {
            let connection = self.slots.in_slot(slot);
            let is_ending = matches!(connection.phase, Phase::Closing | Phase::Lingering);
            if is_ending && connection.deadline > now {
                return true;
            }
            connection.in_ending = false;
            if is_ending {
                self.counts.close_timeouts += u64::from(connection.phase == Phase::Closing);
                self.end(slot);
            }
            false
        });
        self.next_ending_at = (!ending.is_empty()).then(|| now + ENDING_PERIOD);
        self.ending = ending;
    }

    /// Closes the socket. The core is told, unless it was or does not want to know.
    fn end(&mut self, slot: u32) {
        let connection = self.slots.in_slot(slot);
        let was_told = connection.phase == Phase::Lingering;
        connection.end();
        if connection.forgotten {
            self.give_back(slot);
            return;
        }
        connection.owes_closed |= !was_told;
        self.queue_ready(slot);
    }

    fn give_back(&mut self, slot: u32) {
        self.slots.give_back(slot);
        if self.stop_token.is_stopping() && self.slots.taken_count() == 0 {
            self.poller.end();
        }
    }

    fn queue_ready(&mut self, slot: u32) {
        let connection = self.slots.in_slot(slot);
        if connection.is_due() && !std::mem::replace(&mut connection.in_ready, true) {
            self.ready.push_back(slot);
        }
    }

    fn queue_unflushed(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.slots.in_slot(slot).in_unflushed, true) {
            self.unflushed.push(slot);
        }
    }

    fn queue_ending(&mut self, slot: u32, now: Instant) {
        if !std::mem::replace(&mut self.slots.in_slot(slot).in_ending, true) {
            self.ending.push(slot);
        }
        self.next_ending_at.get_or_insert(now + ENDING_PERIOD);
    }
}

/// The listener that a token stands for; `None` for a connection's.
fn listener_index(token: u64) -> Option<usize> {
    let index = usize::try_from(LISTENER_TOKEN.checked_sub(token)?).ok()?;
    (index < LISTENER_COUNT_MAX).then_some(index)
}

fn join_token(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the token")]
fn split_token(token: u64) -> (u32, u32) {
    (token as u32, (token >> 32) as u32)
}
