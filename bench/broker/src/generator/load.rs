//! The load: publishers and subscribers of one scenario, on one engine, beside whatever guests it has.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::account::Faults;
use super::engine::{Engine, Handler, OUTPUT_BYTES_MAX, Opening};
use super::frame::Packet;
use super::guests::Guests;
use super::latency::Latency;
use super::packet::{connect, subscribe};
use super::plan::{LoadPlan, Pace};
use super::publisher::Publisher;
use super::subscriber::Subscriber;

/// Connections on their way at once: brokers' backlogs are short.
pub(crate) const OPENING_MAX: usize = 50;
/// How long connections and subscriptions of a load may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Below this the loop asks the kernel without waiting: timers are later than this.
const SPIN_NS: u64 = 150_000;
/// Without a delivery for so long, what is on its way is written off, and publishing goes on.
const STALL_NS: u64 = 1_000_000_000;
/// Without progress for so long the drain ends.
const DRAIN_SILENCE_NS: u64 = 3_000_000_000;

/// Who a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    Publisher(u32),
    Subscriber(u32),
    Guest,
}

/// Counts since the load began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages published.
    pub(crate) published: u64,
    /// Messages delivered, repetitions included.
    pub(crate) delivered: u64,
    /// Paced messages that were not published, for their publisher's window was full.
    pub(crate) held_back: u64,
    /// Times that nothing arrived for a second though something was on its way.
    pub(crate) stalls: u64,
}

/// A load that runs.
pub(crate) struct Load {
    plan: LoadPlan,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// By token; a token beyond it is a guest's.
    seats: Vec<Seat>,
    ready_count: u32,
    counts: Counts,
    /// Deliveries that publications asked for, less those that arrived, were overtaken or were written off.
    outstanding: u64,
    last_progress_ns: u64,
    is_publishing: bool,
    /// Of the paced messages: when the first was due, and how many were.
    paced: (u64, u64),
    next_publisher: usize,
    latency: Latency,
    guests: Box<dyn Guests>,
    trouble: Option<String>,
}

impl Load {
    /// A load that has not connected yet.
    pub(crate) fn new(plan: LoadPlan, guests: Box<dyn Guests>) -> Self {
        Self {
            plan,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            seats: Vec::new(),
            ready_count: 0,
            counts: Counts::default(),
            outstanding: 0,
            last_progress_ns: 0,
            is_publishing: false,
            paced: (0, 0),
            next_publisher: 0,
            latency: Latency::new(),
            guests,
            trouble: None,
        }
    }

    /// Opens all connections and waits until every one may begin.
    ///
    /// # Errors
    /// If the broker refuses one, or takes too long.
    pub(crate) fn connect(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let version = engine.version();
        let deadline_ns = after(engine, CONNECT_TIMEOUT);
        let (publishers, subscribers) = (self.plan.publishers_count(), self.plan.subscribers_count());
        let all = publishers + subscribers;
        for number in 0..all {
            // Subscribers come first, so that nothing is published to nobody.
            let (seat, name) = if number < subscribers {
                (Seat::Subscriber(number), format!("bench-s{number}"))
            } else {
                (Seat::Publisher(number - subscribers), format!("bench-p{}", number - subscribers))
            };
            let token = engine.open(connect(version, &name), Opening::default())?;
            match seat {
                Seat::Subscriber(subscriber) => {
                    self.subscribers.push(Subscriber::new(self.plan.publishers_of(subscriber)));
                }
                Seat::Publisher(publisher) => self.publishers.push(Publisher::new(token, version, &self.plan, publisher)),
                Seat::Guest => {}
            }
            self.take_seat(token, seat);
            while (number - self.ready_count) as usize >= OPENING_MAX {
                self.turn(engine, deadline_ns)?;
                self.check_deadline(engine, deadline_ns, all)?;
            }
        }
        while self.ready_count < all {
            self.turn(engine, deadline_ns)?;
            self.check_deadline(engine, deadline_ns, all)?;
        }
        Ok(())
    }

    fn check_deadline(&self, engine: &Engine, deadline_ns: u64, all: u32) -> anyhow::Result<()> {
        if engine.clock().now_ns() >= deadline_ns {
            bail!("{} of {all} clients are connected and subscribed after {CONNECT_TIMEOUT:?}", self.ready_count);
        }
        Ok(())
    }

    fn take_seat(&mut self, token: usize, seat: Seat) {
        if self.seats.len() <= token {
            self.seats.resize(token + 1, Seat::Guest);
        }
        self.seats[token] = seat;
    }

    /// The guests, whose preparations the caller leads.
    pub(crate) fn guests(&mut self) -> &mut dyn Guests {
        &mut *self.guests
    }

    /// Begins to publish.
    pub(crate) fn begin(&mut self, engine: &Engine) {
        let now_ns = engine.clock().now_ns();
        self.is_publishing = true;
        self.paced = (now_ns, 0);
        self.last_progress_ns = now_ns;
    }

    /// Forgets the latencies so far: the window begins.
    pub(crate) fn begin_window(&mut self) {
        self.latency.clear();
    }

    /// Runs for `time`.
    ///
    /// # Errors
    /// If the kernel fails, or a connection of the load ends.
    pub(crate) fn run_for(&mut self, engine: &mut Engine, time: Duration) -> anyhow::Result<()> {
        let end_ns = after(engine, time);
        while engine.clock().now_ns() < end_ns {
            self.turn(engine, end_ns)?;
        }
        Ok(())
    }

    /// Publishes no more, and waits until everything arrived and is acknowledged, or nothing more comes.
    ///
    /// # Errors
    /// If the kernel fails, or a connection of the load ends.
    pub(crate) fn drain(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.is_publishing = false;
        self.last_progress_ns = engine.clock().now_ns();
        loop {
            let is_whole = self.publishers.iter().all(Publisher::is_acknowledged) && self.has_arrived();
            let now_ns = engine.clock().now_ns();
            if is_whole || now_ns >= self.last_progress_ns + DRAIN_SILENCE_NS {
                return Ok(());
            }
            self.turn(engine, now_ns + DRAIN_SILENCE_NS / 30)?;
        }
    }

    fn has_arrived(&self) -> bool {
        let deliveries: u64 = self.subscribers.iter().map(Subscriber::progress).sum();
        deliveries >= self.counts.published * self.plan.copies()
    }

    /// One turn, until `end_ns` at the latest.
    fn turn(&mut self, engine: &mut Engine, end_ns: u64) -> anyhow::Result<()> {
        let now_ns = engine.clock().now_ns();
        let mut next_ns = end_ns;
        if self.is_publishing {
            match self.plan.pace {
                Pace::Unlimited => self.publish_all(engine, now_ns),
                Pace::PerSecond(rate) => next_ns = next_ns.min(self.publish_due(engine, now_ns, rate)),
            }
        }
        if let Some(due_ns) = self.guests.turn(engine, now_ns)? {
            next_ns = next_ns.min(due_ns);
        }
        let wait_ns = next_ns.saturating_sub(engine.clock().now_ns());
        let timeout = Duration::from_nanos(wait_ns.saturating_sub(SPIN_NS));
        engine.turn(timeout, self)?;
        match self.trouble.take() {
            Some(trouble) => bail!(trouble),
            None => Ok(()),
        }
    }

    /// Publishes as much as windows, output and what is on its way let through.
    fn publish_all(&mut self, engine: &mut Engine, now_ns: u64) {
        if self.outstanding > 0 && now_ns >= self.last_progress_ns + STALL_NS {
            self.counts.stalls += 1;
            self.outstanding = 0;
            self.last_progress_ns = now_ns;
        }
        // A quarter must be free, so that publishers write many messages at once.
        if self.publishers.is_empty() || self.outstanding > self.plan.outstanding_max / 4 * 3 {
            return;
        }
        let copies = self.plan.copies();
        let count = self.publishers.len();
        let share = ((self.plan.outstanding_max - self.outstanding) / copies).div_ceil(count as u64);
        for _ in 0..count {
            self.next_publisher = (self.next_publisher + 1) % count;
            let room = self.plan.outstanding_max.saturating_sub(self.outstanding) / copies;
            let publisher = &mut self.publishers[self.next_publisher];
            let output_room = OUTPUT_BYTES_MAX.saturating_sub(engine.pending_bytes(publisher.token()));
            let published = publisher.publish_many(engine, share.min(room), output_room, now_ns);
            self.counts.published += published;
            self.outstanding += published * copies;
        }
    }

    /// Publishes what is due, each message with a write of its own; gives when the next one is.
    fn publish_due(&mut self, engine: &mut Engine, now_ns: u64, rate_per_s: u32) -> u64 {
        let count = self.publishers.len() as u64;
        loop {
            let (start_ns, number) = self.paced;
            let due_ns = start_ns + due_after_ns(number, rate_per_s);
            if due_ns > now_ns || count == 0 {
                return due_ns;
            }
            let index = usize::try_from(number % count).expect("an index of a vector");
            let published = self.publishers[index].publish_many(engine, 1, OUTPUT_BYTES_MAX, due_ns);
            self.counts.published += published;
            self.counts.held_back += 1 - published;
            self.outstanding += published * self.plan.copies();
            self.paced.1 += 1;
        }
    }

    /// Counts so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Latencies since the window began.
    pub(crate) fn latency(&self) -> &Latency {
        &self.latency
    }

    /// What went wrong, after the drain.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for subscriber in &self.subscribers {
            faults = faults.plus(subscriber.faults(&self.publishers, self.plan.qos));
        }
        faults
    }

    /// Messages that the broker refused, PUBACKs of nothing, deliveries that are nobody's.
    pub(crate) fn oddities(&self) -> [(&'static str, u64); 3] {
        let refused = self.publishers.iter().map(Publisher::refused_count).sum();
        let strays = self.publishers.iter().map(Publisher::strays_count).sum();
        let foreign = self.subscribers.iter().map(Subscriber::foreign_count).sum();
        [("refused", refused), ("stray acknowledgements", strays), ("foreign deliveries", foreign)]
    }
}

impl Handler for Load {
    #[inline]
    fn packet(&mut self, token: usize, packet: Packet<'_>, now_ns: u64, output: &mut Vec<u8>) {
        match (self.seats.get(token).copied().unwrap_or(Seat::Guest), packet) {
            (Seat::Subscriber(index), Packet::Publish { packet_identifier, payload }) => {
                let taken = self.subscribers[index as usize].take(packet_identifier, payload, output);
                self.counts.delivered += 1;
                self.outstanding = self.outstanding.saturating_sub(taken.progress);
                self.last_progress_ns = now_ns;
                self.latency.record(now_ns.saturating_sub(taken.time_ns));
            }
            (Seat::Publisher(index), Packet::PublishAck { packet_identifier, reason_code }) => {
                self.publishers[index as usize].acknowledge(packet_identifier, reason_code);
                self.last_progress_ns = now_ns;
            }
            (Seat::Guest, packet) => self.guests.packet(token, packet, output),
            (seat, Packet::ConnectAck { reason_code: 0, receive_maximum }) => match seat {
                Seat::Publisher(index) => {
                    self.publishers[index as usize].limit_window(receive_maximum);
                    self.ready_count += 1;
                }
                Seat::Subscriber(index) => {
                    let filter = self.plan.topic_filter(index);
                    output.extend(subscribe(self.subscribers[index as usize].version(), 1, [&*filter], self.plan.qos));
                }
                Seat::Guest => {}
            },
            (Seat::Subscriber(_), Packet::SubscribeAck { refused_count: 0 }) => self.ready_count += 1,
            (seat, packet) => self.trouble = Some(format!("the broker sent {packet:?} to {seat:?}")),
        }
    }

    fn ended(&mut self, token: usize) {
        match self.seats.get(token).copied().unwrap_or(Seat::Guest) {
            Seat::Guest => self.guests.ended(token),
            seat @ (Seat::Publisher(_) | Seat::Subscriber(_)) => {
                self.trouble = Some(format!("the broker closed the connection of {seat:?}"));
            }
        }
    }
}

/// When the `number`-th message is due after the first.
fn due_after_ns(number: u64, rate_per_s: u32) -> u64 {
    let rate = u64::from(rate_per_s.max(1));
    number / rate * 1_000_000_000 + number % rate * 1_000_000_000 / rate
}

fn after(engine: &Engine, time: Duration) -> u64 {
    engine.clock().now_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}
